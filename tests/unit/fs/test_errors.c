/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of the host: a full or read-only file system, limits, a directory that
 * is deleted.  The guest gets them, a line names them, and they are counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/base/capture.h"
#include "tests/unit/fs/skip.h"

static const struct fs_config usual = { .cache = FS_CACHE_AUTO, .tag = "data" };

static unsigned int count_lines(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static struct fs_usage usage_of(const struct client *c)
{
	struct fs_usage usage;

	fs_usage(c->server, &usage);
	return usage;
}

/*
 * A client over a file system of 64 KiB of its own, in a mount namespace of its
 * own; skips the test where that is not permitted.
 */
static void start_on_tmpfs(struct client *c)
{
	client_create(c, &usual);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", c->dir, "tmpfs", 0, "size=64k") < 0) {
		client_finish(c);
		skip();
	}
	client_restart(c, &usual);
	assert_int_equal(client_init(c, UINT64_MAX, NULL), 0);
}

static void finish_on_tmpfs(struct client *c)
{
	char dir[sizeof(c->dir)];

	strcpy(dir, c->dir);
	fs_destroy(c->server);
	c->server = NULL;
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
	client_finish(c);
}

static void test_no_space(void **state)
{
	static const char data[32768];
	struct capture log;
	struct client c;
	uint64_t node, fh, at = 0;
	ssize_t n = 1;
	const char *text;

	(void)state;
	start_on_tmpfs(&c);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0644, &node,
					    &fh),
			 0);
	capture_start(&log, STDERR_FILENO);
	while ((n = client_write(&c, node, fh, at, data, sizeof(data), 0, 0)) >
	       0)
		at += (uint64_t)n;
	for (int i = 0; i < 10; i++)
		assert_int_equal(client_write(&c, node, fh, at, data, 1, 0, 0),
				 -ENOSPC);
	text = capture_end(&log);
	assert_int_equal(n, -ENOSPC);
	assert_in_range(at, 1, 65536);
	assert_non_null(strstr(text, "share data (/"));
	assert_non_null(strstr(text, "): write: No space left on device\n"));
	assert_int_equal(count_lines(text), 1);
	assert_int_equal(usage_of(&c).errors, 11);
	/* There is space again. */
	assert_int_equal(truncate(client_path(&c, "f"), 0), 0);
	assert_int_equal(client_write(&c, node, fh, 0, data, 1, 0, 0), 1);
	finish_on_tmpfs(&c);
}

/*
 * The guest's kernel does not look at how much was written of cached pages: a part
 * of them is an error, or the rest would be lost without one.
 */
static void test_no_space_for_cached_pages(void **state)
{
	static const char data[2 * 65536];
	struct client c;
	uint64_t node, fh;

	(void)state;
	start_on_tmpfs(&c);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0644, &node,
					    &fh),
			 0);
	assert_in_range(client_write(&c, node, fh, 0, data, sizeof(data), 0, 0),
			1, 65536);
	assert_int_equal(truncate(client_path(&c, "f"), 0), 0);
	assert_int_equal(client_write(&c, node, fh, 0, data, sizeof(data), 0,
				      FUSE_WRITE_CACHE),
			 -ENOSPC);
	finish_on_tmpfs(&c);
}

/* The host's file system became read-only; the share is writable. */
static void test_read_only_host(void **state)
{
	struct fs_config config = usual;
	struct capture log;
	struct client c;
	uint64_t node, fh;
	const char *text;
	char byte;

	(void)state;
	start_on_tmpfs(&c);
	host_write(client_path(&c, "f"), "x");
	assert_int_equal(mount(NULL, c.dir, NULL, MS_REMOUNT | MS_RDONLY, NULL),
			 0);
	capture_start(&log, STDERR_FILENO);
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &node), -EROFS);
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), -EROFS);
	text = capture_end(&log);
	assert_non_null(strstr(text, "): mkdir: Read-only file system\n"));
	assert_int_equal(count_lines(text), 1);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	assert_int_equal(client_read(&c, node, fh, 0, &byte, 1), 1);
	/* A read-only share refuses as it should: nothing to report. */
	config.read_only = true;
	client_restart(&c, &config);
	assert_int_equal(client_init(&c, UINT64_MAX, NULL), 0);
	capture_start(&log, STDERR_FILENO);
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &node), -EROFS);
	assert_string_equal(capture_end(&log), "");
	assert_int_equal(usage_of(&c).errors, 0);
	finish_on_tmpfs(&c);
}

/* Errors of the guest's own making are none of these. */
static void test_quiet_errors(void **state)
{
	struct fuse_entry_out entry;
	struct capture log;
	struct client c;
	uint64_t node;

	(void)state;
	client_start(&c, &usual);
	capture_start(&log, STDERR_FILENO);
	assert_int_equal(client_lookup(&c, 1, "none", &entry), -ENOENT);
	assert_int_equal(client_unlink(&c, 1, "none"), -ENOENT);
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &node), 0);
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &node), -EEXIST);
	assert_int_equal(client_release(&c, 1, 77), -EBADF);
	assert_string_equal(capture_end(&log), "");
	assert_int_equal(usage_of(&c).errors, 0);
	/* INIT is one of them. */
	assert_int_equal(usage_of(&c).requests, 6);
	client_finish(&c);
}

/* The guest opens more files than the share's part of the descriptors. */
static void test_out_of_descriptors(void **state)
{
	struct fs_config config = usual;
	struct capture log;
	struct client c;
	uint64_t node, fh;
	unsigned int n = 0;
	const char *text;
	int r;

	(void)state;
	config.fd_budget = 32;
	client_start(&c, &config);
	host_write(client_path(&c, "f"), "x");
	node = client_walk(&c, "f");
	capture_start(&log, STDERR_FILENO);
	while ((r = client_open(&c, node, O_RDONLY, &fh)) == 0)
		n++;
	text = capture_end(&log);
	assert_int_equal(r, -ENFILE);
	assert_in_range(n, 20, 32);
	assert_non_null(strstr(text, "open: out of descriptors or inodes"));
	assert_int_equal(client_release(&c, node, fh), 0);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	client_finish(&c);
}

/* rm -rf of the directory while the guest has a file of it open. */
static void test_deleted_directory(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct capture log;
	struct client c;
	uint64_t dir, node, fh, other, dir_fh;
	const char *text;
	char data[8];

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	host_write(client_path(&c, "d/f"), "text");
	dir = client_walk(&c, "d");
	node = client_walk(&c, "d/f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	remove_tree(c.dir);
	capture_start(&log, STDERR_FILENO);
	assert_int_equal(client_lookup(&c, 1, "d", &entry), -ENOENT);
	assert_int_equal(client_lookup(&c, 1, "e", &entry), -ENOENT);
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &other), -ENOENT);
	assert_int_equal(client_mkdir(&c, dir, "e", 0755, &other), -ENOENT);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0644, &other,
					    &dir_fh),
			 -ENOENT);
	text = capture_end(&log);
	assert_non_null(strstr(text, "): the directory was deleted\n"));
	assert_int_equal(count_lines(text), 1);
	/* What is open stays usable. */
	assert_int_equal(client_getattr(&c, 1, &attr), 0);
	assert_int_equal(client_read(&c, node, fh, 0, data, 4), 4);
	assert_int_equal(client_write(&c, node, fh, 0, "x", 1, 0, 0), 1);
	assert_int_equal(client_release(&c, node, fh), 0);
	/* Another of the same name is another. */
	assert_int_equal(mkdir(c.dir, 0755), 0);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	assert_int_equal(client_lookup(&c, 1, "d", &entry), -ENOENT);
	client_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quiet_errors),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_deleted_directory),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_no_space_for_cached_pages),
		cmocka_unit_test(test_read_only_host),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
