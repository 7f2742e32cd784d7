/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions saved and restored, over the same directory, a changed one, a copy. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/skip.h"
#include "vmm/fs/record.h"
#include "vmm/snap/section.h"

static const struct fs_config usual = { .cache = FS_CACHE_AUTO };

/* Restores what @w has into a new server over the same path. */
static int restore(struct client *c, const struct snap_writer *w,
		   bool relocated)
{
	struct snap_reader r = { .data = w->data, .len = w->len };
	int err;

	client_restart(c, &usual);
	err = fs_restore(c->server, &r, relocated);
	return err ? err : snap_reader_error(&r);
}

/* Lists the names of a directory handle; how many. */
static unsigned int count_names(struct client *c, uint64_t node, uint64_t fh,
				uint64_t offset)
{
	struct fuse_read_in in = { .fh = fh, .offset = offset, .size = 4096 };
	struct fuse_dirent d;
	unsigned int n = 0;

	assert_int_equal(client_call(c, FUSE_READDIR, node, &in, sizeof(in),
				     NULL, 0),
			 0);
	for (size_t at = 0; at < c->reply_len; n++) {
		memcpy(&d, c->reply + at, FUSE_NAME_OFFSET);
		at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen);
	}
	return n;
}

static void test_same_directory(void **state)
{
	struct snap_writer w = { 0 };
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct fs_usage usage;
	struct client c;
	uint64_t dir, file, fh, dir_fh, node, other;
	unsigned int fds;
	char text[16];

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(mkdir(client_path(&c, "dir"), 0755), 0);
	host_write(client_path(&c, "dir/old"), "0123456789");
	dir = client_walk(&c, "dir");
	file = client_walk(&c, "dir/old");
	assert_int_equal(client_open(&c, file, O_RDWR, &fh), 0);
	assert_int_equal(client_opendir(&c, dir, &dir_fh), 0);
	/* The place is where the guest has put it. */
	assert_int_equal(client_rename(&c, dir, "old", dir, "file", 0), 0);
	assert_int_equal(client_write(&c, file, fh, 0, "ab", 2, 0, 0), 2);
	assert_int_equal(fs_save(c.server, &w, false), 0);
	assert_int_equal(restore(&c, &w, false), 0);
	fds = host_fds();
	fs_usage(c.server, &usage);
	assert_int_equal(usage.inodes, 3);
	assert_int_equal(usage.handles, 2);
	/* Nothing but the root is open before it is used. */
	assert_int_equal(usage.fds, 1);
	assert_int_equal(client_read(&c, file, fh, 0, text, 10), 10);
	assert_memory_equal(text, "ab23456789", 10);
	assert_int_equal(client_write(&c, file, fh, 2, "cd", 2, 0, 0), 2);
	host_read(client_path(&c, "dir/file"), text, sizeof(text));
	assert_string_equal(text, "abcd456789");
	assert_int_equal(count_names(&c, dir, dir_fh, 0), 3);
	assert_true(host_fds() > fds);
	assert_int_equal(client_getattr(&c, dir, &attr), 0);
	assert_true(S_ISDIR(attr.mode));
	/* New ids are higher; the same files have their old ids. */
	assert_int_equal(client_lookup(&c, dir, "file", &entry), 0);
	assert_int_equal(entry.nodeid, file);
	assert_int_equal(client_mkdir(&c, 1, "new", 0755, &node), 0);
	assert_true(node > file);
	assert_int_equal(client_open(&c, file, O_RDONLY, &other), 0);
	assert_true(other > dir_fh);
	/* Lookup counts are saved: two of walks, one since. */
	client_forget(&c, file, 2);
	assert_int_equal(client_release(&c, file, fh), 0);
	assert_int_equal(client_release(&c, file, other), 0);
	assert_int_equal(client_getattr(&c, file, &attr), -ESTALE);
	snap_writer_finish(&w);
	client_finish(&c);
}

static void test_replaced_files(void **state)
{
	struct snap_writer w = { 0 };
	struct fuse_attr attr;
	struct client c;
	uint64_t gone, other, kind, open_one, fh, same;
	char text[8];

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "gone"), "a");
	host_write(client_path(&c, "other"), "b");
	host_write(client_path(&c, "kind"), "c");
	host_write(client_path(&c, "open"), "d");
	host_write(client_path(&c, "same"), "e");
	gone = client_walk(&c, "gone");
	other = client_walk(&c, "other");
	kind = client_walk(&c, "kind");
	open_one = client_walk(&c, "open");
	same = client_walk(&c, "same");
	assert_int_equal(client_open(&c, open_one, O_RDWR, &fh), 0);
	assert_int_equal(fs_save(c.server, &w, false), 0);
	unlink(client_path(&c, "gone"));
	host_write(client_path(&c, "new"), "secret");
	rename(client_path(&c, "new"), client_path(&c, "other"));
	host_write(client_path(&c, "new"), "secret");
	rename(client_path(&c, "new"), client_path(&c, "open"));
	unlink(client_path(&c, "kind"));
	assert_int_equal(mkdir(client_path(&c, "kind"), 0755), 0);
	assert_int_equal(restore(&c, &w, false), 0);
	assert_int_equal(client_getattr(&c, gone, &attr), -ESTALE);
	assert_int_equal(client_getattr(&c, other, &attr), -ESTALE);
	assert_int_equal(client_getattr(&c, kind, &attr), -ESTALE);
	assert_int_equal(client_read(&c, open_one, fh, 0, text, 6), -ESTALE);
	assert_int_equal(client_write(&c, open_one, fh, 0, "x", 1, 0, 0),
			 -ESTALE);
	assert_int_equal(client_getattr(&c, same, &attr), 0);
	/* The guest looks the name up again, and gets another id. */
	assert_true(client_walk(&c, "other") != other);
	/* It is saved again as it is: what was lost is lost already. */
	snap_writer_finish(&w);
	assert_int_equal(fs_save(c.server, &w, false), 0);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* Starts with a file "f" that is open, and saves; the file's node. */
static uint64_t open_and_save(struct client *c, struct snap_writer *w,
			      uint64_t *fh)
{
	uint64_t node;

	client_start(c, &usual);
	host_write(client_path(c, "f"), "text");
	node = client_walk(c, "f");
	assert_int_equal(client_open(c, node, O_RDWR, fh), 0);
	assert_int_equal(fs_save(c->server, w, false), 0);
	return node;
}

static void test_open_and_unlinked(void **state)
{
	struct snap_writer w = { 0 };
	struct client c;
	uint64_t node, fh;
	char text[8];

	(void)state;
	node = open_and_save(&c, &w, &fh);
	snap_writer_finish(&w);
	assert_int_equal(client_unlink(&c, 1, "f"), 0);
	assert_int_equal(fs_save(c.server, &w, false), -ESTALE);
	assert_int_equal(w.len, 0);
	/* One of the same name is another. */
	host_write(client_path(&c, "f"), "other");
	assert_int_equal(fs_save(c.server, &w, false), -ESTALE);
	assert_int_equal(fs_save(c.server, &w, true), 0);
	/* The saved session continues. */
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), 4);
	assert_int_equal(restore(&c, &w, false), 0);
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), -ESTALE);
	assert_int_equal(client_release(&c, node, fh), 0);
	snap_writer_finish(&w);
	client_finish(&c);
}

/*
 * A stale file that is accepted stays stale in a copy of the directory, where
 * files are found by their paths: another one has its name.  The other is not.
 */
static void test_accepted_in_a_copy(void **state)
{
	struct snap_writer w = { 0 };
	struct client c;
	uint64_t node, fh, other, other_fh;
	char path[200], text[8];

	(void)state;
	node = open_and_save(&c, &w, &fh);
	snap_writer_finish(&w);
	host_write(client_path(&c, "other"), "text");
	other = client_walk(&c, "other");
	assert_int_equal(client_open(&c, other, O_RDWR, &other_fh), 0);
	host_write(client_path(&c, "new"), "secret");
	assert_int_equal(rename(client_path(&c, "new"), client_path(&c, "f")),
			 0);
	assert_int_equal(fs_save(c.server, &w, false), -ESTALE);
	assert_int_equal(fs_save(c.server, &w, true), 0);
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), 4);
	assert_memory_equal(text, "text", 4);
	snprintf(path, sizeof(path), "%s/old", c.top);
	assert_int_equal(rename(c.dir, path), 0);
	assert_int_equal(mkdir(c.dir, 0755), 0);
	host_write(client_path(&c, "f"), "secret");
	host_write(client_path(&c, "other"), "copy");
	assert_int_equal(restore(&c, &w, true), 0);
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), -ESTALE);
	assert_int_equal(client_read(&c, other, other_fh, 0, text, 4), 4);
	assert_memory_equal(text, "copy", 4);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* A file that the host has deleted or moved while it is open. */
static void test_open_and_moved_by_host(void **state)
{
	struct snap_writer w = { 0 };
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	host_write(client_path(&c, "d/f"), "text");
	node = client_walk(&c, "d/f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	assert_int_equal(rename(client_path(&c, "d"), client_path(&c, "e")), 0);
	assert_int_equal(fs_save(c.server, &w, false), -ESTALE);
	/* Found again by a lookup, it has a place. */
	assert_int_equal(client_walk(&c, "e/f"), node);
	assert_int_equal(fs_save(c.server, &w, false), 0);
	snap_writer_finish(&w);
	client_finish(&c);
}

static void test_copy(void **state)
{
	struct snap_writer w = { 0 };
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct client c;
	uint64_t dir, file, kind, fh;
	char path[200], text[8];

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	host_write(client_path(&c, "d/f"), "text");
	host_write(client_path(&c, "kind"), "");
	dir = client_walk(&c, "d");
	file = client_walk(&c, "d/f");
	kind = client_walk(&c, "kind");
	assert_int_equal(client_open(&c, file, O_RDONLY, &fh), 0);
	assert_int_equal(fs_save(c.server, &w, false), 0);
	/* The directory becomes another of the same contents. */
	snprintf(path, sizeof(path), "%s/old", c.top);
	assert_int_equal(rename(c.dir, path), 0);
	assert_int_equal(mkdir(c.dir, 0755), 0);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	host_write(client_path(&c, "d/f"), "TEXT");
	assert_int_equal(mkdir(client_path(&c, "kind"), 0755), 0);
	assert_int_equal(restore(&c, &w, false), -ESTALE);
	assert_int_equal(restore(&c, &w, true), 0);
	/* A lookup before the first use finds the same id, too. */
	assert_int_equal(client_lookup(&c, 1, "d", &entry), 0);
	assert_int_equal(entry.nodeid, dir);
	assert_int_equal(client_read(&c, file, fh, 0, text, 4), 4);
	assert_memory_equal(text, "TEXT", 4);
	assert_int_equal(client_getattr(&c, kind, &attr), -ESTALE);
	/* From now on it is that file. */
	host_write(client_path(&c, "new"), "");
	rename(client_path(&c, "new"), client_path(&c, "d/f"));
	assert_true(client_walk(&c, "d/f") != file);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* A copy whose files have not been used since the restore is saved itself. */
static void test_copy_saved_again(void **state)
{
	struct snap_writer w = { 0 }, again = { 0 };
	struct client c;
	uint64_t node, fh;
	char path[200], text[8];

	(void)state;
	node = open_and_save(&c, &w, &fh);
	snprintf(path, sizeof(path), "%s/old", c.top);
	assert_int_equal(rename(c.dir, path), 0);
	assert_int_equal(mkdir(c.dir, 0755), 0);
	host_write(client_path(&c, "f"), "TEXT");
	assert_int_equal(restore(&c, &w, true), 0);
	assert_int_equal(fs_save(c.server, &again, false), 0);
	assert_int_equal(restore(&c, &again, false), 0);
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), 4);
	assert_memory_equal(text, "TEXT", 4);
	snap_writer_finish(&w);
	snap_writer_finish(&again);
	client_finish(&c);
}

/* A copy with hard links: the guest looks up another name of an open file. */
static void test_copy_with_links(void **state)
{
	struct snap_writer w = { 0 };
	struct client c;
	uint64_t node, fh;
	char path[200], text[8];

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "a"), "text");
	assert_int_equal(link(client_path(&c, "a"), client_path(&c, "b")), 0);
	client_walk(&c, "a");
	node = client_walk(&c, "b");
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	assert_int_equal(fs_save(c.server, &w, false), 0);
	snprintf(path, sizeof(path), "%s/old", c.top);
	assert_int_equal(rename(c.dir, path), 0);
	assert_int_equal(mkdir(c.dir, 0755), 0);
	host_write(client_path(&c, "a"), "copy");
	assert_int_equal(link(client_path(&c, "a"), client_path(&c, "b")), 0);
	assert_int_equal(restore(&c, &w, true), 0);
	client_walk(&c, "a");
	client_walk(&c, "b");
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), 4);
	assert_memory_equal(text, "copy", 4);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* Renames another file to "f", whose handle has not been used. */
static void replace_by_guest(struct client *c, uint64_t file, uint64_t fh)
{
	char text[8];

	host_write(client_path(c, "new"), "new");
	client_walk(c, "new");
	assert_int_equal(client_rename(c, 1, "new", 1, "f", 0), 0);
	assert_int_equal(client_read(c, file, fh, 0, text, 4), 4);
	assert_memory_equal(text, "text", 4);
}

/*
 * A file that the guest had open at the save and removes, or renames another one
 * to, before it uses the handle: the handle has the old file.
 */
static void test_removed_before_first_use(void **state)
{
	struct snap_writer w = { 0 };
	struct client c;
	uint64_t node, fh;
	char text[8];

	(void)state;
	node = open_and_save(&c, &w, &fh);
	assert_int_equal(restore(&c, &w, false), 0);
	assert_int_equal(client_unlink(&c, 1, "f"), 0);
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), 4);
	assert_memory_equal(text, "text", 4);
	/* It cannot be found by its path again. */
	snap_writer_finish(&w);
	assert_int_equal(fs_save(c.server, &w, false), -ESTALE);
	snap_writer_finish(&w);
	client_finish(&c);
	node = open_and_save(&c, &w, &fh);
	assert_int_equal(restore(&c, &w, false), 0);
	replace_by_guest(&c, node, fh);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* A share that has become read-only opens nothing for writing. */
static void test_read_only_since(void **state)
{
	struct fs_config config = { .read_only = true };
	struct snap_writer w = { 0 };
	struct snap_reader r;
	struct client c;
	uint64_t node, fh;
	char text[8];

	(void)state;
	node = open_and_save(&c, &w, &fh);
	client_restart(&c, &config);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_int_equal(fs_restore(c.server, &r, false), 0);
	assert_int_equal(client_write(&c, node, fh, 0, "x", 1, 0, 0), -EROFS);
	assert_int_equal(client_read(&c, node, fh, 0, text, 4), 4);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* Every cut and many changes of a good record: an error or a session. */
static void test_bad_records(void **state)
{
	struct snap_writer w = { 0 };
	struct fuse_attr attr;
	struct client c;
	unsigned int seed = 9;
	uint64_t fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	assert_int_equal(mkdir(client_path(&c, "d/e"), 0755), 0);
	host_write(client_path(&c, "d/e/f"), "text");
	assert_int_equal(client_open(&c, client_walk(&c, "d/e/f"), O_RDWR, &fh),
			 0);
	assert_int_equal(fs_save(c.server, &w, false), 0);
	for (size_t len = 0; len < w.len; len++) {
		struct snap_writer cut = { .data = w.data, .len = len };

		assert_int_equal(restore(&c, &cut, false), -EBADMSG);
	}
	for (int n = 0; w.len && n < 3000; n++) {
		size_t at = (unsigned int)rand_r(&seed) % w.len;
		uint8_t old = w.data[at];

		w.data[at] = rand_r(&seed) & 1 ? (uint8_t)rand_r(&seed) :
						 (uint8_t)(old ^ 1);
		restore(&c, &w, true);
		for (uint64_t id = 1; id < 6; id++)
			assert_true(client_getattr(&c, id, &attr) <= 0);
		w.data[at] = old;
	}
	snap_writer_finish(&w);
	client_finish(&c);
}

/* A section that is too long is refused, and not cut. */
static void test_too_long(void **state)
{
	static const uint8_t zeros[4096];
	struct snap_writer w = { 0 };
	struct client c;
	char name[16];

	(void)state;
	client_start(&c, &usual);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		host_write(client_path(&c, name), "");
		client_walk(&c, name);
	}
	while (w.len + sizeof(zeros) < RECORD_BYTES_MAX)
		snap_put_bytes(&w, zeros, sizeof(zeros));
	assert_int_equal(fs_save(c.server, &w, false), 0);
	w.len = RECORD_BYTES_MAX - 300;
	assert_int_equal(fs_save(c.server, &w, false), -EFBIG);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* The processor time of a save in ns. */
static uint64_t save_ns(struct client *c)
{
	struct snap_writer w = { 0 };
	struct timespec from, to;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	assert_int_equal(fs_save(c->server, &w, false), 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	snap_writer_finish(&w);
	return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000 +
	       (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
}

/* Files that are open in a deep directory: what is above is looked at once. */
static void test_deep_handles(void **state)
{
	struct fs_config config = { .fd_budget = 400 };
	struct client c;
	uint64_t node = 1, fh, once;

	(void)state;
	client_start(&c, &config);
	for (int i = 0; i < 500; i++)
		assert_int_equal(client_mkdir(&c, node, "d", 0755, &node), 0);
	assert_int_equal(client_create_file(&c, node, "f", O_RDWR, 0644, &node,
					    &fh),
			 0);
	once = save_ns(&c);
	for (int i = 0; i < 300; i++)
		assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	assert_in_range(save_ns(&c), 0, 50 * once);
	client_finish(&c);
}

static void put_inode(struct snap_writer *w, uint64_t id, uint64_t parent,
		      uint32_t type, const char *name)
{
	snap_put_u64(w, id);
	snap_put_u64(w, parent);
	snap_put_u64(w, 1);
	snap_put_u64(w, id);
	snap_put_u64(w, 0);
	snap_put_u32(w, type);
	snap_put_u64(w, 1);
	snap_put_blob(w, name, strlen(name));
}

/* A record of two inodes over the client's root. */
static int restore_two_ids(struct client *c, uint64_t a_parent,
			   uint64_t b_parent, uint32_t b_type,
			   const char *b_name, uint64_t next_ids)
{
	struct snap_writer w = { 0 };
	int r;

	snap_put_u32(&w, 1);
	for (int i = 0; i < 3; i++)
		snap_put_u64(&w, next_ids);
	for (int i = 0; i < 3; i++)
		snap_put_u64(&w, 0);
	snap_put_u32(&w, S_IFDIR);
	snap_put_u32(&w, 2);
	put_inode(&w, 2, a_parent, S_IFDIR, "a");
	put_inode(&w, 3, b_parent, b_type, b_name);
	snap_put_u32(&w, 0);
	r = restore(c, &w, true);
	snap_writer_finish(&w);
	return r;
}

static int restore_two(struct client *c, uint64_t a_parent, uint64_t b_parent,
		       uint32_t b_type, const char *b_name)
{
	return restore_two_ids(c, a_parent, b_parent, b_type, b_name, 100);
}

/* The ids of new inodes and handles collide with no other. */
static void test_bad_ids(void **state)
{
	static const uint64_t bad[] = {
		0, 1, 2, 3, UINT64_MAX, UINT64_MAX - 1
	};
	struct client c;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(restore_two_ids(&c, 1, 2, S_IFDIR, "b", 4), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(restore_two_ids(&c, 1, 2, S_IFDIR, "b",
						 bad[i]),
				 -EBADMSG);
	client_finish(&c);
}

/*
 * A procfs in the share is not entered, neither by name nor by a record that
 * claims that it was.
 */
static void test_procfs(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct client c;
	uint64_t fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(mkdir(client_path(&c, "a"), 0755), 0);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", client_path(&c, "a"), "proc", 0, NULL) < 0) {
		client_finish(&c);
		skip();
	}
	assert_int_equal(restore_two(&c, 1, 2, S_IFREG, "uptime"), 0);
	assert_int_equal(client_getattr(&c, 2, &attr), 0);
	assert_int_equal(client_opendir(&c, 2, &fh), -EACCES);
	assert_int_equal(client_lookup(&c, 2, "self", &entry), -EACCES);
	assert_int_equal(client_lookup(&c, 2, "uptime", &entry), -EACCES);
	assert_int_equal(client_getattr(&c, 3, &attr), -EACCES);
	assert_int_equal(client_open(&c, 3, O_RDONLY, &fh), -EACCES);
	/* As the directory itself, it is what the user asked for. */
	umount2(client_path(&c, "a"), MNT_DETACH);
	fs_destroy(c.server);
	assert_int_equal(mount("proc", c.dir, "proc", 0, NULL), 0);
	c.server = NULL;
	client_restart(&c, &usual);
	assert_int_equal(client_init(&c, UINT64_MAX, NULL), 0);
	assert_int_equal(client_open(&c, client_walk(&c, "uptime"), O_RDONLY,
				     &fh),
			 0);
	fs_destroy(c.server);
	c.server = NULL;
	assert_int_equal(umount2(c.dir, MNT_DETACH), 0);
	client_finish(&c);
}

/* The processor time in ns to restore directories of which each has the next. */
static uint64_t restore_deep_ns(struct client *c, uint32_t count)
{
	struct snap_writer w = { 0 };
	struct timespec from, to;

	snap_put_u32(&w, 1);
	for (int i = 0; i < 3; i++)
		snap_put_u64(&w, 1000000);
	for (int i = 0; i < 3; i++)
		snap_put_u64(&w, 0);
	snap_put_u32(&w, S_IFDIR);
	snap_put_u32(&w, count);
	for (uint32_t i = 0; i < count; i++)
		put_inode(&w, i + 2, i + 1, S_IFDIR, "d");
	snap_put_u32(&w, 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	assert_int_equal(restore(c, &w, true), 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	snap_writer_finish(&w);
	return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000 +
	       (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
}

/* A hostile record of a deep chain takes time by its length, not its square. */
static void test_deep_record(void **state)
{
	struct client c;
	uint64_t short_ns;

	(void)state;
	client_start(&c, &usual);
	short_ns = restore_deep_ns(&c, 2000);
	assert_in_range(restore_deep_ns(&c, 20000), 0, 40 * short_ns);
	client_finish(&c);
}

static void test_bad_places(void **state)
{
	struct client c;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(restore_two(&c, 1, 2, S_IFDIR, "b"), 0);
	/* A ring, a parent that there is not, names that lead elsewhere. */
	assert_int_equal(restore_two(&c, 3, 2, S_IFDIR, "b"), -EBADMSG);
	assert_int_equal(restore_two(&c, 2, 1, S_IFDIR, "b"), -EBADMSG);
	assert_int_equal(restore_two(&c, 9, 1, S_IFDIR, "b"), -EBADMSG);
	assert_int_equal(restore_two(&c, 3, 1, S_IFREG, "b"), -EBADMSG);
	assert_int_equal(restore_two(&c, 1, 2, S_IFDIR, ".."), -EBADMSG);
	assert_int_equal(restore_two(&c, 1, 2, S_IFDIR, "x/y"), -EBADMSG);
	assert_int_equal(restore_two(&c, 1, 2, S_IFDIR, ""), -EBADMSG);
	assert_int_equal(restore_two(&c, 1, 1, S_IFDIR, "a"), -EBADMSG);
	client_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_directory),
		cmocka_unit_test(test_replaced_files),
		cmocka_unit_test(test_open_and_unlinked),
		cmocka_unit_test(test_accepted_in_a_copy),
		cmocka_unit_test(test_open_and_moved_by_host),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_copy_saved_again),
		cmocka_unit_test(test_copy_with_links),
		cmocka_unit_test(test_removed_before_first_use),
		cmocka_unit_test(test_read_only_since),
		cmocka_unit_test(test_bad_records),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_deep_handles),
		cmocka_unit_test(test_bad_ids),
		cmocka_unit_test(test_bad_places),
		cmocka_unit_test(test_deep_record),
		cmocka_unit_test(test_procfs),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
