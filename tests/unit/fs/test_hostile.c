/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests as a guest that means harm makes them.  Whatever they are, the reply
 * is well-formed, nothing outside the share changes, and the sanitizers of the
 * build find nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/skip.h"
#include "vmm/fs/uapi.h"

static const struct fs_config usual = { .cache = FS_CACHE_AUTO };

/* Beyond the last opcode that there is. */
#define OPCODES 64

/* Raw bytes as a request; checks the reply and returns its error. */
static int raw(struct client *c, const void *request, size_t len,
	       size_t reply_len)
{
	uint8_t *in_bytes = malloc(len + !len);
	uint8_t *out_bytes = malloc(reply_len + !reply_len);
	struct iovec in = { in_bytes, len }, out = { out_bytes, reply_len };
	struct fuse_out_header head;
	size_t written;

	assert_non_null(in_bytes);
	assert_non_null(out_bytes);
	if (len)
		memcpy(in_bytes, request, len);
	written = fs_handle(c->server, &in, 1, &out, 1);
	if (written) {
		assert_in_range(written, sizeof(head), reply_len);
		memcpy(&head, out_bytes, sizeof(head));
		assert_int_equal(head.len, written);
		assert_true(head.error <= 0 && head.error > -512);
	}
	free(in_bytes);
	free(out_bytes);
	return written ? head.error : CLIENT_NO_REPLY;
}

struct packet {
	struct fuse_in_header head;
	uint8_t args[200];
};

static void packet_init(struct packet *p, uint32_t opcode, size_t args)
{
	memset(p, 0, sizeof(*p));
	p->head.opcode = opcode;
	p->head.nodeid = 1;
	p->head.unique = 7;
	p->head.len = (uint32_t)(sizeof(p->head) + args);
}

/* Every opcode, cut off after each byte, with and without a true length. */
static void test_truncated(void **state)
{
	struct packet p;
	struct client c;

	(void)state;
	client_start(&c, &usual);
	for (uint32_t op = 0; op < OPCODES; op++) {
		for (size_t len = 0; len <= sizeof(p); len++) {
			packet_init(&p, op, sizeof(p.args));
			if (len < sizeof(p))
				assert_true(raw(&c, &p, len, 4096) != 0);
			p.head.len = (uint32_t)len;
			raw(&c, &p, len, 4096);
		}
		/* The session may have ended by DESTROY. */
		assert_int_equal(client_init(&c, UINT64_MAX, NULL), 0);
	}
	client_finish(&c);
}

/* Lengths that are not those of the buffers. */
static void test_lengths(void **state)
{
	static const uint32_t lengths[] = { 0,	39,	   40,	      41,
					    99, INT32_MAX, UINT32_MAX };
	struct packet p;
	struct client c;
	uint8_t *large = calloc(1, 1 << 20);

	(void)state;
	client_start(&c, &usual);
	for (uint32_t op = 0; op < OPCODES; op++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths);
		     i++) {
			packet_init(&p, op, 0);
			p.head.len = lengths[i];
			if (p.head.len > sizeof(p) || p.head.len < 40)
				assert_true(raw(&c, &p, sizeof(p), 4096) != 0);
			else
				raw(&c, &p, sizeof(p), 4096);
		}
		assert_int_equal(client_init(&c, UINT64_MAX, NULL), 0);
	}
	/* Arguments beyond all bounds are refused before they are copied. */
	packet_init((struct packet *)large, FUSE_LOOKUP, (1 << 20) - 40);
	assert_int_equal(raw(&c, large, 1 << 20, 4096), -E2BIG);
	free(large);
	client_finish(&c);
}

/* Without space for the reply nothing is done. */
static void test_reply_space(void **state)
{
	struct fuse_mkdir_in in = { .mode = 0755 };
	struct packet p;
	struct client c;
	struct stat st;

	(void)state;
	client_start(&c, &usual);
	for (size_t space = 0; space < 16 + sizeof(struct fuse_entry_out);
	     space++) {
		packet_init(&p, FUSE_MKDIR, sizeof(in) + 2);
		memcpy(p.args, &in, sizeof(in));
		memcpy(p.args + sizeof(in), "d", 2);
		assert_int_equal(raw(&c, &p, p.head.len, space),
				 space < 16 ? CLIENT_NO_REPLY : -EINVAL);
		assert_int_equal(stat(client_path(&c, "d"), &st), -1);
	}
	assert_int_equal(raw(&c, &p, p.head.len,
			     16 + sizeof(struct fuse_entry_out)),
			 0);
	assert_int_equal(stat(client_path(&c, "d"), &st), 0);
	for (uint32_t op = 0; op < OPCODES; op++) {
		for (size_t space = 0; space < 200; space += 3) {
			packet_init(&p, op, sizeof(p.args));
			raw(&c, &p, sizeof(p), space);
		}
		assert_int_equal(client_init(&c, UINT64_MAX, NULL), 0);
	}
	client_finish(&c);
}

/* Request and reply in the same memory, and more iovecs than there may be. */
static void test_overlap(void **state)
{
	static struct iovec many[FS_IOV_MAX + 1];
	uint8_t bytes[4096];
	struct iovec both = { bytes, sizeof(bytes) };
	struct packet p;
	struct client c;

	(void)state;
	client_start(&c, &usual);
	for (uint32_t op = 0; op < OPCODES; op++) {
		packet_init(&p, op, sizeof(p.args));
		memcpy(bytes, &p, sizeof(p));
		fs_handle(c.server, &both, 1, &both, 1);
		assert_int_equal(client_init(&c, UINT64_MAX, NULL), 0);
	}
	for (size_t i = 0; i <= FS_IOV_MAX; i++)
		many[i] = both;
	assert_int_equal(fs_handle(c.server, many, FS_IOV_MAX + 1, &both, 1),
			 16);
	assert_int_equal(((struct fuse_out_header *)bytes)->error, -EINVAL);
	assert_int_equal(fs_handle(c.server, NULL, 0, NULL, 0), 0);
	client_finish(&c);
}

static const struct {
	const char *name;
	size_t len; /* with what ends it, if anything does */
	int error;
} bad_names[] = {
	{ "", 1, -EINVAL },
	{ ".", 2, -EINVAL },
	{ "..", 3, -EINVAL },
	{ "/", 2, -EINVAL },
	{ "a/b", 4, -EINVAL },
	{ "../canary", 10, -EINVAL },
	{ "/etc/passwd", 12, -EINVAL },
	{ "canary/", 8, -EINVAL },
	{ "open", 4, -EINVAL },
	{ "..\0x", 5, -EINVAL },
};

/* Every operation with a name, before which there are @before bytes. */
static void try_names(struct client *c, uint32_t opcode, size_t before)
{
	char longest[300];
	struct packet p;

	for (size_t i = 0; i < sizeof(bad_names) / sizeof(*bad_names); i++) {
		size_t len = before + bad_names[i].len;

		packet_init(&p, opcode, len);
		if (opcode == FUSE_RENAME || opcode == FUSE_RENAME2)
			p.args[0] = 1; /* the root, also the new parent */
		memcpy(p.args + before, bad_names[i].name, bad_names[i].len);
		assert_int_equal(raw(c, &p, p.head.len, 4096),
				 bad_names[i].error);
	}
	memset(longest, 'x', sizeof(longest));
	longest[256] = longest[299] = '\0';
	memset(&p, 0, sizeof(p));
	assert_int_equal(client_call(c, opcode, 1, &p, before, longest, 300),
			 -ENAMETOOLONG);
}

static void test_names(void **state)
{
	char text[16], top[128];
	struct client c;

	(void)state;
	client_start(&c, &usual);
	snprintf(top, sizeof(top), "%s/canary", c.top);
	host_write(top, "untouched");
	try_names(&c, FUSE_LOOKUP, 0);
	try_names(&c, FUSE_SYMLINK, 0);
	try_names(&c, FUSE_MKNOD, sizeof(struct fuse_mknod_in));
	try_names(&c, FUSE_MKDIR, sizeof(struct fuse_mkdir_in));
	try_names(&c, FUSE_UNLINK, 0);
	try_names(&c, FUSE_RMDIR, 0);
	try_names(&c, FUSE_RENAME, sizeof(struct fuse_rename_in));
	try_names(&c, FUSE_RENAME2, sizeof(struct fuse_rename2_in));
	try_names(&c, FUSE_LINK, sizeof(struct fuse_link_in));
	try_names(&c, FUSE_CREATE, sizeof(struct fuse_create_in));
	host_write(client_path(&c, "f"), "");
	assert_int_equal(client_rename(&c, 1, "f", 1, "..", 0), -EINVAL);
	assert_int_equal(client_rename(&c, 1, "f", 1, "../g", 0), -EINVAL);
	host_read(top, text, sizeof(text));
	assert_string_equal(text, "untouched");
	client_finish(&c);
}

static void test_stale_ids(void **state)
{
	static const uint64_t ids[] = { 0, 2, 3, 99, UINT64_MAX };
	struct fuse_link_in link_in = { UINT64_MAX };
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct client c;
	uint64_t fh;

	(void)state;
	client_start(&c, &usual);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		assert_int_equal(client_getattr(&c, ids[i], &attr), -ESTALE);
		assert_int_equal(client_lookup(&c, ids[i], "x", &entry),
				 -ESTALE);
		assert_int_equal(client_opendir(&c, ids[i], &fh), -ESTALE);
		assert_int_equal(client_unlink(&c, ids[i], "x"), -ESTALE);
		client_forget(&c, ids[i], UINT64_MAX);
	}
	client_forget(&c, 1, UINT64_MAX);
	assert_int_equal(client_getattr(&c, 1, &attr), 0);
	assert_int_equal(client_call(&c, FUSE_LINK, 1, &link_in,
				     sizeof(link_in), "x", 2),
			 -ESTALE);
	host_write(client_path(&c, "f"), "");
	assert_int_equal(client_rename(&c, 1, "f", 77, "g", 0), -ESTALE);
	client_finish(&c);
}

static void test_handles(void **state)
{
	struct fuse_read_in list = { .size = 4096 };
	struct client c;
	uint64_t f, g, d, f_fh, d_fh;
	char byte;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "f");
	host_write(client_path(&c, "g"), "g");
	f = client_walk(&c, "f");
	g = client_walk(&c, "g");
	assert_int_equal(client_mkdir(&c, 1, "d", 0755, &d), 0);
	assert_int_equal(client_open(&c, f, O_RDONLY, &f_fh), 0);
	assert_int_equal(client_opendir(&c, d, &d_fh), 0);
	assert_int_equal(client_open(&c, d, O_RDONLY, &list.fh), -EISDIR);
	assert_int_equal(client_opendir(&c, f, &list.fh), -ENOTDIR);
	assert_int_equal(client_read(&c, f, 0, 0, &byte, 1), -EBADF);
	assert_int_equal(client_read(&c, f, UINT64_MAX, 0, &byte, 1), -EBADF);
	/* Another inode's, and another kind. */
	assert_int_equal(client_read(&c, g, f_fh, 0, &byte, 1), -EBADF);
	assert_int_equal(client_read(&c, d, d_fh, 0, &byte, 1), -EBADF);
	assert_int_equal(client_release(&c, g, f_fh), -EBADF);
	list.fh = f_fh;
	assert_int_equal(client_call(&c, FUSE_READDIR, f, &list, sizeof(list),
				     NULL, 0),
			 -EBADF);
	/* A handle for reading does not write. */
	assert_int_equal(client_write(&c, f, f_fh, 0, "x", 1, 0, 0), -EBADF);
	/* Offsets at the ends of all numbers. */
	assert_int_equal(client_read(&c, f, f_fh, UINT64_MAX, &byte, 1),
			 -EINVAL);
	assert_int_equal(client_read(&c, f, f_fh, INT64_MAX, &byte, 1),
			 -EINVAL);
	list.fh = d_fh;
	list.offset = UINT64_MAX;
	assert_true(client_call(&c, FUSE_READDIR, d, &list, sizeof(list), NULL,
				0) <= 0);
	client_finish(&c);
}

/* More than a WRITE carries, and counts that no batch has. */
static void test_counts(void **state)
{
	struct fuse_write_in in = { .size = 100 };
	struct fuse_batch_forget_in batch = { .count = UINT32_MAX };
	struct fuse_setxattr_in xattr = { .size = UINT32_MAX };
	size_t xattr_len;
	struct client c;
	struct stat st;
	uint64_t node;

	(void)state;
	client_start(&c, &usual);
	assert_int_equal(client_create_file(&c, 1, "f", O_RDWR, 0644, &node,
					    &in.fh),
			 0);
	assert_int_equal(client_call(&c, FUSE_WRITE, node, &in, sizeof(in),
				     "only this", 9),
			 -EINVAL);
	xattr_len = c.flags & FUSE_SETXATTR_EXT ? sizeof(xattr) :
						  FUSE_COMPAT_SETXATTR_IN_SIZE;
	in.size = UINT32_MAX;
	assert_int_equal(client_call(&c, FUSE_WRITE, node, &in, sizeof(in),
				     "only this", 9),
			 -EINVAL);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(client_call(&c, FUSE_BATCH_FORGET, 0, &batch,
				     sizeof(batch), NULL, 0),
			 CLIENT_NO_REPLY);
	assert_int_equal(client_call(&c, FUSE_SETXATTR, node, &xattr, xattr_len,
				     "user.x\0v", 8),
			 -E2BIG);
	xattr.size = 100;
	assert_int_equal(client_call(&c, FUSE_SETXATTR, node, &xattr, xattr_len,
				     "user.x\0v", 8),
			 -EINVAL);
	client_finish(&c);
}

/* Noise in the arguments of every operation; the host's limits bound it. */
static void test_noise(void **state)
{
	static const uint8_t small[] = { 0, 1, 2, 3, 4, 255, 'a', '/' };
	struct rlimit limit, little = { 1 << 20, 1 << 20 };
	struct packet p;
	struct client c;
	unsigned int seed = 5;

	(void)state;
	client_start(&c, &usual);
	getrlimit(RLIMIT_FSIZE, &limit);
	little.rlim_max = limit.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &little);
	for (int n = 0; n < 60000; n++) {
		size_t len = (unsigned int)rand_r(&seed) % sizeof(p.args);

		packet_init(&p, (unsigned int)rand_r(&seed) % OPCODES, len);
		for (size_t i = 0; i < len; i++)
			if (rand_r(&seed) % 8 < 2)
				p.args[i] = small[(unsigned int)rand_r(&seed) %
						  sizeof(small)];
		p.head.nodeid = 1 + (unsigned int)rand_r(&seed) % 20;
		/* KEEP_SIZE takes what the limit does not bound. */
		if (p.head.opcode == FUSE_FALLOCATE)
			memset(p.args + 20, 0, sizeof(p.args) - 20);
		raw(&c, &p, p.head.len, (unsigned int)rand_r(&seed) % 5000);
		if (n % 100 == 0)
			assert_int_equal(client_init(&c, UINT64_MAX, NULL), 0);
	}
	setrlimit(RLIMIT_FSIZE, &limit);
	client_finish(&c);
}

#ifndef __SANITIZE_THREAD__
struct flipper {
	volatile uint8_t *at;
	atomic_bool stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;

	while (!atomic_load(&f->stop))
		*f->at = *f->at == '/' ? '_' : '/';
	return NULL;
}

/* The name changes while it is looked at: ".._x", "../x". */
static void test_changing_memory(void **state)
{
	struct flipper flipper = { 0 };
	struct iovec in, out;
	uint8_t reply[256];
	struct packet p;
	struct client c;
	pthread_t thread;
	char path[128];

	(void)state;
	client_start(&c, &usual);
	packet_init(&p, FUSE_MKDIR, sizeof(struct fuse_mkdir_in) + 5);
	memcpy(p.args + sizeof(struct fuse_mkdir_in), ".._x", 5);
	flipper.at = &p.args[sizeof(struct fuse_mkdir_in) + 2];
	in = (struct iovec){ &p, p.head.len };
	out = (struct iovec){ reply, sizeof(reply) };
	assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
	snprintf(path, sizeof(path), "%s/x", c.top);
	for (int i = 0; i < 20000; i++) {
		assert_true(fs_handle(c.server, &in, 1, &out, 1) >= 16);
		if (i % 64 == 0)
			assert_int_equal(access(path, F_OK), -1);
		rmdir(client_path(&c, ".._x"));
	}
	atomic_store(&flipper.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(access(path, F_OK), -1);
	client_finish(&c);
}
#endif

/*
 * A read that fails after its first page is an error: the guest takes a short
 * reply for the end of the file.
 */
static void test_read_that_fails(void **state)
{
	struct {
		struct fuse_in_header head;
		struct fuse_read_in in;
	} request = {
		.head = { .len = sizeof(request), .opcode = FUSE_READ },
		.in = { .size = 8192 },
	};
	const struct iovec in = { &request, sizeof(request) };
	struct fuse_out_header reply;
	struct iovec out[3] = { { &reply, sizeof(reply) } };
	struct client c;
	char *pages;

	(void)state;
	client_start(&c, &usual);
	host_write(client_path(&c, "f"), "text");
	assert_int_equal(truncate(client_path(&c, "f"), 8192), 0);
	request.head.nodeid = client_walk(&c, "f");
	assert_int_equal(client_open(&c, request.head.nodeid, O_RDONLY,
				     &request.in.fh),
			 0);
	pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	out[1] = (struct iovec){ pages, 4096 };
	out[2] = (struct iovec){ pages + 4096, 4096 };
	assert_int_equal(fs_handle(c.server, &in, 1, out, 3),
			 sizeof(reply) + 8192);
	assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	assert_int_equal(fs_handle(c.server, &in, 1, out, 3), sizeof(reply));
	assert_int_equal(reply.error, -EFAULT);
	munmap(pages, 8192);
	client_finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_reply_space),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_stale_ids),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_read_that_fails),
		cmocka_unit_test(test_noise),
#ifndef __SANITIZE_THREAD__
		cmocka_unit_test(test_changing_memory),
#endif
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
