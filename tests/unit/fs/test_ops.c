/* SPDX-License-Identifier: BSD-2-Clause */
/* Every operation, by its reply and by what the host's file system has then. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/skip.h"
#include "vmm/fs/uapi.h"

static const struct fs_config usual = { .cache = FS_CACHE_AUTO };

static void test_init(void **state)
{
	struct fuse_init_out out;
	struct fuse_attr attr;
	struct client c;

	(void)state;
	client_create(&c, &usual);
	assert_int_equal(client_getattr(&c, 1, &attr), -EINVAL);
	assert_int_equal(client_init(&c, UINT64_MAX, &out), 0);
	assert_int_equal(out.major, 7);
	assert_true(out.minor >= 31);
	assert_int_equal(out.max_write, 1 << 20);
	assert_int_equal(out.max_pages, 256);
	assert_int_equal(out.max_readahead, 131072);
	assert_true(out.flags & FUSE_PARALLEL_DIROPS);
	assert_true(out.flags & FUSE_ATOMIC_O_TRUNC);
	assert_true(out.flags & FUSE_READDIRPLUS_AUTO);
	assert_false(out.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS));
	assert_false(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_EXPORT_SUPPORT));
	assert_int_equal(client_getattr(&c, 1, &attr), 0);
	/* Only what the guest offers. */
	assert_int_equal(client_init(&c, FUSE_ASYNC_READ, &out), 0);
	assert_int_equal(out.flags, FUSE_ASYNC_READ);
	assert_int_equal(out.flags2, 0);
	client_finish(&c);
}

static void test_init_versions(void **state)
{
	struct fuse_init_in in = { .major = 8, .minor = 0 };
	struct client c;

	(void)state;
	client_create(&c, &usual);
	assert_int_equal(client_call(&c, FUSE_INIT, 0, &in, sizeof(in), NULL,
				     0),
			 0);
	assert_int_equal(((struct fuse_init_out *)c.reply)->major, 7);
	in.major = 7;
	in.minor = 30;
	assert_int_equal(client_call(&c, FUSE_INIT, 0, &in, sizeof(in), NULL,
				     0),
			 -EPROTO);
	/* 7.31 sends the short form. */
	in.minor = 31;
	assert_int_equal(client_call(&c, FUSE_INIT, 0, &in, 16, NULL, 0), 0);
	client_finish(&c);
}

static void test_cache_modes(void **state)
{
	struct fs_config config = usual;
	struct fuse_entry_out entry;
	struct fuse_init_out out;
	struct client c;
	uint64_t fh;

	(void)state;
	config.cache = FS_CACHE_ALWAYS;
	client_create(&c, &config);
	assert_int_equal(client_init(&c, UINT64_MAX, &out), 0);
	assert_true(out.flags & FUSE_WRITEBACK_CACHE);
	host_write(client_path(&c, "f"), "x");
	assert_int_equal(client_lookup(&c, 1, "f", &entry), 0);
	assert_true(entry.entry_valid >= 3600 && entry.attr_valid >= 3600);
	/* A name that is not there may be remembered. */
	assert_int_equal(client_lookup(&c, 1, "no", &entry), 0);
	assert_int_equal(entry.nodeid, 0);
	assert_int_equal(client_open(&c, client_walk(&c, "f"), O_RDONLY, &fh),
			 0);
	assert_true(((struct fuse_open_out *)c.reply)->open_flags &
		    FOPEN_KEEP_CACHE);
	client_finish(&c);

	config.cache = FS_CACHE_NEVER;
	client_create(&c, &config);
	assert_int_equal(client_init(&c, UINT64_MAX, &out), 0);
	assert_true(out.flags2 & (FS_DIRECT_IO_ALLOW_MMAP >> 32));
	host_write(client_path(&c, "f"), "x");
	assert_int_equal(client_lookup(&c, 1, "f", &entry), 0);
	assert_int_equal(entry.entry_valid + entry.attr_valid, 0);
	assert_int_equal(client_lookup(&c, 1, "no", &entry), -ENOENT);
	assert_int_equal(client_open(&c, client_walk(&c, "f"), O_RDONLY, &fh),
			 0);
	assert_true(((struct fuse_open_out *)c.reply)->open_flags &
		    FOPEN_DIRECT_IO);
	client_finish(&c);
}

/* With auto, pages are kept while only the guest changes the file. */
static void test_cache_auto_keeps(void **state)
{
	struct fuse_open_out *out;
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	out = (struct fuse_open_out *)c.reply;
	host_write(client_path(&c, "f"), "one");
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	assert_false(out->open_flags & FOPEN_KEEP_CACHE);
	assert_int_equal(client_write(&c, node, fh, 0, "two", 3, 0, 0), 3);
	assert_int_equal(client_release(&c, node, fh), 0);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	assert_true(out->open_flags & FOPEN_KEEP_CACHE);
	host_write(client_path(&c, "f"), "three");
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	assert_false(out->open_flags & FOPEN_KEEP_CACHE);
	client_finish(&c);
}

static void test_lookup_and_attr(void **state)
{
	struct fuse_entry_out entry, other;
	struct fuse_attr attr;
	struct client c;
	struct stat st;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "file"), "hello");
	assert_int_equal(link(client_path(&c, "file"), client_path(&c, "also")),
			 0);
	assert_int_equal(stat(client_path(&c, "file"), &st), 0);
	assert_int_equal(client_lookup(&c, 1, "file", &entry), 0);
	assert_true(entry.nodeid > 1);
	assert_int_equal(entry.attr.ino, st.st_ino);
	assert_int_equal(entry.attr.size, 5);
	assert_int_equal(entry.attr.mode, S_IFREG | 0644);
	assert_int_equal(entry.attr.nlink, 2);
	assert_int_equal(entry.attr.mtime, st.st_mtim.tv_sec);
	assert_int_equal(entry.attr.mtimensec, st.st_mtim.tv_nsec);
	assert_int_equal(client_lookup(&c, 1, "also", &other), 0);
	assert_int_equal(other.nodeid, entry.nodeid);
	assert_int_equal(client_lookup(&c, 1, "absent", &other), -ENOENT);
	assert_int_equal(client_lookup(&c, entry.nodeid, "x", &other),
			 -ENOTDIR);
	assert_int_equal(client_getattr(&c, entry.nodeid, &attr), 0);
	assert_memory_equal(&attr, &entry.attr, sizeof(attr));
	/* Two lookups, so the second forget ends the id. */
	client_forget(&c, entry.nodeid, 1);
	assert_int_equal(client_getattr(&c, entry.nodeid, &attr), 0);
	client_forget(&c, entry.nodeid, 1);
	assert_int_equal(client_getattr(&c, entry.nodeid, &attr), -ESTALE);
	assert_int_equal(client_lookup(&c, 1, "file", &other), 0);
	assert_true(other.nodeid != entry.nodeid);
	client_finish(&c);
}

static void test_batch_forget(void **state)
{
	struct {
		struct fuse_batch_forget_in head;
		struct fuse_forget_one one[3];
	} in = { .head = { .count = 3 } };
	struct fuse_attr attr;
	struct fs_usage usage;
	struct client c;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "a"), "");
	host_write(client_path(&c, "b"), "");
	in.one[0] = (struct fuse_forget_one){ client_walk(&c, "a"), 1 };
	in.one[1] =
		(struct fuse_forget_one){ client_walk(&c, "b"), UINT64_MAX };
	in.one[2] = (struct fuse_forget_one){ 1, 5 };
	assert_int_equal(client_call(&c, FUSE_BATCH_FORGET, 0, &in, sizeof(in),
				     NULL, 0),
			 CLIENT_NO_REPLY);
	fs_usage(c.server, &usage);
	assert_int_equal(usage.inodes, 1);
	assert_int_equal(usage.fds, 1);
	assert_int_equal(client_getattr(&c, 1, &attr), 0);
	client_finish(&c);
}

static void test_setattr(void **state)
{
	struct fuse_setattr_in in = { 0 };
	struct fuse_attr attr;
	struct client c;
	struct stat st;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "0123456789");
	node = client_walk(&c, "f");
	in.valid = FATTR_MODE;
	in.mode = S_IFREG | 0604;
	assert_int_equal(client_setattr(&c, node, &in, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0604);
	in.valid = FATTR_SIZE;
	in.size = 4;
	assert_int_equal(client_setattr(&c, node, &in, &attr), 0);
	assert_int_equal(attr.size, 4);
	in.valid = FATTR_ATIME | FATTR_MTIME;
	in.atime = 1000;
	in.atimensec = 5;
	in.mtime = 2000;
	in.mtimensec = 999999999;
	assert_int_equal(client_setattr(&c, node, &in, &attr), 0);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0604);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_atim.tv_sec, 1000);
	assert_int_equal(st.st_atim.tv_nsec, 5);
	assert_int_equal(st.st_mtim.tv_sec, 2000);
	assert_int_equal(st.st_mtim.tv_nsec, 999999999);
	in.valid = FATTR_MTIME_NOW;
	assert_int_equal(client_setattr(&c, node, &in, &attr), 0);
	assert_true(attr.mtime > 2000);
	assert_int_equal(attr.atime, 1000);
	in.valid = FATTR_MTIME;
	in.mtimensec = 1000000000;
	assert_int_equal(client_setattr(&c, node, &in, &attr), -EINVAL);
	/* By a handle that may write where the mode no longer allows it. */
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	in.valid = FATTR_SIZE | FATTR_FH;
	in.size = 8192;
	in.fh = fh;
	assert_int_equal(client_setattr(&c, node, &in, &attr), 0);
	assert_int_equal(attr.size, 8192);
	in.size = UINT64_MAX;
	assert_int_equal(client_setattr(&c, node, &in, &attr), -EFBIG);
	in.valid = FATTR_SIZE;
	in.size = 0;
	assert_int_equal(client_setattr(&c, 1, &in, &attr), -EISDIR);
	client_finish(&c);
}

static void test_symlink(void **state)
{
	static const char both[] = "link\0../../etc/passwd";
	struct fuse_setattr_in in = { .valid = FATTR_MTIME, .mtime = 77 };
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	char target[64] = "";
	struct client c;
	struct stat st;
	uint64_t fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_call(&c, FUSE_SYMLINK, 1, both, sizeof(both),
				     NULL, 0),
			 0);
	memcpy(&entry, c.reply, sizeof(entry));
	assert_int_equal(entry.attr.mode & S_IFMT, S_IFLNK);
	assert_int_equal(readlink(client_path(&c, "link"), target, 63), 16);
	assert_string_equal(target, "../../etc/passwd");
	assert_int_equal(client_call(&c, FUSE_READLINK, entry.nodeid, NULL, 0,
				     NULL, 0),
			 0);
	assert_int_equal(c.reply_len, 16);
	assert_memory_equal(c.reply, "../../etc/passwd", 16);
	/* The link itself, never what it names. */
	assert_int_equal(client_open(&c, entry.nodeid, O_RDONLY, &fh), -ELOOP);
	assert_int_equal(client_setattr(&c, entry.nodeid, &in, &attr), 0);
	assert_int_equal(lstat(client_path(&c, "link"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 77);
	in.valid = FATTR_MODE;
	assert_int_equal(client_setattr(&c, entry.nodeid, &in, &attr),
			 -EOPNOTSUPP);
	assert_int_equal(client_call(&c, FUSE_READLINK, 1, NULL, 0, NULL, 0),
			 -EINVAL);
	client_finish(&c);
}

static int make_node(struct client *c, const char *name, uint32_t mode)
{
	struct fuse_mknod_in in = { .mode = mode, .rdev = 0x103, .umask = 022 };

	return client_call(c, FUSE_MKNOD, 1, &in, sizeof(in), name,
			   strlen(name) + 1);
}

static void test_mknod(void **state)
{
	struct fs_config config = usual;
	struct client c;
	struct stat st;
	uint64_t fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(make_node(&c, "reg", S_IFREG | 0666), 0);
	assert_int_equal(make_node(&c, "fifo", S_IFIFO | 0666), 0);
	assert_int_equal(make_node(&c, "sock", S_IFSOCK | 0777), 0);
	assert_int_equal(make_node(&c, "null", S_IFCHR | 0666), -EPERM);
	assert_int_equal(make_node(&c, "dir", S_IFDIR | 0777), -EINVAL);
	assert_int_equal(make_node(&c, "reg", S_IFREG | 0666), -EEXIST);
	assert_int_equal(stat(client_path(&c, "reg"), &st), 0);
	/* The request's umask, as FUSE_DONT_MASK was negotiated. */
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(stat(client_path(&c, "fifo"), &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	/* Would wait for a writer if it were opened. */
	assert_int_equal(client_open(&c, client_walk(&c, "fifo"), O_RDONLY,
				     &fh),
			 -EINVAL);
	client_finish(&c);
	if (geteuid() != 0)
		return;
	config.allow_devices = true;
	client_start(&c, &config);
	assert_int_equal(make_node(&c, "null", S_IFCHR | 0666), 0);
	assert_int_equal(((struct fuse_entry_out *)c.reply)->attr.rdev, 0x103);
	assert_int_equal(stat(client_path(&c, "null"), &st), 0);
	assert_int_equal(st.st_rdev, 0x103);
	assert_int_equal(client_open(&c, client_walk(&c, "null"), O_RDONLY,
				     &fh),
			 -EINVAL);
	client_finish(&c);
}

static void test_directories(void **state)
{
	struct client c;
	struct stat st;
	uint64_t a, b;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_mkdir(&c, 1, "a", 0750, &a), 0);
	assert_int_equal(client_mkdir(&c, a, "b", 01777, &b), 0);
	assert_int_equal(stat(client_path(&c, "a/b"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 01777);
	assert_int_equal(client_mkdir(&c, 1, "a", 0750, &a), -EEXIST);
	assert_int_equal(client_unlink(&c, 1, "a"), -EISDIR);
	assert_int_equal(client_call(&c, FUSE_RMDIR, 1, "a", 2, NULL, 0),
			 -ENOTEMPTY);
	assert_int_equal(client_call(&c, FUSE_RMDIR, a, "b", 2, NULL, 0), 0);
	assert_int_equal(client_call(&c, FUSE_RMDIR, 1, "a", 2, NULL, 0), 0);
	assert_int_equal(stat(client_path(&c, "a"), &st), -1);
	client_finish(&c);
}

static void test_rename(void **state)
{
	struct fuse_rename_in in = { 0 };
	struct fuse_attr attr;
	char text[16];
	struct client c;
	uint64_t d, one, two;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "one"), "1");
	host_write(client_path(&c, "two"), "2");
	one = client_walk(&c, "one");
	two = client_walk(&c, "two");
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &d), 0);
	assert_int_equal(client_rename(&c, 1, "one", 1, "two",
				       1 /* NOREPLACE */),
			 -EEXIST);
	assert_int_equal(client_rename(&c, 1, "one", 1, "two",
				       2 /* EXCHANGE */),
			 0);
	host_read(client_path(&c, "one"), text, sizeof(text));
	assert_string_equal(text, "2");
	assert_int_equal(client_walk(&c, "two"), one);
	assert_int_equal(client_walk(&c, "one"), two);
	in.newdir = d;
	assert_int_equal(client_call(&c, FUSE_RENAME, 1, &in, sizeof(in),
				     "one\0new", 8),
			 0);
	host_read(client_path(&c, "d/new"), text, sizeof(text));
	assert_string_equal(text, "2");
	assert_int_equal(client_walk(&c, "d/new"), two);
	/* Over an existing file, whose inode stays valid. */
	assert_int_equal(client_rename(&c, d, "new", 1, "two", 0), 0);
	assert_int_equal(client_getattr(&c, one, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(client_rename(&c, 1, "absent", 1, "x", 0), -ENOENT);
	assert_int_equal(client_rename(&c, 1, "two", 1, "x", 4 /* WHITEOUT */),
			 -EINVAL);
	assert_int_equal(client_rename(&c, 1, "d", d, "d", 0), -EINVAL);
	client_finish(&c);
}

static void test_link(void **state)
{
	struct fuse_link_in in = { 0 };
	struct client c;
	struct stat st;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "x");
	assert_int_equal(symlink("f", client_path(&c, "s")), 0);
	in.oldnodeid = client_walk(&c, "f");
	assert_int_equal(client_call(&c, FUSE_LINK, 1, &in, sizeof(in), "g", 2),
			 0);
	assert_int_equal(((struct fuse_entry_out *)c.reply)->nodeid,
			 in.oldnodeid);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	/* A link to a symbolic link is one to itself. */
	in.oldnodeid = client_walk(&c, "s");
	assert_int_equal(client_call(&c, FUSE_LINK, 1, &in, sizeof(in), "t", 2),
			 0);
	assert_int_equal(lstat(client_path(&c, "t"), &st), 0);
	assert_true(S_ISLNK(st.st_mode) && st.st_nlink == 2);
	client_finish(&c);
}

static void test_create_read_write(void **state)
{
	char text[64];
	struct client c;
	uint64_t node, fh, other;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR | O_CREAT, 0640,
					    &node, &fh),
			 0);
	assert_int_equal(client_write(&c, node, fh, 0, "hello world", 11, 0, 0),
			 11);
	assert_int_equal(client_write(&c, node, fh, 6, "there", 5, 0, 0), 5);
	assert_int_equal(client_read(&c, node, fh, 3, text, 64), 8);
	assert_memory_equal(text, "lo there", 8);
	assert_int_equal(client_read(&c, node, fh, 11, text, 64), 0);
	host_read(client_path(&c, "f"), text, sizeof(text));
	assert_string_equal(text, "hello there");
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR | O_EXCL, 0640,
					    &node, &other),
			 -EEXIST);
	/* An existing one is opened, and shortened when that was asked for. */
	assert_int_equal(client_create_file(&c, 1, "f", O_WRONLY | O_TRUNC,
					    0640, &other, &fh),
			 0);
	assert_int_equal(other, node);
	assert_int_equal(((struct fuse_entry_out *)c.reply)->attr.size, 0);
	assert_int_equal(host_read(client_path(&c, "f"), text, 64), 0);
	assert_int_equal(client_read(&c, node, fh, 0, text, 1), -EBADF);
	assert_int_equal(client_release(&c, node, fh), 0);
	assert_int_equal(client_release(&c, node, fh), -EBADF);
	assert_int_equal(client_read(&c, node, fh, 0, text, 1), -EBADF);
	/* Neither a symbolic link nor a directory is created through. */
	assert_int_equal(symlink("f", client_path(&c, "s")), 0);
	assert_int_equal(client_create_file(&c, 1, "s", O_RDWR, 0640, &node,
					    &fh),
			 -ELOOP);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	assert_int_equal(client_create_file(&c, 1, "d", O_RDWR, 0640, &node,
					    &fh),
			 -EISDIR);
	client_finish(&c);
}

static void test_append(void **state)
{
	char text[64];
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "12345678");
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_WRONLY | O_APPEND, &fh), 0);
	/* Another has appended, which the guest did not see. */
	assert_int_equal(client_write(&c, node, fh, 2, "ab", 2, O_APPEND, 0),
			 2);
	/* A page of a mapping goes to its place all the same. */
	assert_int_equal(client_write(&c, node, fh, 0, "XY", 2, O_APPEND,
				      FUSE_WRITE_CACHE),
			 2);
	host_read(client_path(&c, "f"), text, sizeof(text));
	assert_string_equal(text, "XY345678ab");
	assert_int_equal(client_open(&c, node, O_WRONLY | O_TRUNC, &fh), 0);
	assert_int_equal(host_read(client_path(&c, "f"), text, 64), 0);
	client_finish(&c);
}

/*
 * The largest transfers, in pages, as the guest does them.  A guest with pages of
 * 64 KiB reads more at once: it would take fewer bytes for the file's end.
 */
static void test_large_io(void **state)
{
	uint8_t *data = malloc(FS_IO_BYTES_MAX),
		*back = malloc(FS_READ_BYTES_MAX);
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	for (size_t i = 0; i < FS_IO_BYTES_MAX; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0644, &node,
					    &fh),
			 0);
	assert_int_equal(client_write(&c, node, fh, 4096, data, FS_IO_BYTES_MAX,
				      0, 0),
			 FS_IO_BYTES_MAX);
	assert_int_equal(client_read(&c, node, fh, 4096, back, FS_IO_BYTES_MAX),
			 FS_IO_BYTES_MAX);
	assert_memory_equal(data, back, FS_IO_BYTES_MAX);
	assert_int_equal(truncate(client_path(&c, "f"), FS_READ_BYTES_MAX), 0);
	assert_int_equal(client_read(&c, node, fh, 0, back, FS_READ_BYTES_MAX),
			 FS_READ_BYTES_MAX);
	assert_memory_equal(data, back + 4096, FS_IO_BYTES_MAX);
	free(data);
	free(back);
	client_finish(&c);
}

static void test_tmpfile(void **state)
{
	struct fuse_create_in in = { .flags = O_RDWR, .mode = 0600 };
	struct fuse_link_in link_in = { 0 };
	struct fuse_attr attr;
	char text[16];
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_call(&c, FS_OP_TMPFILE, 1, &in, sizeof(in), "/",
				     2),
			 0);
	node = ((struct fuse_entry_out *)c.reply)->nodeid;
	fh = ((struct fuse_open_out *)(c.reply + sizeof(struct fuse_entry_out)))
		     ->fh;
	assert_int_equal(client_write(&c, node, fh, 0, "temp", 4, 0, 0), 4);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 4);
	link_in.oldnodeid = node;
	assert_int_equal(client_call(&c, FUSE_LINK, 1, &link_in,
				     sizeof(link_in), "named", 6),
			 0);
	host_read(client_path(&c, "named"), text, sizeof(text));
	assert_string_equal(text, "temp");
	client_finish(&c);
}

/* An open file without a name is the guest's until it is released. */
static void test_unlinked(void **state)
{
	struct fuse_attr attr;
	char text[8];
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "text");
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	assert_int_equal(client_unlink(&c, 1, "f"), 0);
	assert_int_equal(access(client_path(&c, "f"), F_OK), -1);
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), 4);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(client_unlink(&c, 1, "f"), -ENOENT);
	client_finish(&c);
}

static void test_flush_and_sync(void **state)
{
	struct fuse_flush_in flush = { 0 };
	struct fuse_fsync_in sync = { 0 };
	struct client c;
	uint64_t node, fh, dir_fh, pad = 0;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0644, &node,
					    &fh),
			 0);
	assert_int_equal(client_opendir(&c, 1, &dir_fh), 0);
	flush.fh = sync.fh = fh;
	assert_int_equal(client_call(&c, FUSE_FLUSH, node, &flush,
				     sizeof(flush), NULL, 0),
			 0);
	assert_int_equal(client_call(&c, FUSE_FSYNC, node, &sync, sizeof(sync),
				     NULL, 0),
			 0);
	sync.fsync_flags = FUSE_FSYNC_FDATASYNC;
	assert_int_equal(client_call(&c, FUSE_FSYNC, node, &sync, sizeof(sync),
				     NULL, 0),
			 0);
	assert_int_equal(client_call(&c, FUSE_FSYNCDIR, node, &sync,
				     sizeof(sync), NULL, 0),
			 -EBADF);
	sync.fh = dir_fh;
	assert_int_equal(client_call(&c, FUSE_FSYNCDIR, 1, &sync, sizeof(sync),
				     NULL, 0),
			 0);
	assert_int_equal(client_call(&c, FS_OP_SYNCFS, 1, &pad, sizeof(pad),
				     NULL, 0),
			 0);
	client_finish(&c);
}

/* Reads a directory whole, in replies of @size; how many names. */
static unsigned int list(struct client *c, uint32_t opcode, uint64_t node,
			 uint64_t fh, uint32_t size, bool seen[])
{
	bool plus = opcode == FUSE_READDIRPLUS;
	struct fuse_read_in in = { .fh = fh, .size = size };
	static uint8_t reply[65536];
	unsigned int count = 0;
	size_t len;

	for (;;) {
		assert_int_equal(client_call(c, opcode, node, &in, sizeof(in),
					     NULL, 0),
				 0);
		assert_in_range(c->reply_len, 0, size);
		if (!c->reply_len)
			return count;
		/* The forgets below have replies of their own. */
		len = c->reply_len;
		memcpy(reply, c->reply, len);
		for (size_t at = 0; at < len;) {
			struct fuse_entry_out entry = { 0 };
			struct fuse_dirent d;
			char name[256] = "";
			unsigned long n;

			if (plus) {
				memcpy(&entry, reply + at, sizeof(entry));
				at += sizeof(entry);
			}
			memcpy(&d, reply + at, FUSE_NAME_OFFSET);
			memcpy(name, reply + at + FUSE_NAME_OFFSET, d.namelen);
			at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen);
			in.offset = d.off;
			count++;
			if (*name == '.') {
				assert_int_equal(entry.nodeid, 0);
				continue;
			}
			n = strtoul(name + 1, NULL, 10);
			assert_false(seen[n]);
			seen[n] = true;
			assert_int_equal(d.type, DT_REG);
			if (!plus)
				continue;
			assert_int_equal(entry.attr.ino, d.ino);
			assert_int_equal(entry.attr.size, 2);
			client_forget(c, entry.nodeid, 1);
		}
	}
}

static void test_readdir(void **state)
{
	static const uint32_t sizes[] = { 512, 4096, 65536 };
	char name[16];
	struct client c;
	struct fs_usage usage;
	uint64_t fh;

	(void)state;
	client_start(&c, &usual);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		host_write(client_path(&c, name), "xy");
	}
	assert_int_equal(client_opendir(&c, 1, &fh), 0);
	for (size_t i = 0; i < 3; i++) {
		bool seen[1000] = { false }, again[1000] = { false };

		assert_int_equal(list(&c, FUSE_READDIR, 1, fh, sizes[i], seen),
				 1002);
		assert_int_equal(list(&c, FUSE_READDIRPLUS, 1, fh, sizes[i],
				      again),
				 1002);
	}
	fs_usage(c.server, &usage);
	assert_int_equal(usage.inodes, 1);
	client_finish(&c);
}

/* What READDIRPLUS gave is used without another lookup. */
static void test_readdirplus_ids(void **state)
{
	struct fuse_read_in in = { .size = 4096 };
	struct fuse_entry_out entry;
	struct client c;
	char text[8];
	uint64_t fh;
	size_t at = 0;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "file"), "abc");
	assert_int_equal(client_opendir(&c, 1, &in.fh), 0);
	assert_int_equal(client_call(&c, FUSE_READDIRPLUS, 1, &in, sizeof(in),
				     NULL, 0),
			 0);
	do {
		assert_true(at < c.reply_len);
		memcpy(&entry, c.reply + at, sizeof(entry));
		at += sizeof(entry) + FUSE_NAME_OFFSET + 8;
	} while (!entry.nodeid);
	assert_int_equal(client_open(&c, entry.nodeid, O_RDONLY, &fh), 0);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 0, text, 3), 3);
	assert_memory_equal(text, "abc", 3);
	client_finish(&c);
}

static void test_statfs_and_access(void **state)
{
	struct fuse_access_in in = { .mask = R_OK };
	struct client c;
	uint64_t node;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_call(&c, FUSE_STATFS, 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(c.reply_len, sizeof(struct fuse_statfs_out));
	assert_true(((struct fuse_statfs_out *)c.reply)->st.blocks > 0);
	assert_int_equal(((struct fuse_statfs_out *)c.reply)->st.namelen, 255);
	host_write(client_path(&c, "f"), "");
	assert_int_equal(chmod(client_path(&c, "f"), 0644), 0);
	node = client_walk(&c, "f");
	assert_int_equal(client_call(&c, FUSE_ACCESS, node, &in, sizeof(in),
				     NULL, 0),
			 0);
	in.mask = X_OK;
	assert_int_equal(client_call(&c, FUSE_ACCESS, node, &in, sizeof(in),
				     NULL, 0),
			 -EACCES);
	client_finish(&c);
}

static void test_space(void **state)
{
	struct fuse_fallocate_in alloc = { .length = 65536 };
	struct fuse_copy_file_range_in copy = { .len = 5 };
	struct fuse_lseek_in seek = { .whence = SEEK_HOLE };
	struct client c;
	struct stat st;
	char text[16];
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0644, &node,
					    &fh),
			 0);
	alloc.fh = seek.fh = fh;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &alloc,
				     sizeof(alloc), NULL, 0),
			 0);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_size, 65536);
	assert_true(st.st_blocks >= 128);
	alloc.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &alloc,
				     sizeof(alloc), NULL, 0),
			 0);
	assert_int_equal(client_write(&c, node, fh, 32768, "data!", 5, 0, 0),
			 5);
	assert_int_equal(client_call(&c, FUSE_LSEEK, node, &seek, sizeof(seek),
				     NULL, 0),
			 0);
	assert_int_equal(((struct fuse_lseek_out *)c.reply)->offset, 0);
	seek.whence = SEEK_DATA;
	assert_int_equal(client_call(&c, FUSE_LSEEK, node, &seek, sizeof(seek),
				     NULL, 0),
			 0);
	assert_int_equal(((struct fuse_lseek_out *)c.reply)->offset, 32768);
	seek.whence = SEEK_SET;
	assert_int_equal(client_call(&c, FUSE_LSEEK, node, &seek, sizeof(seek),
				     NULL, 0),
			 -EINVAL);
	alloc.mode = FALLOC_FL_COLLAPSE_RANGE;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &alloc,
				     sizeof(alloc), NULL, 0),
			 -EOPNOTSUPP);
	copy.fh_in = fh;
	copy.off_in = 32768;
	assert_int_equal(client_create_file(&c, 1, "g", O_RDWR, 0644,
					    &copy.nodeid_out, &copy.fh_out),
			 0);
	assert_int_equal(client_call(&c, FUSE_COPY_FILE_RANGE, node, &copy,
				     sizeof(copy), NULL, 0),
			 0);
	assert_int_equal(((struct fuse_write_out *)c.reply)->size, 5);
	host_read(client_path(&c, "g"), text, sizeof(text));
	assert_string_equal(text, "data!");
	client_finish(&c);
}

static void test_not_offered(void **state)
{
	static const uint32_t opcodes[] = {
		FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW,	   FUSE_BMAP,
		FUSE_IOCTL, FUSE_POLL,	FUSE_SETUPMAPPING, 0,
		4096,	    UINT32_MAX
	};
	static const uint8_t zeros[64];
	struct client c;

	(void)state;
	client_start(&c, &usual);
	for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
		assert_int_equal(client_call(&c, opcodes[i], 1, zeros,
					     sizeof(zeros), NULL, 0),
				 -ENOSYS);
	assert_int_equal(client_call(&c, FUSE_INTERRUPT, 0, zeros, 8, NULL, 0),
			 CLIENT_NO_REPLY);
	client_finish(&c);
}

static void test_read_only(void **state)
{
	struct fs_config config = { .read_only = true };
	struct fuse_setattr_in attr_in = { .valid = FATTR_MODE };
	struct fuse_access_in access_in = { .mask = W_OK };
	struct fuse_attr attr;
	char text[8];
	struct client c;
	uint64_t node, fh, out;

	(void)state;
	client_start(&c, &config);
	host_write(client_path(&c, "f"), "text");
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), -EROFS);
	assert_int_equal(client_open(&c, node, O_RDONLY | O_TRUNC, &fh),
			 -EROFS);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	assert_int_equal(client_write(&c, node, fh, 0, "x", 1, 0, 0), -EROFS);
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &out), -EROFS);
	assert_int_equal(client_unlink(&c, 1, "f"), -EROFS);
	assert_int_equal(client_rename(&c, 1, "f", 1, "g", 0), -EROFS);
	assert_int_equal(client_setattr(&c, node, &attr_in, &attr), -EROFS);
	assert_int_equal(client_create_file(&c, 1, "n", O_RDONLY, 0644, &out,
					    &out),
			 -EROFS);
	assert_int_equal(client_call(&c, FUSE_ACCESS, node, &access_in,
				     sizeof(access_in), NULL, 0),
			 -EROFS);
	host_read(client_path(&c, "f"), text, sizeof(text));
	assert_string_equal(text, "text");
	client_finish(&c);
}

/* After DESTROY, and after a reset, nothing is held. */
static void test_destroy(void **state)
{
	struct fuse_init_out init;
	struct fuse_attr attr;
	struct fs_usage usage;
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_create(&c, &usual);
	host_write(client_path(&c, "f"), "");
	for (int i = 0; i < 2; i++) {
		unsigned int fds = host_fds();

		assert_int_equal(client_init(&c, UINT64_MAX, &init), 0);
		node = client_walk(&c, "f");
		assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
		assert_int_equal(host_fds(), fds + 2);
		if (i)
			fs_reset(c.server);
		else
			assert_int_equal(client_call(&c, FUSE_DESTROY, 0, NULL,
						     0, NULL, 0),
					 0);
		assert_int_equal(host_fds(), fds);
		fs_usage(c.server, &usage);
		assert_int_equal(usage.inodes, 1);
		assert_int_equal(usage.handles, 0);
		assert_int_equal(client_getattr(&c, 1, &attr), -EINVAL);
	}
	client_finish(&c);
}

static void test_bad_directories(void **state)
{
	struct fs_config config = { .path = "/proc/self/no-such-directory" };
	struct fs_server *server;

	(void)state;
	assert_int_equal(fs_create(&server, &config), -ENOENT);
	config.path = "/proc/self/status";
	assert_int_equal(fs_create(&server, &config), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_init_versions),
		cmocka_unit_test(test_cache_modes),
		cmocka_unit_test(test_cache_auto_keeps),
		cmocka_unit_test(test_lookup_and_attr),
		cmocka_unit_test(test_batch_forget),
		cmocka_unit_test(test_setattr),
		cmocka_unit_test(test_symlink),
		cmocka_unit_test(test_mknod),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_create_read_write),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_large_io),
		cmocka_unit_test(test_tmpfile),
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_flush_and_sync),
		cmocka_unit_test(test_readdir),
		cmocka_unit_test(test_readdirplus_ids),
		cmocka_unit_test(test_statfs_and_access),
		cmocka_unit_test(test_space),
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_destroy),
		cmocka_unit_test(test_bad_directories),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
