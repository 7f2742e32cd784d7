/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended attributes: user.* for anyone; file capabilities, trusted.* and ACLs
 * with privileges.  As root, a child runs the tests of an unprivileged user
 * first.  Skipped where the file system of /tmp has none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/users.h"
#include "vmm/snap/section.h"

#define ACCESS	  "system.posix_acl_access"
#define DEFAULT	  "system.posix_acl_default"
#define ACL_BYTES 44

static const struct fs_config usual = { .cache = FS_CACHE_AUTO };

/* A client with a file "f", its node; skips where a name cannot be set. */
static uint64_t start(struct client *c, const char *probe)
{
	client_start(c, &usual);
	host_write(client_path(c, "f"), "");
	if (setxattr(client_path(c, "f"), probe, "x", 1, 0) < 0) {
		client_finish(c);
		skip();
	}
	assert_int_equal(removexattr(client_path(c, "f"), probe), 0);
	return client_walk(c, "f");
}

static void test_user(void **state)
{
	char value[16];
	struct client c;
	uint64_t node;

	(void)state;
	node = start(&c, "user.probe");
	assert_int_equal(client_setxattr(&c, node, "user.one", "value", 5, 0,
					 0),
			 0);
	assert_int_equal(getxattr(client_path(&c, "f"), "user.one", value, 16),
			 5);
	assert_memory_equal(value, "value", 5);
	assert_int_equal(client_setxattr(&c, node, "user.one", "x", 1,
					 XATTR_CREATE, 0),
			 -EEXIST);
	assert_int_equal(client_getxattr(&c, node, "user.one", 0), 0);
	assert_int_equal(((struct fuse_getxattr_out *)c.reply)->size, 5);
	assert_int_equal(client_getxattr(&c, node, "user.one", 5), 0);
	assert_int_equal(c.reply_len, 5);
	assert_memory_equal(c.reply, "value", 5);
	assert_int_equal(client_getxattr(&c, node, "user.one", 4), -ERANGE);
	assert_int_equal(client_getxattr(&c, node, "user.no", 4), -ENODATA);
	assert_int_equal(client_getxattr(&c, node, NULL, 100), 0);
	assert_int_equal(c.reply_len, 9);
	assert_memory_equal(c.reply, "user.one", 9);
	/* In any model. */
	assert_int_equal(client_setxattr(&c, node, "user.", "x", 1, 0, 0),
			 -EOPNOTSUPP);
	assert_int_equal(client_setxattr(&c, node, "system.x", "x", 1, 0, 0),
			 -EOPNOTSUPP);
	assert_int_equal(client_getxattr(&c, node, "system.posix_acl", 4),
			 -EOPNOTSUPP);
	assert_int_equal(client_call(&c, FUSE_REMOVEXATTR, node, "user.one", 9,
				     NULL, 0),
			 0);
	assert_int_equal(getxattr(client_path(&c, "f"), "user.one", value, 16),
			 -1);
	client_finish(&c);
}

static void test_unprivileged(void **state)
{
	static const char *const names[] = { "security.capability",
					     "security.selinux", "trusted.x",
					     ACCESS, DEFAULT };
	struct client c;
	uint64_t node;

	(void)state;
	node = start(&c, "user.probe");
	assert_false(c.flags & (FUSE_POSIX_ACL | FUSE_SETXATTR_EXT));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(client_setxattr(&c, node, names[i], "x", 1, 0,
						 0),
				 -EOPNOTSUPP);
		assert_int_equal(client_getxattr(&c, node, names[i], 100),
				 -EOPNOTSUPP);
		assert_int_equal(client_call(&c, FUSE_REMOVEXATTR, node,
					     names[i], strlen(names[i]) + 1,
					     NULL, 0),
				 -EOPNOTSUPP);
	}
	client_finish(&c);
}

/* Revision 2 of struct vfs_cap_data: CAP_NET_BIND_SERVICE, permitted. */
static const uint8_t capability[20] = { 1, 0, 0, 2, 0, 4 };

static void test_capability(void **state)
{
	uint8_t value[32];
	struct client c;
	uint64_t node, fh;

	(void)state;
	node = start(&c, "trusted.probe");
	assert_int_equal(client_setxattr(&c, node, "security.capability",
					 capability, sizeof(capability), 0, 0),
			 0);
	assert_int_equal(getxattr(client_path(&c, "f"), "security.capability",
				  value, sizeof(value)),
			 sizeof(capability));
	assert_int_equal(client_getxattr(&c, node, "security.capability", 100),
			 0);
	assert_int_equal(c.reply_len, sizeof(capability));
	assert_memory_equal(c.reply, capability, sizeof(capability));
	/* A write ends them, as the guest relies on. */
	assert_int_equal(client_open(&c, node, 2, &fh), 0);
	assert_int_equal(client_write(&c, node, fh, 0, "x", 1, 0, 0), 1);
	assert_int_equal(client_getxattr(&c, node, "security.capability", 100),
			 -ENODATA);
	client_finish(&c);
}

/* Whether the last list contains a name. */
static bool lists(const struct client *c, const char *name)
{
	for (size_t at = 0; at < c->reply_len;
	     at += strlen((char *)c->reply + at) + 1)
		if (!strcmp((char *)c->reply + at, name))
			return true;
	return false;
}

static void test_trusted(void **state)
{
	struct client c;
	uint64_t node;

	(void)state;
	node = start(&c, "trusted.probe");
	assert_int_equal(client_setxattr(&c, node, "trusted.x", "y", 1, 0, 0),
			 0);
	assert_int_equal(client_setxattr(&c, node, "user.x", "y", 1, 0, 0), 0);
	assert_int_equal(client_getxattr(&c, node, NULL, 200), 0);
	assert_true(lists(&c, "trusted.x") && lists(&c, "user.x"));
	c.uid = 1000;
	assert_int_equal(client_getxattr(&c, node, NULL, 200), 0);
	assert_true(!lists(&c, "trusted.x") && lists(&c, "user.x"));
	client_finish(&c);
}

/* The link's own are reached, and never those of what it points to. */
static void test_symbolic_link(void **state)
{
	char outside[100], value[8];
	struct client c;
	uint64_t node;

	(void)state;
	start(&c, "trusted.probe");
	snprintf(outside, sizeof(outside), "%s/outside", c.top);
	host_write(outside, "");
	assert_int_equal(setxattr(outside, "trusted.secret", "s", 1, 0), 0);
	assert_int_equal(symlink(outside, client_path(&c, "link")), 0);
	node = client_walk(&c, "link");
	assert_int_equal(client_getxattr(&c, node, "trusted.secret", 8),
			 -ENODATA);
	assert_int_equal(client_setxattr(&c, node, "trusted.x", "y", 1, 0, 0),
			 0);
	assert_int_equal(client_setxattr(&c, node, "trusted.secret", "y", 1,
					 XATTR_REPLACE, 0),
			 -ENODATA);
	assert_int_equal(client_getxattr(&c, node, NULL, 100), 0);
	assert_true(lists(&c, "trusted.x") && !lists(&c, "trusted.secret"));
	assert_int_equal(lgetxattr(client_path(&c, "link"), "trusted.x", value,
				   8),
			 1);
	assert_int_equal(getxattr(outside, "trusted.x", value, 8), -1);
	assert_int_equal(client_setxattr(&c, node, "user.x", "y", 1, 0, 0),
			 -EPERM);
	assert_int_equal(client_getxattr(&c, node, ACCESS, 100), -EPERM);
	client_finish(&c);
}

/* Owner rw, user 1000 rw, group r, mask rw, others none (acl(5), version 2). */
static void make_acl(uint8_t acl[ACL_BYTES])
{
	static const struct {
		uint16_t tag, perm;
		uint32_t id;
	} entries[] = {
		{ 1, 6, (uint32_t)-1 },	 { 2, 6, 1000 },
		{ 4, 4, (uint32_t)-1 },	 { 16, 6, (uint32_t)-1 },
		{ 32, 0, (uint32_t)-1 },
	};
	const uint32_t version = 2;

	memcpy(acl, &version, sizeof(version));
	memcpy(acl + sizeof(version), entries, sizeof(entries));
}

/* A file with mode 02750 that belongs to a group. */
static uint64_t set_group_id_file(struct client *c, const char *name, gid_t gid)
{
	host_write(client_path(c, name), "");
	assert_int_equal(chown(client_path(c, name), 1000, gid), 0);
	assert_int_equal(chmod(client_path(c, name), 02750), 0);
	return client_walk(c, name);
}

static mode_t mode_of(const struct client *c, const char *name)
{
	struct stat st;

	assert_int_equal(stat(client_path(c, name), &st), 0);
	return st.st_mode & 07777;
}

static void test_acl(void **state)
{
	uint8_t acl[ACL_BYTES], value[100];
	struct client c;
	uint64_t node, dir, fh;

	(void)state;
	make_acl(acl);
	node = start(&c, "trusted.probe");
	assert_true(c.flags & FUSE_POSIX_ACL);
	assert_true(c.flags & FUSE_SETXATTR_EXT);
	assert_int_equal(client_getxattr(&c, node, ACCESS, 100), -ENODATA);
	if (setxattr(client_path(&c, "f"), ACCESS, acl, sizeof(acl), 0) < 0) {
		client_finish(&c);
		skip();
	}
	assert_int_equal(client_getxattr(&c, node, ACCESS, 100), 0);
	assert_int_equal(c.reply_len, sizeof(acl));
	assert_memory_equal(c.reply, acl, sizeof(acl));
	/* Files made in a directory with a default ACL, whatever the umask. */
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &dir), 0);
	assert_int_equal(client_setxattr(&c, dir, DEFAULT, acl, sizeof(acl), 0,
					 0),
			 0);
	assert_int_equal(client_create_file(&c, dir, "f", 2, 0666, &node, &fh),
			 0);
	assert_int_equal(getxattr(client_path(&c, "d/f"), ACCESS, value,
				  sizeof(value)),
			 sizeof(acl));
	assert_int_equal(mode_of(&c, "d/f"), 0660);
	/* The set-group-ID bit goes where the guest says so, and only there. */
	node = set_group_id_file(&c, "kept", 200);
	assert_int_equal(client_setxattr(&c, node, ACCESS, acl, sizeof(acl), 0,
					 0),
			 0);
	assert_int_equal(mode_of(&c, "kept"), 02660);
	c.uid = 1000;
	c.gid = 100;
	node = set_group_id_file(&c, "ended", 200);
	assert_int_equal(client_setxattr(&c, node, ACCESS, acl, sizeof(acl), 0,
					 FUSE_SETXATTR_ACL_KILL_SGID),
			 0);
	assert_int_equal(mode_of(&c, "ended"), 0660);
	node = set_group_id_file(&c, "of root's group", 0);
	assert_int_equal(client_setxattr(&c, node, ACCESS, acl, sizeof(acl), 0,
					 FUSE_SETXATTR_ACL_KILL_SGID),
			 0);
	assert_int_equal(mode_of(&c, "of root's group"), 0660);
	/* The thread is root again, with all of its rights. */
	assert_int_equal(client_setxattr(&c, node, "trusted.x", "y", 1, 0, 0),
			 0);
	client_finish(&c);
}

/* In a child process, whose status is the line of the check that failed, or 0. */
#define CHECK(condition)                       \
	do {                                   \
		if (!(condition))              \
			_exit(__LINE__ % 255); \
	} while (0)

/*
 * A session that agreed on ACLs, restored where thaw acts as one user: none, and
 * not an error that has the guest refuse all access.
 */
static void test_acl_after_restore(void **state)
{
	struct fs_config squash = { .squash = true,
				    .squash_uid = OTHER_ID,
				    .squash_gid = OTHER_ID };
	struct snap_writer w = { 0 };
	struct snap_reader r;
	uint8_t acl[ACL_BYTES];
	struct client c;
	uint64_t node;
	int status;
	pid_t pid;

	(void)state;
	make_acl(acl);
	node = start(&c, "trusted.probe");
	assert_int_equal(fs_save(c.server, &w, false), 0);
	pid = fork();
	if (pid == 0) {
		client_restart(&c, &squash);
		r = (struct snap_reader){ .data = w.data, .len = w.len };
		CHECK(fs_restore(c.server, &r, false) == 0);
		CHECK(client_getxattr(&c, node, ACCESS, 100) == -ENODATA);
		CHECK(client_setxattr(&c, node, ACCESS, acl, sizeof(acl), 0,
				      0) == -EOPNOTSUPP);
		CHECK(client_getxattr(&c, node, "trusted.x", 100) ==
		      -EOPNOTSUPP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	snap_writer_finish(&w);
	client_finish(&c);
}

/* A guest that does not enforce ACLs cannot set them either. */
static void test_acl_not_agreed_on(void **state)
{
	uint8_t acl[ACL_BYTES];
	struct client c;
	uint64_t node;

	(void)state;
	make_acl(acl);
	start(&c, "trusted.probe");
	assert_int_equal(client_init(&c, UINT64_MAX & ~FUSE_POSIX_ACL, NULL),
			 0);
	node = client_walk(&c, "f");
	assert_int_equal(client_setxattr(&c, node, ACCESS, acl, sizeof(acl), 0,
					 0),
			 -EOPNOTSUPP);
	assert_int_equal(client_getxattr(&c, node, ACCESS, 100), -EOPNOTSUPP);
	client_finish(&c);
}

/* The struct of a request that ends early. */
static void test_short_request(void **state)
{
	struct fuse_setxattr_in in = { .size = 0 };
	struct client c;
	uint64_t node;

	(void)state;
	node = start(&c, "trusted.probe");
	for (size_t len = 0; len < sizeof(in); len++)
		assert_int_equal(client_call(&c, FUSE_SETXATTR, node, &in, len,
					     NULL, 0),
				 -EINVAL);
	client_finish(&c);
}

static int run_unprivileged(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_unprivileged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_privileged(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_capability),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_symbolic_link),
		cmocka_unit_test(test_acl),
		cmocka_unit_test(test_acl_after_restore),
		cmocka_unit_test(test_acl_not_agreed_on),
		cmocka_unit_test(test_short_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_as_users(run_unprivileged, run_privileged);
}
