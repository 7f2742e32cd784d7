/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passwd(5) and group(5) of a directory.  The C library's functions read those of
 * the host, or ask its name service.
 */
#include "vmm/cli/exec_user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/beneath.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/cli/id.h"

static void cleanup_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define CLEANUP_FILE __attribute__((cleanup(cleanup_file)))

/* Opens @path below @root; NULL: there is none. */
static FILE *open_file(const char *root, const char *path)
{
	CLEANUP_CLOSE int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = -1;
	FILE *file;

	/* On the host's own root, links may be absolute. */
	if (dir >= 0 && !strcmp(root, "/"))
		fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	else if (dir >= 0)
		fd = open_beneath(dir, path, O_RDONLY | O_NONBLOCK, 0, 0);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "r");
	if (!file)
		close(fd);
	return file;
}

/* Copies uid, gid, name, home and shell of an entry. */
static void take_entry(struct exec_user *user, const struct passwd *entry)
{
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	user->name = strdup(entry->pw_name);
	user->home = *entry->pw_dir ? strdup(entry->pw_dir) : NULL;
	user->shell = *entry->pw_shell ? strdup(entry->pw_shell) : NULL;
}

/* Whether the entry of @name, or of user->uid if that is NULL, was found. */
static bool find_entry(struct exec_user *user, const char *root,
		       const char *name)
{
	CLEANUP_FILE FILE *file = open_file(root, "etc/passwd");
	struct passwd *entry;

	while (file && (entry = fgetpwent(file))) {
		if (name ? strcmp(entry->pw_name, name) != 0 :
			   entry->pw_uid != user->uid)
			continue;
		take_entry(user, entry);
		return true;
	}
	return false;
}

static bool has_member(const struct group *entry, const char *name)
{
	for (char **member = entry->gr_mem; *member; member++)
		if (!strcmp(*member, name))
			return true;
	return false;
}

/* Adds the groups that user->name is a member of. */
static void add_groups(struct exec_user *user, const char *root)
{
	CLEANUP_FILE FILE *file = open_file(root, "etc/group");
	struct group *entry;

	user->groups[user->group_count++] = user->gid;
	while (file && user->name && (entry = fgetgrent(file)))
		if (user->group_count < EXEC_GROUPS_MAX &&
		    entry->gr_gid != user->gid && has_member(entry, user->name))
			user->groups[user->group_count++] = entry->gr_gid;
}

static bool find_group(uint32_t *gid, const char *root, const char *name)
{
	CLEANUP_FILE FILE *file = open_file(root, "etc/group");
	struct group *entry;

	while (file && (entry = fgetgrent(file))) {
		if (strcmp(entry->gr_name, name) != 0)
			continue;
		*gid = entry->gr_gid;
		return true;
	}
	return false;
}

/* The user of this process, with the name that @root has for it. */
static int take_caller(struct exec_user *user, const char *root)
{
	gid_t groups[EXEC_GROUPS_MAX];
	uint32_t gid = getgid();
	int n;

	user->uid = getuid();
	find_entry(user, root, NULL);
	user->gid = gid;
	n = getgroups(EXEC_GROUPS_MAX, groups);
	if (n < 0)
		return log_errno(errno, "groups of this process");
	for (int i = 0; i < n; i++)
		user->groups[user->group_count++] = groups[i];
	return 0;
}

int exec_user_find(struct exec_user *user, const char *root, const char *text)
{
	CLEANUP_FREE char *name = text ? strdup(text) : NULL;
	char *group;

	*user = (struct exec_user){ 0 };
	if (!text)
		return take_caller(user, root);
	if (!name)
		return log_errno(ENOMEM, "--user %s", text);
	group = strchr(name, ':');
	if (group)
		*group++ = '\0';
	if (id_parse(name, '\0', &user->uid)) {
		user->gid = user->uid;
		find_entry(user, root, NULL);
	} else if (!find_entry(user, root, name)) {
		return log_fail(ENOENT,
				"--user %s: no such user in /etc/passwd of %s",
				text, root);
	}
	if (group && !id_parse(group, '\0', &user->gid) &&
	    !find_group(&user->gid, root, group))
		return log_fail(ENOENT,
				"--user %s: no such group in /etc/group of %s",
				text, root);
	add_groups(user, root);
	return 0;
}

void exec_user_finish(struct exec_user *user)
{
	free(user->name);
	free(user->home);
	free(user->shell);
}
