/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the options of `thaw exec' to what the guest's init is asked for: shares
 * and where they are mounted, the user, the environment, the directory.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/cli/exec_options.h"
#include "vmm/cli/exec_user.h"
#include "vmm/cli/streams.h"

#define HOSTNAME "thaw"
#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Variables of the caller that the command has, too. */
static const char *const passed[] = { "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE",
				      "TZ" };

static const char *root_path(const struct exec_task *task)
{
	return task->shares.list[0].fs.path;
}

int exec_task_parse(struct exec_task *task, const struct exec_options *options)
{
	struct shares *shares = &task->shares;
	int r;

	/* Without privileges, all files appear to be the caller's. */
	shares->guest_uid = getuid();
	shares->guest_gid = getgid();
	r = shares_add(shares, options->root ? options->root : "/",
		       SHARE_ROOT_TAG, 0);
	for (unsigned int i = 0; r >= 0 && i < options->rw.count; i++)
		r = shares_add(shares, options->rw.values[i], "rw", i);
	if (r >= 0)
		r = shares_parse(shares, NULL, &options->shares);
	return r < 0 ? r : nets_parse_exec(&task->nets, &options->nets);
}

/* The share of --rw number @n appears at its absolute path on the host. */
static int add_bind(struct exec_task *task, unsigned int n)
{
	struct virtio_fs_share *share = &task->shares.list[n];
	struct setup_bind *bind = &task->binds[task->setup.bind_count];

	bind->path = realpath(share->fs.path, NULL);
	if (!bind->path)
		return log_errno(errno, "--rw %s", share->fs.path);
	bind->tag = share->tag;
	bind->flags = share->fs.read_only ? BIND_READONLY : 0;
	task->setup.bind_count++;
	return 0;
}

static void set_family(struct setup_addresses *to,
		       const struct net_addresses *from)
{
	to->address = (char *)(from->address ? from->address : "");
	to->router = (char *)(from->router ? from->router : "");
	to->prefix_bits = from->prefix_bits;
}

/* What the init configures; @net is zeroed if there is no network. */
static void set_addresses(struct setup *setup, const struct net_choice *net)
{
	set_family(&setup->ipv4, &net->ipv4);
	set_family(&setup->ipv6, &net->ipv6);
	setup->dns = (char *)(net->dns ? net->dns : "");
}

/* Root is read-only on the host; ",ro" means that the guest has no layer. */
static int prepare_setup(struct exec_task *task,
			 const struct exec_options *options)
{
	struct fs_config *root = &task->shares.list[0].fs;
	int r = 0;

	task->setup.root_tag = task->shares.list[0].tag;
	task->setup.flags = root->read_only ? SETUP_READONLY : 0;
	task->setup.binds = task->binds;
	task->setup.hostname = (char *)HOSTNAME;
	set_addresses(&task->setup, &task->nets.choices[0]);
	root->read_only = true;
	for (unsigned int i = 0; r >= 0 && i < options->rw.count; i++)
		r = add_bind(task, 1 + i);
	return r;
}

/* Whether @path is @dir or below it; both are absolute and clean. */
static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strcmp(dir, "/") || (!strncmp(path, dir, len) &&
				     (path[len] == '/' || path[len] == '\0'));
}

/* Whether a directory of --rw is at or above @path. */
static bool is_bound(const struct exec_task *task, const char *path)
{
	for (uint32_t i = 0; i < task->setup.bind_count; i++)
		if (is_below(path, task->binds[i].path))
			return true;
	return false;
}

/* The directory at or above @path that hides the host's in the guest; or NULL. */
static const char *hidden_by(const char *path)
{
	static const char *const own[] = { "/tmp", "/run", "/dev", "/proc",
					   "/sys" };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (is_below(path, own[i]))
			return own[i];
	return NULL;
}

/*
 * The directory of the command: --workdir, or that of this process if the guest
 * has the same root or a directory of --rw there, or else /.
 */
static int set_cwd(struct exec_task *task, const struct exec_options *options)
{
	CLEANUP_FREE char *cwd = getcwd(NULL, 0);
	bool same_root = !strcmp(root_path(task), "/");
	const char *wanted = options->workdir, *own;

	if (!wanted)
		wanted = cwd && (same_root || is_bound(task, cwd)) ? cwd : "/";
	if (*wanted != '/')
		return log_fail(EINVAL, "--workdir %s: not an absolute path",
				wanted);
	own = hidden_by(wanted);
	if (own && !options->workdir && !is_bound(task, wanted))
		return log_fail(ENOENT,
				"working directory %s: the guest has its own "
				"%s; use --rw . or --workdir",
				wanted, own);
	task->request.cwd = strdup(wanted);
	return task->request.cwd ? 0 : log_errno(ENOMEM, "working directory");
}

/* Sets variable "NAME=VALUE" in place of one of the same name. */
static int put_env(struct request *request, const char *text)
{
	size_t name_len = strcspn(text, "=") + 1;
	uint32_t n = 0;
	char **env;

	while (n < request->env_count &&
	       strncmp(request->env[n], text, name_len) != 0)
		n++;
	if (n == request->env_count) {
		env = realloc(request->env, (n + 2) * sizeof(*env));
		if (!env)
			return log_errno(ENOMEM, "environment");
		request->env = env;
		env[n] = env[n + 1] = NULL;
		request->env_count++;
	}
	free(request->env[n]);
	request->env[n] = strdup(text);
	return request->env[n] ? 0 : log_errno(ENOMEM, "environment");
}

/* Sets @name to @value; NULL: it stays unset. */
static int set_env(struct request *request, const char *name, const char *value)
{
	CLEANUP_FREE char *text = NULL;

	if (!value)
		return 0;
	if (asprintf(&text, "%s=%s", name, value) < 0) {
		text = NULL;
		return log_errno(ENOMEM, "environment");
	}
	return put_env(request, text);
}

/* The variables without which many commands do not work. */
static int default_env(struct exec_task *task, const struct exec_user *user)
{
	bool same_root = !strcmp(root_path(task), "/");
	const char *path = same_root ? getenv("PATH") : NULL;
	const struct {
		const char *name, *value;
	} rows[] = {
		{ "PATH", path ? path : DEFAULT_PATH },
		{ "HOME", user->home ? user->home : "/" },
		{ "USER", user->name },
		{ "LOGNAME", user->name },
		{ "SHELL", user->shell },
		{ "TERM", task->pty ? getenv("TERM") : NULL },
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rows); i++)
		r = set_env(&task->request, rows[i].name, rows[i].value);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(passed); i++)
		r = set_env(&task->request, passed[i], getenv(passed[i]));
	return r;
}

/* The values of -e: "NAME=VALUE", or "NAME" for the caller's value. */
static int given_env(struct exec_task *task, const struct option_list *values)
{
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < values->count; i++) {
		const char *text = values->values[i];

		if (!*text || *text == '=')
			return log_fail(EINVAL,
					"--env %s: missing variable name",
					*text ? text : "\"\"");
		r = strchr(text, '=') ?
			    put_env(&task->request, text) :
			    set_env(&task->request, text, getenv(text));
	}
	return r;
}

static int set_user(struct request *request, const struct exec_user *user)
{
	request->uid = user->uid;
	request->gid = user->gid;
	request->groups = malloc(sizeof(user->groups));
	if (!request->groups)
		return log_errno(ENOMEM, "groups");
	memcpy(request->groups, user->groups, sizeof(user->groups));
	request->group_count = user->group_count;
	return 0;
}

static mode_t current_umask(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return mask;
}

/* The user, and what depends on it. */
static int prepare_user(struct exec_task *task,
			const struct exec_options *options)
{
	struct exec_user user;
	int r = exec_user_find(&user, root_path(task), options->user);

	if (r >= 0)
		r = set_user(&task->request, &user);
	if (r >= 0)
		r = default_env(task, &user);
	exec_user_finish(&user);
	return r;
}

int exec_task_prepare(struct exec_task *task,
		      const struct exec_options *options, char **argv,
		      unsigned int argc)
{
	struct request *request = &task->request;
	int r = prepare_setup(task, options);

	task->pty = options->tty || (!options->no_tty && isatty(STDIN_FILENO) &&
				     isatty(STDOUT_FILENO));
	request->argv = argv;
	request->argc = argc;
	request->umask = current_umask();
	if (task->pty)
		request->flags |= REQUEST_PTY;
	else if (stream_was_closed(STDIN_FILENO))
		request->flags |= REQUEST_STDIN_CLOSED;
	if (r >= 0)
		r = prepare_user(task, options);
	if (r >= 0)
		r = given_env(task, &options->env);
	return r < 0 ? r : set_cwd(task, options);
}

void exec_task_finish(struct exec_task *task)
{
	for (uint32_t i = 0; i < task->setup.bind_count; i++)
		free(task->binds[i].path);
	for (uint32_t i = 0; i < task->request.env_count; i++)
		free(task->request.env[i]);
	free(task->request.env);
	free(task->request.groups);
	free(task->request.cwd);
	shares_finish(&task->shares);
	nets_finish(&task->nets);
}
