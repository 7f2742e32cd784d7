/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The budgets: many lookups with few descriptors, handles until there are no
 * more, a full inode table.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/skip.h"

#define DIRS	40
#define FILES	50
#define LOOKUPS 100000
#define FDS	32

static struct fs_config config_of(bool squash)
{
	return (struct fs_config){ .cache = FS_CACHE_AUTO,
				   .squash = squash,
				   .fd_budget = FDS };
}

static void name_of(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "d%u/f%u", i / FILES, i % FILES);
}

static void make_tree(struct client *c, uint64_t ino[])
{
	char name[32];
	struct stat st;

	for (unsigned int i = 0; i < DIRS * FILES; i++) {
		snprintf(name, sizeof(name), "d%u", i / FILES);
		if (i % FILES == 0)
			assert_int_equal(mkdir(client_path(c, name), 0755), 0);
		name_of(name, sizeof(name), i);
		host_write(client_path(c, name), name);
		assert_int_equal(stat(client_path(c, name), &st), 0);
		ino[i] = st.st_ino;
	}
}

/* No more descriptors than the budget, by the server's count and in truth. */
static void check_fds(struct client *c, unsigned int before)
{
	struct fs_usage usage;

	fs_usage(c->server, &usage);
	assert_in_range(usage.fds, 1, FDS);
	assert_in_range(host_fds(), before, before + FDS);
}

/*
 * Looks up everything and keeps it; then lookups and uses of old ids in random
 * order.  Each must still be the file that it was.
 */
static void many_lookups(bool squash)
{
	static uint64_t ino[DIRS * FILES], ids[DIRS * FILES], dirs[DIRS];
	struct fs_config config = config_of(squash);
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct fs_usage usage;
	unsigned int seed = 3, fds;
	struct client c;
	char name[32], text[32];
	uint64_t fh;

	client_start(&c, &config);
	make_tree(&c, ino);
	fds = host_fds();
	for (unsigned int i = 0; i < DIRS * FILES; i++) {
		if (i % FILES == 0) {
			snprintf(name, sizeof(name), "d%u", i / FILES);
			dirs[i / FILES] = client_walk(&c, name);
		}
		snprintf(name, sizeof(name), "f%u", i % FILES);
		assert_int_equal(client_lookup(&c, dirs[i / FILES], name,
					       &entry),
				 0);
		ids[i] = entry.nodeid;
	}
	for (unsigned int n = 0; n < LOOKUPS; n++) {
		unsigned int i = (unsigned int)rand_r(&seed) % (DIRS * FILES);

		if (n % 2) {
			assert_int_equal(client_getattr(&c, ids[i], &attr), 0);
			assert_int_equal(attr.ino, ino[i]);
		} else {
			snprintf(name, sizeof(name), "f%u", i % FILES);
			assert_int_equal(client_lookup(&c, dirs[i / FILES],
						       name, &entry),
					 0);
			assert_int_equal(entry.nodeid, ids[i]);
		}
		if (n % 1000 == 0)
			check_fds(&c, fds);
	}
	for (unsigned int i = 0; i < DIRS * FILES; i += 37) {
		name_of(name, sizeof(name), i);
		assert_int_equal(client_open(&c, ids[i], O_RDONLY, &fh), 0);
		assert_int_equal(client_read(&c, ids[i], fh, 0, text, 32),
				 strlen(name));
		assert_memory_equal(text, name, strlen(name));
		assert_int_equal(client_release(&c, ids[i], fh), 0);
	}
	fs_usage(c.server, &usage);
	assert_int_equal(usage.inodes, 1 + DIRS + DIRS * FILES);
	client_finish(&c);
}

static void test_many_lookups(void **state)
{
	(void)state;
	many_lookups(false);
}

/* The user of squash has no right to file handles, so by path. */
static void test_many_lookups_by_path(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	many_lookups(true);
}

/* Looks up enough other files that all descriptors are closed. */
static void evict_all(struct client *c)
{
	struct fuse_entry_out entry;
	char name[16];

	for (int i = 0; i < 2 * FDS; i++) {
		snprintf(name, sizeof(name), "other%d", i);
		host_write(client_path(c, name), "");
		assert_int_equal(client_lookup(c, 1, name, &entry), 0);
	}
}

/* What has taken the place of a file is not that file. */
static void replaced(bool squash)
{
	struct fs_config config = config_of(squash);
	struct fuse_attr attr;
	struct client c;
	uint64_t gone, other, kind, moved;

	client_start(&c, &config);
	host_write(client_path(&c, "gone"), "");
	host_write(client_path(&c, "other"), "");
	host_write(client_path(&c, "kind"), "");
	host_write(client_path(&c, "moved"), "");
	gone = client_walk(&c, "gone");
	other = client_walk(&c, "other");
	kind = client_walk(&c, "kind");
	moved = client_walk(&c, "moved");
	evict_all(&c);
	unlink(client_path(&c, "gone"));
	/* Made before the old one goes, so it has another inode number. */
	host_write(client_path(&c, "new"), "");
	rename(client_path(&c, "new"), client_path(&c, "other"));
	unlink(client_path(&c, "kind"));
	assert_int_equal(symlink("/etc/passwd", client_path(&c, "kind")), 0);
	/* The guest's own renames are followed. */
	assert_int_equal(client_rename(&c, 1, "moved", 1, "elsewhere", 0), 0);
	assert_int_equal(client_getattr(&c, gone, &attr), -ESTALE);
	assert_int_equal(client_getattr(&c, other, &attr), -ESTALE);
	assert_int_equal(client_getattr(&c, kind, &attr), -ESTALE);
	assert_int_equal(client_getattr(&c, moved, &attr), 0);
	client_finish(&c);
}

static void test_replaced(void **state)
{
	(void)state;
	replaced(false);
	if (geteuid() == 0)
		replaced(true);
}

/* A file that is open and unlinked is found by its handle. */
static void unlinked(bool squash)
{
	struct fs_config config = config_of(squash);
	struct fuse_attr attr;
	struct client c;
	uint64_t node, fh;

	client_start(&c, &config);
	host_write(client_path(&c, "f"), "text");
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	assert_int_equal(client_unlink(&c, 1, "f"), 0);
	evict_all(&c);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.size, 4);
	client_finish(&c);
}

static void test_unlinked(void **state)
{
	(void)state;
	unlinked(false);
	if (geteuid() == 0)
		unlinked(true);
}

static void test_handles_run_out(void **state)
{
	struct fs_config config = config_of(false);
	struct fuse_entry_out entry;
	unsigned int n, again, fds;
	uint64_t node, fh[FDS + 1];
	struct client c;

	(void)state;
	client_start(&c, &config);
	host_write(client_path(&c, "f"), "");
	fds = host_fds();
	node = client_walk(&c, "f");
	for (n = 0; n <= FDS; n++) {
		int r = client_open(&c, node, O_RDONLY, &fh[n]);

		if (r) {
			assert_int_equal(r, -ENFILE);
			break;
		}
	}
	assert_in_range(n, FDS - 3, FDS - 1);
	check_fds(&c, fds);
	/* What has no user is closed for what has. */
	assert_int_equal(client_lookup(&c, 1, "f", &entry), 0);
	for (again = 0; again < n; again++)
		assert_int_equal(client_release(&c, node, fh[again]), 0);
	assert_int_equal(client_open(&c, node, O_RDONLY, fh), 0);
	client_finish(&c);
}

static void test_inodes_run_out(void **state)
{
	struct fs_config config = { .inodes_max = 10 };
	struct fuse_read_in in = { .size = 8192 };
	struct fuse_entry_out entry;
	uint64_t first = 0;
	struct client c;
	char name[16];

	(void)state;
	client_start(&c, &config);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		host_write(client_path(&c, name), "");
		assert_int_equal(client_lookup(&c, 1, name, &entry),
				 i < 9 ? 0 : -ENFILE);
		first = i ? first : entry.nodeid;
	}
	/* Names are listed all the same, without ids. */
	assert_int_equal(client_opendir(&c, 1, &in.fh), 0);
	assert_int_equal(client_call(&c, FUSE_READDIRPLUS, 1, &in, sizeof(in),
				     NULL, 0),
			 0);
	assert_true(c.reply_len > 20 * sizeof(entry));
	client_forget(&c, first, 2);
	assert_int_equal(client_lookup(&c, 1, "f19", &entry), 0);
	client_finish(&c);
}

/* Directories in each other, more than a path has space for. */
static void test_deep(void **state)
{
	struct fs_config config = { .cache = FS_CACHE_AUTO };
	struct fs_usage usage;
	struct client c;
	uint64_t dir = 1;
	char name[201];

	(void)state;
	client_start(&c, &config);
	memset(name, 'd', 200);
	name[200] = '\0';
	for (int i = 0; i < 50; i++)
		assert_int_equal(client_mkdir(&c, dir, name, 0755, &dir), 0);
	/* All in a chain of parents, which end with the last. */
	for (uint64_t id = 2; id < dir; id++)
		client_forget(&c, id, 1);
	fs_usage(c.server, &usage);
	assert_int_equal(usage.inodes, 51);
	client_forget(&c, dir, 1);
	fs_usage(c.server, &usage);
	assert_int_equal(usage.inodes, 1);
	client_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_lookups),
		cmocka_unit_test(test_many_lookups_by_path),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_handles_run_out),
		cmocka_unit_test(test_inodes_run_out),
		cmocka_unit_test(test_deep),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
