/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The owners of files, with privileges and without.  As root, a child runs the
 * tests as an unprivileged user first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/users.h"

static const struct fs_config usual = { .cache = FS_CACHE_AUTO };

static struct stat stat_of(const struct client *c, const char *name)
{
	struct stat st;

	assert_int_equal(lstat(client_path(c, name), &st), 0);
	return st;
}

static int chown_to(struct client *c, uint64_t node, uint32_t uid, uint32_t gid)
{
	struct fuse_setattr_in in = { .valid = FATTR_UID | FATTR_GID,
				      .uid = uid,
				      .gid = gid };
	struct fuse_attr attr;

	return client_setattr(c, node, &in, &attr);
}

static void test_single_user(void **state)
{
	struct fs_config config = usual;
	struct fuse_attr attr;
	struct client c;
	uint64_t node;

	(void)state;
	client_start(&c, &config);
	c.uid = c.gid = 1000;
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &node), 0);
	assert_int_equal(stat_of(&c, "d").st_uid, geteuid());
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.uid, 0);
	assert_int_equal(attr.gid, 0);
	assert_int_equal(chown_to(&c, node, 0, 0), 0);
	assert_int_equal(chown_to(&c, node, 1000, 0), -EPERM);
	assert_int_equal(chown_to(&c, node, 0, 1000), -EPERM);
	client_finish(&c);

	config.guest_uid = 1000;
	config.guest_gid = 100;
	client_start(&c, &config);
	assert_int_equal(client_getattr(&c, 1, &attr), 0);
	assert_int_equal(attr.uid, 1000);
	assert_int_equal(attr.gid, 100);
	assert_int_equal(chown_to(&c, 1, 1000, 100), 0);
	assert_int_equal(chown_to(&c, 1, 0, 0), -EPERM);
	client_finish(&c);
}

/* What the host refuses is refused, whatever the guest's caller is. */
static void test_single_user_is_refused(void **state)
{
	struct fs_config config = usual;
	struct fs_server *other;
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &config);
	host_write(client_path(&c, "f"), "");
	assert_int_equal(chmod(client_path(&c, "f"), 0400), 0);
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), -EACCES);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	config.squash = true;
	config.path = c.dir;
	assert_int_equal(fs_create(&other, &config), -EPERM);
	config.squash = false;
	config.allow_devices = true;
	assert_int_equal(fs_create(&other, &config), -EPERM);
	client_finish(&c);
}

static void test_callers_own_files(void **state)
{
	struct fuse_mknod_in node_in = { .mode = S_IFIFO | 0666 };
	struct fuse_attr attr;
	struct client c;
	struct stat st;
	uint64_t node, fh, dir;

	(void)state;
	client_start(&c, &usual);
	c.uid = 1000;
	c.gid = 100;
	/* The directory is root's; the guest has checked its supplementary
	 * groups, of which the host knows nothing. */
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0666, &node,
					    &fh),
			 0);
	assert_int_equal(client_mkdir(&c, 1, "d", 0777, &dir), 0);
	assert_int_equal(client_call(&c, FUSE_SYMLINK, 1, "s\0target", 9, NULL,
				     0),
			 0);
	assert_int_equal(client_call(&c, FUSE_MKNOD, 1, &node_in,
				     sizeof(node_in), "p", 2),
			 0);
	for (const char *name = "fdsp"; *name; name++) {
		char one[2] = { *name };

		st = stat_of(&c, one);
		assert_int_equal(st.st_uid, 1000);
		assert_int_equal(st.st_gid, 100);
	}
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.uid, 1000);
	assert_int_equal(chown_to(&c, node, 5, 6), 0);
	assert_int_equal(stat_of(&c, "f").st_uid, 5);
	/* The thread is root again. */
	host_write(client_path(&c, "host"), "");
	assert_int_equal(stat_of(&c, "host").st_uid, 0);
	c.uid = c.gid = 0;
	assert_int_equal(client_mkdir(&c, dir, "r", 0755, &node), 0);
	assert_int_equal(stat_of(&c, "d/r").st_uid, 0);
	client_finish(&c);
}

static int make_device(struct client *c, uint64_t dir, const char *name)
{
	/* Major 1, minor 259, in the kernel's 32 bits: 12 bits are the major. */
	struct fuse_mknod_in in = { .mode = S_IFCHR | 0666,
				    .rdev = 0x100103,
				    .umask = 022 };

	return client_call(c, FUSE_MKNOD, dir, &in, sizeof(in), name,
			   strlen(name) + 1);
}

/* Only with the option; the caller's, or the group's of the directory. */
static void test_device_nodes(void **state)
{
	struct fs_config config = usual;
	struct fuse_entry_out entry;
	struct client c;
	struct stat st;
	uint64_t fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(make_device(&c, 1, "device"), -EPERM);
	assert_int_equal(access(client_path(&c, "device"), F_OK), -1);
	client_finish(&c);

	config.allow_devices = true;
	client_start(&c, &config);
	if (mknod(client_path(&c, "host"), S_IFCHR | 0600, makedev(1, 3)) < 0) {
		client_finish(&c);
		skip();
	}
	assert_int_equal(mkdir(client_path(&c, "g"), 0755), 0);
	assert_int_equal(chown(client_path(&c, "g"), 0, 200), 0);
	assert_int_equal(chmod(client_path(&c, "g"), 02755), 0);
	c.uid = 1000;
	c.gid = 100;
	assert_int_equal(make_device(&c, 1, "device"), 0);
	assert_int_equal(make_device(&c, client_walk(&c, "g"), "device"), 0);
	st = stat_of(&c, "device");
	assert_int_equal(st.st_mode, S_IFCHR | 0644);
	assert_int_equal(st.st_rdev, makedev(1, 259));
	assert_int_equal(st.st_uid, 1000);
	assert_int_equal(st.st_gid, 100);
	assert_int_equal(stat_of(&c, "g/device").st_gid, 200);
	assert_int_equal(client_lookup(&c, 1, "device", &entry), 0);
	assert_int_equal(entry.attr.rdev, 0x100103);
	/* The host's device is not opened for the guest. */
	assert_int_equal(client_open(&c, client_walk(&c, "host"), O_RDONLY,
				     &fh),
			 -EINVAL);
	client_finish(&c);
}

static void test_group_of_directory(void **state)
{
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(mkdir(client_path(&c, "g"), 0755), 0);
	assert_int_equal(chown(client_path(&c, "g"), 0, 200), 0);
	assert_int_equal(chmod(client_path(&c, "g"), 02755), 0);
	c.uid = 1000;
	c.gid = 100;
	assert_int_equal(client_create_file(&c, client_walk(&c, "g"), "f",
					    O_RDWR, 0644, &node, &fh),
			 0);
	assert_int_equal(client_mkdir(&c, client_walk(&c, "g"), "d", 0755,
				      &node),
			 0);
	assert_int_equal(stat_of(&c, "g/f").st_gid, 200);
	assert_int_equal(stat_of(&c, "g/d").st_gid, 200);
	assert_int_equal(stat_of(&c, "g/d").st_mode, S_IFDIR | 02755);
	client_finish(&c);
}

/* An id that setfsuid() does not take: the request fails, not as root. */
static void test_ids_that_are_none(void **state)
{
	struct client c;
	uint64_t node;

	(void)state;
	client_start(&c, &usual);
	c.uid = (uint32_t)-1;
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &node), -EPERM);
	assert_int_equal(access(client_path(&c, "d"), F_OK), -1);
	c.uid = 0;
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &node), 0);
	client_finish(&c);
}

/* A file that the guest did not see, so it has not checked: as the caller. */
static void test_create_of_existing(void **state)
{
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "secret"), "root's");
	assert_int_equal(chmod(client_path(&c, "secret"), 0600), 0);
	c.uid = c.gid = 1000;
	assert_int_equal(client_create_file(&c, 1, "secret", O_RDWR, 0644,
					    &node, &fh),
			 -EACCES);
	c.uid = c.gid = 0;
	assert_int_equal(client_create_file(&c, 1, "secret", O_RDWR, 0644,
					    &node, &fh),
			 0);
	client_finish(&c);
}

static void test_access_as_caller(void **state)
{
	struct fuse_access_in in = { .mask = R_OK };
	struct client c;
	uint64_t node;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "");
	assert_int_equal(chmod(client_path(&c, "f"), 0600), 0);
	node = client_walk(&c, "f");
	assert_int_equal(client_call(&c, FUSE_ACCESS, node, &in, sizeof(in),
				     NULL, 0),
			 0);
	c.uid = c.gid = 1000;
	assert_int_equal(client_call(&c, FUSE_ACCESS, node, &in, sizeof(in),
				     NULL, 0),
			 -EACCES);
	client_finish(&c);
}

/* Set-user-id bits go where the guest asks for it. */
static void test_set_user_id_bits(void **state)
{
	struct fuse_setattr_in size = { .valid = FATTR_SIZE };
	struct fuse_open_in open_in = { O_WRONLY | O_TRUNC,
					FUSE_OPEN_KILL_SUIDGID };
	struct fuse_fallocate_in space = { .length = 8192 };
	struct fuse_attr attr;
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "text");
	assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
	node = client_walk(&c, "f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	space.fh = fh;
	assert_int_equal(client_write(&c, node, fh, 0, "x", 1, 0, 0), 1);
	assert_int_equal(stat_of(&c, "f").st_mode, S_IFREG | 06755);
	assert_int_equal(client_write(&c, node, fh, 0, "x", 1, 0,
				      FUSE_WRITE_KILL_SUIDGID),
			 1);
	assert_int_equal(stat_of(&c, "f").st_mode, S_IFREG | 0755);
	assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
	size.size = 2;
	assert_int_equal(client_setattr(&c, node, &size, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 06755);
	size.size = 1;
	size.valid |= FATTR_KILL_SUIDGID;
	assert_int_equal(client_setattr(&c, node, &size, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0755);
	assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
	assert_int_equal(client_call(&c, FUSE_OPEN, node, &open_in,
				     sizeof(open_in), NULL, 0),
			 0);
	assert_int_equal(stat_of(&c, "f").st_mode, S_IFREG | 0755);
	assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
	/* No flag for it: by the caller. */
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &space,
				     sizeof(space), NULL, 0),
			 0);
	assert_int_equal(stat_of(&c, "f").st_mode, S_IFREG | 06755);
	c.uid = 1000;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &space,
				     sizeof(space), NULL, 0),
			 0);
	assert_int_equal(stat_of(&c, "f").st_mode, S_IFREG | 0755);
	c.uid = 0;
	assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
	assert_int_equal(chown_to(&c, node, 7, 7), 0);
	assert_int_equal(stat_of(&c, "f").st_mode, S_IFREG | 0755);
	client_finish(&c);
}

/*
 * In a child process, as the thread stays that user.  Its status is 0, or the
 * line of the check that failed: cmocka's checks do not work there.
 */
#define CHECK(condition)                       \
	do {                                   \
		if (!(condition))              \
			_exit(__LINE__ % 255); \
	} while (0)

static void squashed(struct client *c)
{
	struct fuse_attr attr;
	struct stat st;
	uint64_t node, fh;

	c->uid = 1000;
	CHECK(client_mkdir(c, 1, "d", 0755, &node) == 0);
	CHECK(lstat(client_path(c, "d"), &st) == 0 && st.st_uid == OTHER_ID);
	CHECK(client_getattr(c, node, &attr) == 0 && attr.uid == 0);
	CHECK(chown_to(c, node, 1000, 0) == -EPERM);
	/* Root's own is out of reach. */
	node = client_walk(c, "root");
	CHECK(client_open(c, node, O_RDONLY, &fh) == -EACCES);
	CHECK(client_getattr(c, node, &attr) == 0 && attr.uid == 0);
	_exit(0);
}

static void test_squash(void **state)
{
	struct fs_config config = usual;
	struct fuse_init_out init;
	struct fs_server *other;
	struct client c;
	int status;
	pid_t pid;

	(void)state;
	client_start(&c, &config);
	host_write(client_path(&c, "root"), "root's");
	assert_int_equal(chmod(client_path(&c, "root"), 0600), 0);
	assert_int_equal(chown(c.dir, OTHER_ID, OTHER_ID), 0);
	pid = fork();
	if (pid == 0) {
		config.squash = true;
		config.squash_uid = config.squash_gid = OTHER_ID;
		client_restart(&c, &config);
		CHECK(client_init(&c, UINT64_MAX, &init) == 0);
		squashed(&c);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* The directory must be readable for that user. */
	assert_int_equal(chown(c.dir, 0, 0), 0);
	assert_int_equal(chmod(c.dir, 0700), 0);
	config.squash = true;
	config.squash_uid = config.squash_gid = OTHER_ID;
	config.path = c.dir;
	assert_int_equal(fs_create(&other, &config), -EACCES);
	/* This thread is root as before. */
	host_write(client_path(&c, "after"), "");
	assert_int_equal(stat_of(&c, "after").st_uid, 0);
	assert_int_equal(stat_of(&c, "after").st_gid, 0);
	client_finish(&c);
}

static int run_unprivileged(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_user),
		cmocka_unit_test(test_single_user_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_privileged(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers_own_files),
		cmocka_unit_test(test_device_nodes),
		cmocka_unit_test(test_group_of_directory),
		cmocka_unit_test(test_ids_that_are_none),
		cmocka_unit_test(test_create_of_existing),
		cmocka_unit_test(test_access_as_caller),
		cmocka_unit_test(test_set_user_id_bits),
		cmocka_unit_test(test_squash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_as_users(run_unprivileged, run_privileged);
}
