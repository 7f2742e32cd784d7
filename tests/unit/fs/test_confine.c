/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing outside the share is reached, whatever the host does meanwhile with
 * directories and links in it.  Outside lies a canary, never read nor written.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/skip.h"

static const struct fs_config usual = { .cache = FS_CACHE_AUTO };

/* Paths beside the share. */
struct outside {
	char dir[100], canary[120], made[120], parked[100];
};

static void outside_create(struct outside *o, const struct client *c)
{
	snprintf(o->dir, sizeof(o->dir), "%s/outside", c->top);
	snprintf(o->canary, sizeof(o->canary), "%s/file", o->dir);
	snprintf(o->made, sizeof(o->made), "%s/made", o->dir);
	snprintf(o->parked, sizeof(o->parked), "%s/parked", c->top);
	assert_int_equal(mkdir(o->dir, 0755), 0);
	host_write(o->canary, "canary");
}

static void outside_check(const struct outside *o)
{
	char text[16];
	struct stat st;

	host_read(o->canary, text, sizeof(text));
	assert_string_equal(text, "canary");
	assert_int_equal(stat(o->made, &st), -1);
	assert_int_equal(stat(o->canary, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void test_links_lead_nowhere(void **state)
{
	struct fuse_setattr_in in = { .valid = FATTR_SIZE };
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct outside o;
	struct client c;
	uint64_t link, file, fh, node;

	(void)state;
	client_start(&c, &usual);
	outside_create(&o, &c);
	assert_int_equal(symlink("../outside", client_path(&c, "link")), 0);
	assert_int_equal(symlink(o.canary, client_path(&c, "file")), 0);
	link = client_walk(&c, "link");
	file = client_walk(&c, "file");
	assert_int_equal(client_lookup(&c, link, "file", &entry), -ENOTDIR);
	assert_int_equal(client_opendir(&c, link, &fh), -ELOOP);
	assert_int_equal(client_mkdir(&c, link, "made", 0755, &node), -ENOTDIR);
	assert_int_equal(client_create_file(&c, link, "made", O_RDWR, 0644,
					    &node, &fh),
			 -ENOTDIR);
	assert_int_equal(client_unlink(&c, link, "file"), -ENOTDIR);
	assert_int_equal(client_open(&c, file, O_RDWR, &fh), -ELOOP);
	assert_int_equal(client_open(&c, file, O_RDONLY | O_TRUNC, &fh),
			 -ELOOP);
	assert_int_equal(client_create_file(&c, 1, "file", O_RDWR | O_TRUNC,
					    0644, &node, &fh),
			 -ELOOP);
	assert_int_equal(client_setattr(&c, file, &in, &attr), -EINVAL);
	in.valid = FATTR_MODE;
	assert_int_equal(client_setattr(&c, file, &in, &attr), -EOPNOTSUPP);
	outside_check(&o);
	client_finish(&c);
}

/* A directory that the host moves out stays itself, and has no parent. */
static void test_moved_out(void **state)
{
	struct fuse_entry_out entry;
	struct outside o;
	struct client c;
	char path[128], text[8];
	uint64_t d, file, fh;

	(void)state;
	client_start(&c, &usual);
	outside_create(&o, &c);
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &d), 0);
	host_write(client_path(&c, "d/own"), "own");
	snprintf(path, sizeof(path), "%s/d", o.dir);
	assert_int_equal(rename(client_path(&c, "d"), path), 0);
	assert_int_equal(client_lookup(&c, d, "..", &entry), -EINVAL);
	assert_int_equal(client_lookup(&c, d, "../file", &entry), -EINVAL);
	assert_int_equal(client_lookup(&c, d, "own", &entry), 0);
	file = entry.nodeid;
	assert_int_equal(client_open(&c, file, O_RDONLY, &fh), 0);
	assert_int_equal(client_read(&c, file, fh, 0, text, 3), 3);
	/* The number of ".." is none from outside. */
	{
		struct fuse_read_in in = { .size = 4096 };
		struct fuse_dirent e;
		struct stat st;

		assert_int_equal(stat(o.dir, &st), 0);
		assert_int_equal(client_opendir(&c, d, &in.fh), 0);
		assert_int_equal(client_call(&c, FUSE_READDIR, d, &in,
					     sizeof(in), NULL, 0),
				 0);
		for (size_t at = 0; at < c.reply_len;) {
			memcpy(&e, c.reply + at, FUSE_NAME_OFFSET);
			assert_true(e.ino != st.st_ino);
			at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + e.namelen);
		}
	}
	outside_check(&o);
	client_finish(&c);
}

struct host {
	const struct client *c;
	const struct outside *o;
	atomic_bool stop;
	unsigned int rounds;
};

/* Moves share/d away and back, and puts a link to outside in its place. */
static void *move_things(void *arg)
{
	struct host *h = arg;
	char d[128], link[128];

	snprintf(d, sizeof(d), "%s/d", h->c->dir);
	snprintf(link, sizeof(link), "%s/link", h->c->dir);
	while (!atomic_load(&h->stop)) {
		renameat2(AT_FDCWD, d, AT_FDCWD, link, RENAME_EXCHANGE);
		renameat2(AT_FDCWD, d, AT_FDCWD, link, RENAME_EXCHANGE);
		rename(d, h->o->parked);
		rename(h->o->parked, d);
		h->rounds++;
	}
	return NULL;
}

/* One visit of the guest: by what it has, and by names; errors are expected. */
static void visit(struct client *c, uint64_t d, unsigned int *reached)
{
	struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = 0600 };
	struct fuse_entry_out dir, entry;
	struct fuse_attr attr;
	char text[16] = "";
	uint64_t fh, node;

	if (client_lookup(c, 1, "d", &dir))
		return;
	if (client_lookup(c, dir.nodeid, "file", &entry) == 0) {
		client_setattr(c, entry.nodeid, &in, &attr);
		if (client_open(c, entry.nodeid, O_RDWR, &fh) == 0) {
			assert_int_equal(client_read(c, entry.nodeid, fh, 0,
						     text, 6),
					 6);
			assert_string_equal(text, "inside");
			client_write(c, entry.nodeid, fh, 0, "inside", 6, 0, 0);
			client_release(c, entry.nodeid, fh);
			(*reached)++;
		}
		client_forget(c, entry.nodeid, 1);
	}
	if (client_create_file(c, dir.nodeid, "made", O_RDWR | O_CREAT, 0644,
			       &node, &fh) == 0) {
		client_release(c, node, fh);
		client_forget(c, node, 1);
	}
	client_unlink(c, d, "made");
	client_rename(c, dir.nodeid, "file", d, "other", 0);
	client_rename(c, d, "other", d, "file", 0);
	client_forget(c, dir.nodeid, 1);
}

/*
 * With a budget that makes the server open things again all the time, by path
 * (squash gives up file handles) and by file handle where that is permitted.
 */
static void race(bool squash)
{
	struct fs_config config = usual;
	struct outside o;
	struct client c;
	struct host host = { .c = &c, .o = &o };
	unsigned int reached = 0;
	pthread_t thread;
	uint64_t d;

	config.fd_budget = 32;
	config.squash = squash;
	client_start(&c, &config);
	outside_create(&o, &c);
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	host_write(client_path(&c, "d/file"), "inside");
	assert_int_equal(symlink("../outside", client_path(&c, "link")), 0);
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x%d", i);
		host_write(client_path(&c, name), "");
	}
	d = client_walk(&c, "d");
	assert_int_equal(pthread_create(&thread, NULL, move_things, &host), 0);
	for (unsigned int i = 0; i < 6000 || (reached < 20 && i < 100000);
	     i++) {
		struct fuse_entry_out entry;
		char name[16];

		visit(&c, d, &reached);
		snprintf(name, sizeof(name), "x%u", i % 100);
		assert_int_equal(client_lookup(&c, 1, name, &entry), 0);
	}
	atomic_store(&host.stop, true);
	pthread_join(thread, NULL);
	/* Both have happened, or the test says nothing. */
	assert_true(reached >= 20);
	assert_true(host.rounds >= 20);
	outside_check(&o);
	client_finish(&c);
}

static void test_race(void **state)
{
	(void)state;
	race(false);
}

static void test_race_by_path(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	race(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_links_lead_nowhere),
		cmocka_unit_test(test_moved_out),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_race_by_path),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
