// SPDX-License-Identifier: BSD-2-Clause
/* See the header.  One client, one thread. */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM (FS_READ_BYTES_MAX + 65536)

void client_create(struct client *c, const struct fs_config *config)
{
	struct fs_config full = *config;

	memset(c, 0, sizeof(*c));
	c->seed = 1;
	c->reply_max = 65536;
	strcpy(c->top, "/tmp/thaw-fs-XXXXXX");
	assert_non_null(mkdtemp(c->top));
	snprintf(c->dir, sizeof(c->dir), "%s/share", c->top);
	assert_int_equal(chmod(c->top, 0755), 0);
	assert_int_equal(mkdir(c->dir, 0755), 0);
	c->reply = malloc(ROOM);
	assert_non_null(c->reply);
	full.path = c->dir;
	assert_int_equal(fs_create(&c->server, &full), 0);
	assert_int_equal(fs_thread_prepare(c->server), 0);
}

void client_start(struct client *c, const struct fs_config *config)
{
	struct fuse_init_out out;

	client_create(c, config);
	assert_int_equal(client_init(c, UINT64_MAX, &out), 0);
}

void client_restart(struct client *c, const struct fs_config *config)
{
	struct fs_config full = *config;

	fs_destroy(c->server);
	full.path = c->dir;
	assert_int_equal(fs_create(&c->server, &full), 0);
	/* The working directory is a descriptor of the server before. */
	assert_int_equal(fs_thread_prepare(c->server), 0);
}

void client_finish(struct client *c)
{
	fs_destroy(c->server);
	free(c->reply);
	remove_tree(c->top);
}

const char *client_path(const struct client *c, const char *name)
{
	static char paths[4][4096];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", c->dir, name);
	return path;
}

/* Cuts bytes into iovecs of changing lengths, some of them empty. */
static unsigned int cut(struct client *c, uint8_t *data, size_t len,
			struct iovec *iov, unsigned int max)
{
	unsigned int n = 0;

	while (len && n < max - 1) {
		size_t piece = (unsigned int)rand_r(&c->seed) % 100;

		if (len > 4096)
			piece = 4096;
		if (piece > len)
			piece = len;
		iov[n++] = (struct iovec){ data, piece };
		data += piece;
		len -= piece;
	}
	if (len)
		iov[n++] = (struct iovec){ data, len };
	return n;
}

/* Looks at the reply; its error. */
static int take_reply(struct client *c, const uint8_t *reply, size_t written)
{
	struct fuse_out_header head;

	c->reply_len = 0;
	if (!written)
		return CLIENT_NO_REPLY;
	assert_in_range(written, sizeof(head), ROOM);
	memcpy(&head, reply, sizeof(head));
	assert_int_equal(head.len, written);
	assert_int_equal(head.unique, c->unique);
	assert_true(head.error <= 0 && head.error > -512);
	c->reply_len = written - sizeof(head);
	if (head.error)
		assert_int_equal(c->reply_len, 0);
	memcpy(c->reply, reply + sizeof(head), c->reply_len);
	return head.error;
}

int client_call(struct client *c, uint32_t opcode, uint64_t node, const void *a,
		size_t a_len, const void *b, size_t b_len)
{
	struct fuse_in_header head = {
		.len = (uint32_t)(sizeof(head) + a_len + b_len),
		.opcode = opcode,
		.unique = ++c->unique,
		.nodeid = node,
		.uid = c->uid,
		.gid = c->gid,
		.pid = 1,
	};
	size_t reply_len = sizeof(struct fuse_out_header) + c->reply_max;
	uint8_t *request = malloc(head.len), *reply = malloc(reply_len);
	struct iovec in[FS_IOV_MAX], out[FS_IOV_MAX];
	unsigned int in_count, out_count;
	int r;

	assert_non_null(request);
	assert_non_null(reply);
	memcpy(request, &head, sizeof(head));
	if (a_len)
		memcpy(request + sizeof(head), a, a_len);
	if (b_len)
		memcpy(request + sizeof(head) + a_len, b, b_len);
	in_count = cut(c, request, head.len, in, FS_IOV_MAX);
	out_count = cut(c, reply, reply_len, out, FS_IOV_MAX);
	r = take_reply(c, reply,
		       fs_handle(c->server, in, in_count, out, out_count));
	free(request);
	free(reply);
	return r;
}

/* Copies the contents of a reply that must have this size. */
static int give(struct client *c, int r, void *to, size_t size)
{
	if (r == 0 && to) {
		assert_int_equal(c->reply_len, size);
		memcpy(to, c->reply, size);
	}
	return r;
}

int client_init(struct client *c, uint64_t flags, struct fuse_init_out *out)
{
	struct fuse_init_in in = {
		.major = 7,
		.minor = 41,
		.max_readahead = 131072,
		.flags = (uint32_t)flags,
		.flags2 = (uint32_t)(flags >> 32),
	};
	struct fuse_init_out reply;
	int r = give(c, client_call(c, FUSE_INIT, 0, &in, sizeof(in), NULL, 0),
		     &reply, sizeof(reply));

	if (r == 0)
		c->flags = reply.flags | (uint64_t)reply.flags2 << 32;
	if (r == 0 && out)
		*out = reply;
	return r;
}

int client_lookup(struct client *c, uint64_t dir, const char *name,
		  struct fuse_entry_out *entry)
{
	return give(c,
		    client_call(c, FUSE_LOOKUP, dir, name, strlen(name) + 1,
				NULL, 0),
		    entry, sizeof(*entry));
}

uint64_t client_walk(struct client *c, const char *path)
{
	struct fuse_entry_out entry = { .nodeid = FUSE_ROOT_ID };
	char copy[4096], *state, *part;

	snprintf(copy, sizeof(copy), "%s", path);
	for (part = strtok_r(copy, "/", &state); part;
	     part = strtok_r(NULL, "/", &state))
		assert_int_equal(client_lookup(c, entry.nodeid, part, &entry),
				 0);
	return entry.nodeid;
}

void client_forget(struct client *c, uint64_t node, uint64_t count)
{
	struct fuse_forget_in in = { count };

	assert_int_equal(client_call(c, FUSE_FORGET, node, &in, sizeof(in),
				     NULL, 0),
			 CLIENT_NO_REPLY);
}

int client_getattr(struct client *c, uint64_t node, struct fuse_attr *attr)
{
	struct fuse_getattr_in in = { 0 };
	struct fuse_attr_out out;
	int r = give(c,
		     client_call(c, FUSE_GETATTR, node, &in, sizeof(in), NULL,
				 0),
		     &out, sizeof(out));

	if (r == 0)
		*attr = out.attr;
	return r;
}

int client_setattr(struct client *c, uint64_t node,
		   const struct fuse_setattr_in *in, struct fuse_attr *attr)
{
	struct fuse_attr_out out;
	int r = give(c,
		     client_call(c, FUSE_SETATTR, node, in, sizeof(*in), NULL,
				 0),
		     &out, sizeof(out));

	if (r == 0)
		*attr = out.attr;
	return r;
}

int client_mkdir(struct client *c, uint64_t dir, const char *name,
		 uint32_t mode, uint64_t *node)
{
	struct fuse_mkdir_in in = { mode, 0 };
	struct fuse_entry_out entry;
	int r = give(c,
		     client_call(c, FUSE_MKDIR, dir, &in, sizeof(in), name,
				 strlen(name) + 1),
		     &entry, sizeof(entry));

	if (r == 0)
		*node = entry.nodeid;
	return r;
}

int client_create_file(struct client *c, uint64_t dir, const char *name,
		       uint32_t flags, uint32_t mode, uint64_t *node,
		       uint64_t *fh)
{
	struct fuse_create_in in = { .flags = flags, .mode = mode };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	int r = give(c,
		     client_call(c, FUSE_CREATE, dir, &in, sizeof(in), name,
				 strlen(name) + 1),
		     &out, sizeof(out));

	if (r == 0) {
		*node = out.entry.nodeid;
		*fh = out.open.fh;
	}
	return r;
}

static int open_any(struct client *c, uint32_t opcode, uint64_t node,
		    uint32_t flags, uint64_t *fh)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out;
	int r = give(c, client_call(c, opcode, node, &in, sizeof(in), NULL, 0),
		     &out, sizeof(out));

	if (r == 0)
		*fh = out.fh;
	return r;
}

int client_open(struct client *c, uint64_t node, uint32_t flags, uint64_t *fh)
{
	return open_any(c, FUSE_OPEN, node, flags, fh);
}

int client_opendir(struct client *c, uint64_t node, uint64_t *fh)
{
	return open_any(c, FUSE_OPENDIR, node, 0, fh);
}

int client_release(struct client *c, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = { .fh = fh };

	return client_call(c, FUSE_RELEASE, node, &in, sizeof(in), NULL, 0);
}

ssize_t client_read(struct client *c, uint64_t node, uint64_t fh,
		    uint64_t offset, void *to, size_t len)
{
	struct fuse_read_in in = { .fh = fh,
				   .offset = offset,
				   .size = (uint32_t)len };
	size_t max = c->reply_max;
	int r;

	c->reply_max = len;
	r = client_call(c, FUSE_READ, node, &in, sizeof(in), NULL, 0);
	c->reply_max = max;
	if (r)
		return r;
	assert_in_range(c->reply_len, 0, len);
	memcpy(to, c->reply, c->reply_len);
	return (ssize_t)c->reply_len;
}

ssize_t client_write(struct client *c, uint64_t node, uint64_t fh,
		     uint64_t offset, const void *from, size_t len,
		     uint32_t flags, uint32_t write_flags)
{
	struct fuse_write_in in = { .fh = fh,
				    .offset = offset,
				    .size = (uint32_t)len,
				    .flags = flags,
				    .write_flags = write_flags };
	struct fuse_write_out out;
	int r = give(c,
		     client_call(c, FUSE_WRITE, node, &in, sizeof(in), from,
				 len),
		     &out, sizeof(out));

	return r ? r : (ssize_t)out.size;
}

int client_setxattr(struct client *c, uint64_t node, const char *name,
		    const void *value, size_t len, uint32_t flags,
		    uint32_t extra)
{
	struct fuse_setxattr_in in = { .size = (uint32_t)len,
				       .flags = flags,
				       .setxattr_flags = extra };
	size_t name_len = strlen(name) + 1;
	char all[1024];

	memcpy(all, name, name_len);
	memcpy(all + name_len, value, len);
	return client_call(c, FUSE_SETXATTR, node, &in,
			   c->flags & FUSE_SETXATTR_EXT ?
				   sizeof(in) :
				   FUSE_COMPAT_SETXATTR_IN_SIZE,
			   all, name_len + len);
}

int client_getxattr(struct client *c, uint64_t node, const char *name,
		    uint32_t space)
{
	struct fuse_getxattr_in in = { .size = space };

	return client_call(c, name ? FUSE_GETXATTR : FUSE_LISTXATTR, node, &in,
			   sizeof(in), name, name ? strlen(name) + 1 : 0);
}

int client_unlink(struct client *c, uint64_t dir, const char *name)
{
	return client_call(c, FUSE_UNLINK, dir, name, strlen(name) + 1, NULL,
			   0);
}

int client_rename(struct client *c, uint64_t dir, const char *name,
		  uint64_t new_dir, const char *new_name, uint32_t flags)
{
	struct fuse_rename2_in in = { .newdir = new_dir, .flags = flags };
	char names[600];
	size_t len = strlen(name) + 1;

	strcpy(names, name);
	strcpy(names + len, new_name);
	return client_call(c, FUSE_RENAME2, dir, &in, sizeof(in), names,
			   len + strlen(new_name) + 1);
}

void host_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

size_t host_read(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, to, size - 1);
	assert_true(n >= 0);
	to[n] = '\0';
	close(fd);
	return (size_t)n;
}

unsigned int host_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	/* ".", "..", and that of the directory itself. */
	return n - 3;
}
