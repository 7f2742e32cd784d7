// SPDX-License-Identifier: BSD-2-Clause
/* The server's life; the calls of fs.h that concern all of it. */
#include "vmm/fs/server.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/beneath.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/fs/reach.h"
#include "vmm/fs/session.h"

#define FDS_MIN		 32
#define INODES_MAX_USUAL (4u << 20)

unsigned int fs_fd_budget(unsigned int servers)
{
	struct rlimit limit = { 1024, 1024 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return (unsigned int)min_u64(limit.rlim_cur / 2 / servers, UINT32_MAX);
}

static unsigned int fd_budget(const struct fs_config *config)
{
	unsigned int budget =
		config->fd_budget ? config->fd_budget : fs_fd_budget(1);

	return (unsigned int)max_u64(budget, FDS_MIN);
}

/* Opens the directory as the root inode.  -errno, logged. */
static int open_root(struct fs_server *s)
{
	const char *path = s->config.path;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct inode_key key;
	struct statx stx;
	int r;

	if (fd < 0)
		return log_errno(errno, "share %s", path);
	r = reach_stat(fd, &stx);
	if (r == 0) {
		reach_key(&stx, &key);
		s->devs[s->dev_count++] = key.dev;
		r = inode_set_root(&s->inodes, &key, fd);
	}
	if (r < 0) {
		close(fd);
		return log_errno(-r, "share %s", path);
	}
	/* It is a directory that can be looked into, or the guest sees nothing. */
	r = creds_check_directory(&s->creds, fd);
	return r < 0 ? log_errno(-r, "share %s", path) : 0;
}

/* Opens what is used to open files again.  -errno, logged. */
static int open_helpers(struct fs_server *s)
{
	int root_fd = s->inodes.root->fd;
	int fd;

	s->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc_fd < 0)
		return log_errno(errno, "share %s: open /proc/self/fd",
				 s->config.path);
	fd = open_beneath(root_fd, ".", O_PATH, 0, 0);
	if (fd < 0)
		return log_errno(-fd, "share %s: openat2", s->config.path);
	close(fd);
	/* O_PATH is not enough for open_by_handle_at(). */
	if (creds_can_open_by_handle(&s->creds))
		s->mount_fd = openat(root_fd, ".",
				     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

/* The share in messages: its tag and directory. */
static int make_label(struct fs_server *s, const struct fs_config *config)
{
	int r = config->tag ? asprintf(&s->label, "%s (%s)", config->tag,
				       config->path) :
			      asprintf(&s->label, "%s", config->path);

	if (r < 0)
		s->label = NULL;
	return r < 0 ? -ENOMEM : 0;
}

/* The stages of fs_create() after the memory.  -errno, logged. */
static int set_up(struct fs_server *s, const struct fs_config *config)
{
	unsigned int inodes_max =
		config->inodes_max ? config->inodes_max : INODES_MAX_USUAL;
	int r;

	s->config = *config;
	s->creds = (struct creds){ .squash = config->squash,
				   .host_uid = config->squash_uid,
				   .host_gid = config->squash_gid,
				   .guest_uid = config->guest_uid,
				   .guest_gid = config->guest_gid };
	s->config.path = strdup(config->path);
	s->config.tag = NULL;
	r = s->config.path ? make_label(s, config) : -ENOMEM;
	if (r == 0)
		r = inode_table_init(&s->inodes, inodes_max, fd_budget(config));
	if (r == 0)
		r = handle_table_init(&s->handles, &s->inodes);
	if (r < 0)
		return log_errno(-r, "share %s", config->path);
	r = creds_init(&s->creds);
	if (r < 0)
		return log_errno(-r, "share %s: squash", config->path);
	if (config->allow_devices && !creds_can_make_devices(&s->creds))
		return log_fail(EPERM,
				"share %s: dev needs root with CAP_MKNOD, and "
				"no squash",
				config->path);
	if (!s->creds.single && (config->guest_uid || config->guest_gid))
		log_warn("share %s: uid and gid have no effect as root without "
			 "squash",
			 config->path);
	r = open_root(s);
	return r < 0 ? r : open_helpers(s);
}

int fs_create(struct fs_server **server, const struct fs_config *config)
{
	struct fs_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_errno(ENOMEM, "share %s", config->path);
	s->proc_fd = s->mount_fd = -1;
	pthread_mutex_init(&s->devs_lock, NULL);
	pthread_mutex_init(&s->errors.lock, NULL);
	pthread_mutex_init(&s->running.lock, NULL);
	r = set_up(s, config);
	if (r < 0) {
		fs_destroy(s);
		return r;
	}
	*server = s;
	return 0;
}

void fs_destroy(struct fs_server *s)
{
	if (!s)
		return;
	handle_table_finish(&s->handles);
	inode_table_finish(&s->inodes);
	if (s->proc_fd >= 0)
		close(s->proc_fd);
	if (s->mount_fd >= 0)
		close(s->mount_fd);
	pthread_mutex_destroy(&s->devs_lock);
	pthread_mutex_destroy(&s->errors.lock);
	pthread_mutex_destroy(&s->running.lock);
	free(s->label);
	free((char *)s->config.path);
	free(s);
}

int fs_thread_prepare(struct fs_server *s)
{
	int r;

	if (unshare(CLONE_FS) < 0 || fchdir(s->proc_fd) < 0)
		return log_errno(errno, "share %s: thread", s->config.path);
	umask(0);
	thread_take_kicks();
	r = creds_thread_prepare(&s->creds);
	if (r < 0)
		return log_errno(-r, "share %s: user of the thread",
				 s->config.path);
	return 0;
}

void fs_reset(struct fs_server *s)
{
	session_end(s);
}

void fs_usage(struct fs_server *s, struct fs_usage *usage)
{
	pthread_mutex_lock(&s->handles.lock);
	usage->handles = (unsigned int)s->handles.count;
	pthread_mutex_unlock(&s->handles.lock);
	pthread_mutex_lock(&s->inodes.lock);
	usage->inodes = (unsigned int)s->inodes.count;
	usage->fds = s->inodes.fds;
	pthread_mutex_unlock(&s->inodes.lock);
	usage->requests =
		atomic_load_explicit(&s->errors.requests, memory_order_relaxed);
	usage->errors =
		atomic_load_explicit(&s->errors.count, memory_order_relaxed);
}
