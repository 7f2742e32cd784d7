// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-fs: FUSE requests through the queues, completed in any order; pause,
 * save and restore; chains that are no requests.
 *
 * A request is slow where its reply goes to a page of guest memory that
 * userfaultfd(2) holds absent until the test releases it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "tests/unit/fs/skip.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/thread.h"
#include "vmm/snap/section.h"

enum { HIPRIO = 0, REQUEST = 1 };

/* Where requests are put; the SLOTs follow each other. */
#define IN	   GUEST_HIGH
#define OUT	   (GUEST_HIGH + MIB)
#define SLOT_BYTES (8 * KIB)
#define SLOTS	   32
#define SLOW	   (GUEST_HIGH + 2 * MIB) /* the reply of the slow one */

struct fixture {
	struct guest g;
	struct device device;
	struct guest_device d;
	char dir[64];
	uint64_t unique;
	unsigned int slots[64]; /* of the request with a head */
	int uffd; /* -1: no request is slow */
};

/* A path in the share, valid until the next call. */
static const char *path_of(const struct fixture *x, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", x->dir, name);
	return path;
}

static void host_file(const struct fixture *x, const char *name,
		      const char *text)
{
	FILE *f = fopen(path_of(x, name), "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* Makes the device, as in a new machine. */
static void create(struct fixture *x)
{
	const struct virtio_fs_share share = {
		.fs = { .path = x->dir },
		.tag = "share",
	};

	guest_init(&x->g);
	assert_int_equal(virtio_fs_create(&x->device, &x->g.host, "share0",
					  &share),
			 0);
	guest_find(&x->g, &x->d, 1);
}

static void destroy(struct fixture *x)
{
	guest_destroy(&x->g, &x->device);
	guest_finish(&x->g);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->uffd = -1;
	snprintf(x->dir, sizeof(x->dir), "/tmp/virtio-fs.XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	create(x);
	guest_start(&x->d, UINT64_MAX, 2);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "file", "new" };
	struct fixture *x = *state;

	if (x->uffd >= 0)
		close(x->uffd);
	destroy(x);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(path_of(x, names[i]));
	assert_int_equal(rmdir(x->dir), 0);
	free(x);
	return 0;
}

/* Puts a request in a slot and offers it: header and arguments, then space. */
static uint64_t submit(struct fixture *x, unsigned int queue,
		       unsigned int opcode, uint64_t node, const void *args,
		       size_t len)
{
	unsigned int slot = (unsigned int)(x->unique++ % SLOTS);
	gpa_t in = IN + slot * SLOT_BYTES, out = OUT + slot * SLOT_BYTES;
	struct fuse_in_header head = {
		.len = (uint32_t)(sizeof(head) + len),
		.opcode = opcode,
		.unique = x->unique,
		.nodeid = node,
	};
	struct guest_buffer b[4] = {
		{ in, sizeof(head), 0 },
		{ in + sizeof(head), (uint32_t)len, 0 },
		{ out, sizeof(struct fuse_out_header), GUEST_WRITE },
		{ out + sizeof(struct fuse_out_header), 4096, GUEST_WRITE },
	};

	memcpy(guest_ptr(&x->g, in, sizeof(head)), &head, sizeof(head));
	memcpy(guest_ptr(&x->g, in + sizeof(head), len), args, len);
	memset(guest_ptr(&x->g, out, SLOT_BYTES), 0, SLOT_BYTES);
	x->slots[guest_add(&x->d, queue, b, queue == HIPRIO ? 2 : 4)] = slot;
	guest_kick(&x->d, queue);
	return head.unique;
}

/* A reply: its unique, error, and contents. */
struct reply {
	uint64_t unique;
	int error;
	uint32_t len;
	const void *data;
};

/* Waits for the next used entry and checks that it is a well-formed reply. */
static struct reply await(struct fixture *x)
{
	const struct fuse_out_header *head;
	uint32_t id, len;
	gpa_t out;

	assert_true(guest_used(&x->d, REQUEST, &id, &len));
	out = OUT + x->slots[id] * SLOT_BYTES;
	head = guest_ptr(&x->g, out, SLOT_BYTES);
	assert_int_equal(len, head->len);
	return (struct reply){ head->unique, head->error,
			       len - (uint32_t)sizeof(*head), head + 1 };
}

static struct reply call(struct fixture *x, unsigned int opcode, uint64_t node,
			 const void *args, size_t len)
{
	uint64_t unique = submit(x, REQUEST, opcode, node, args, len);
	struct reply reply = await(x);

	assert_int_equal(reply.unique, unique);
	return reply;
}

static void init(struct fixture *x)
{
	const struct fuse_init_in in = { .major = 7, .minor = 38 };
	struct reply r = call(x, FUSE_INIT, 0, &in, sizeof(in));
	const struct fuse_init_out *out = r.data;

	assert_int_equal(r.error, 0);
	assert_int_equal(out->major, 7);
	assert_int_equal(out->max_write, MIB);
}

static uint64_t lookup(struct fixture *x, const char *name)
{
	struct reply r =
		call(x, FUSE_LOOKUP, FUSE_ROOT_ID, name, strlen(name) + 1);

	assert_int_equal(r.error, 0);
	return ((const struct fuse_entry_out *)r.data)->nodeid;
}

static uint64_t open_file(struct fixture *x, uint64_t node, uint32_t flags)
{
	const struct fuse_open_in in = { .flags = flags };
	struct reply r = call(x, FUSE_OPEN, node, &in, sizeof(in));

	assert_int_equal(r.error, 0);
	return ((const struct fuse_open_out *)r.data)->fh;
}

static int getattr(struct fixture *x, uint64_t node)
{
	const struct fuse_getattr_in in = { 0 };

	return call(x, FUSE_GETATTR, node, &in, sizeof(in)).error;
}

/* Reads 5 bytes at the front. */
static struct reply read_five(struct fixture *x, uint64_t node, uint64_t fh)
{
	const struct fuse_read_in in = { .fh = fh, .size = 5 };

	return call(x, FUSE_READ, node, &in, sizeof(in));
}

/* Submits a request whose reply waits for release(). */
static uint64_t submit_slow(struct fixture *x)
{
	struct uffdio_api api = { .api = UFFD_API };
	uint8_t *page = guest_ptr(&x->g, SLOW, PAGE_BYTES);
	struct uffdio_register area = {
		.range = { (uintptr_t)page, PAGE_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct fuse_in_header *head;
	struct guest_buffer b[2] = {
		{ IN + SLOTS * SLOT_BYTES,
		  sizeof(*head) + sizeof(struct fuse_getattr_in), 0 },
		{ SLOW, 4096, GUEST_WRITE },
	};

	x->uffd =
		(int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (x->uffd < 0) {
		print_message("userfaultfd: %s\n", strerror(errno));
		skip();
	}
	madvise(page, PAGE_BYTES, MADV_DONTNEED);
	assert_int_equal(ioctl(x->uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(x->uffd, UFFDIO_REGISTER, &area), 0);
	head = guest_ptr(&x->g, b[0].gpa, b[0].len);
	memset(head, 0, b[0].len);
	*head = (struct fuse_in_header){ .len = b[0].len,
					 .opcode = FUSE_GETATTR,
					 .unique = ++x->unique,
					 .nodeid = FUSE_ROOT_ID };
	x->slots[guest_add(&x->d, REQUEST, b, 2)] =
		(unsigned int)((SLOW - OUT) / SLOT_BYTES);
	guest_kick(&x->d, REQUEST);
	guest_sync(&x->g);
	return x->unique;
}

static void release(struct fixture *x)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)guest_ptr(&x->g, SLOW, PAGE_BYTES),
			   PAGE_BYTES },
	};

	assert_int_equal(ioctl(x->uffd, UFFDIO_ZEROPAGE, &zero), 0);
}

static void test_config(void **state)
{
	struct fixture *x = *state;
	static const char tag[36] = "share";

	for (unsigned int i = 0; i < sizeof(tag); i++)
		assert_int_equal(guest_read(&x->g, x->d.config + i, 1), tag[i]);
	assert_int_equal(guest_read(&x->g, x->d.config + 36, 4), 1);
	guest_common_set(&x->d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	guest_common_set(&x->d, VIRTIO_PCI_COMMON_Q_SELECT, 2, REQUEST);
	assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_Q_SIZE, 2),
			 1024);
	assert_int_equal(guest_common(&x->d, VIRTIO_PCI_COMMON_NUMQ, 2), 2);
}

static void test_session(void **state)
{
	struct fixture *x = *state;
	struct {
		struct fuse_write_in in;
		char text[5];
	} write = { .in = { .size = 5 }, .text = "12345" };
	const struct fuse_forget_in forget = { .nlookup = 1 };
	uint64_t node, fh;
	uint32_t head, len;
	struct reply r;

	host_file(x, "file", "hello");
	assert_int_equal(getattr(x, FUSE_ROOT_ID), -EINVAL);
	init(x);
	node = lookup(x, "file");
	fh = open_file(x, node, O_RDWR);
	r = read_five(x, node, fh);
	assert_int_equal(r.len, 5);
	assert_memory_equal(r.data, "hello", 5);
	write.in.fh = fh;
	r = call(x, FUSE_WRITE, node, &write, sizeof(write.in) + 5);
	assert_int_equal(r.error, 0);
	r = read_five(x, node, fh);
	assert_memory_equal(r.data, "12345", 5);
	assert_int_equal(call(x, FUSE_LOOKUP, FUSE_ROOT_ID, "none", 5).error,
			 -ENOENT);
	submit(x, HIPRIO, FUSE_FORGET, node, &forget, sizeof(forget));
	assert_true(guest_used(&x->d, HIPRIO, &head, &len));
	assert_int_equal(len, 0);
}

/* Requests behind a slow one are completed before it. */
static void test_out_of_order(void **state)
{
	struct fixture *x = *state;
	struct reply r;
	uint64_t slow;

	init(x);
	slow = submit_slow(x);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(getattr(x, FUSE_ROOT_ID), 0);
	release(x);
	r = await(x);
	assert_int_equal(r.unique, slow);
	assert_int_equal(r.error, 0);
}

/* A pause fails while a request is slow, and the device goes on. */
static void test_quiesce(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	const struct fuse_getattr_in in = { 0 };
	uint32_t head, len;
	uint64_t unique;

	init(x);
	unique = submit_slow(x);
	guest_log_begin(&x->g);
	/* One deadline for all devices: this one has what is left. */
	assert_int_equal(ops->quiesce(x->device.state,
				      clock_now_ns() + NS_PER_S / 10),
			 -EBUSY);
	assert_int_equal(ops->quiesce(x->device.state, 1), -EBUSY);
	assert_int_equal(guest_log_end(&x->g), 2);
	assert_int_equal(getattr(x, FUSE_ROOT_ID), 0);
	release(x);
	assert_int_equal(await(x).unique, unique);
	/* Now it can be paused; what is added meanwhile waits. */
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	unique =
		submit(x, REQUEST, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in));
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, REQUEST, &head, &len));
	ops->resume(x->device.state);
	assert_int_equal(await(x).unique, unique);
}

/* Waits a moment and has the slow request end. */
static void *release_later(void *ctx)
{
	struct fixture *x = ctx;

	usleep(200000);
	release(x);
	return NULL;
}

/* A reset waits for what is in flight, and ends the session. */
static void test_reset(void **state)
{
	struct fixture *x = *state;
	pthread_t thread;

	init(x);
	submit_slow(x);
	assert_int_equal(thread_start(&thread, "later", release_later, x), 0);
	guest_start(&x->d, UINT64_MAX, 2);
	pthread_join(thread, NULL);
	assert_int_equal(getattr(x, FUSE_ROOT_ID), -EINVAL);
	init(x);
	assert_int_equal(getattr(x, FUSE_ROOT_ID), 0);
}

/* The session, its nodes and handles are in the section. */
static void test_restore(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	static uint8_t high[GUEST_HIGH_BYTES], low[GUEST_LOW_BYTES];
	struct snap_writer w = { 0 };
	struct snap_reader r;
	struct guest_device d;
	uint64_t node, fh;

	host_file(x, "file", "hello");
	init(x);
	node = lookup(x, "file");
	fh = open_file(x, node, O_RDONLY);
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(ops->save(x->device.state, &w), 0);
	memcpy(low, guest_ptr(&x->g, 0, sizeof(low)), sizeof(low));
	memcpy(high, guest_ptr(&x->g, GUEST_HIGH, sizeof(high)), sizeof(high));
	d = x->d;
	destroy(x);

	create(x);
	memcpy(guest_ptr(&x->g, 0, sizeof(low)), low, sizeof(low));
	memcpy(guest_ptr(&x->g, GUEST_HIGH, sizeof(high)), high, sizeof(high));
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(ops->load(x->device.state, &r), 0);
	ops->resume(x->device.state);
	memcpy(x->d.queues, d.queues, sizeof(d.queues));
	assert_memory_equal(read_five(x, node, fh).data, "hello", 5);
	snap_writer_finish(&w);
}

/* A section that was cut or changed is refused, and the device is usable. */
static void test_bad_sections(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	struct snap_writer w = { 0 };
	struct snap_reader r;

	host_file(x, "file", "hello");
	init(x);
	lookup(x, "file");
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(ops->save(x->device.state, &w), 0);
	guest_log_begin(&x->g);
	for (size_t len = 0; len < w.len; len += 7) {
		r = (struct snap_reader){ .data = w.data, .len = len };
		assert_true(ops->load(x->device.state, &r) < 0);
	}
	guest_log_end(&x->g);
	ops->resume(x->device.state);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, 2);
	init(x);
	assert_int_equal(getattr(x, FUSE_ROOT_ID), 0);
	snap_writer_finish(&w);
}

/*
 * An open file without a name has the save fail, with a line that says why, or
 * is reported once and saved where that is accepted.
 */
static void test_unlinked(void **state)
{
	struct snap_writer w = { 0 }, accepting = { .accept_stale = true };
	struct fixture *x = *state;

	host_file(x, "file", "hello");
	init(x);
	open_file(x, lookup(x, "file"), O_RDONLY);
	open_file(x, lookup(x, "file"), O_RDONLY);
	assert_int_equal(call(x, FUSE_UNLINK, FUSE_ROOT_ID, "file", 5).error,
			 0);
	assert_int_equal(x->device.ops->quiesce(x->device.state, INT64_MAX), 0);
	guest_log_begin(&x->g);
	assert_int_equal(x->device.ops->save(x->device.state, &w), -ESTALE);
	assert_int_equal(guest_log_end(&x->g), 1);
	for (int i = 0; i < 2; i++) {
		guest_log_begin(&x->g);
		assert_int_equal(x->device.ops->save(x->device.state,
						     &accepting),
				 0);
		assert_int_equal(guest_log_end(&x->g), 1);
	}
	x->device.ops->resume(x->device.state);
	assert_int_equal(getattr(x, FUSE_ROOT_ID), 0);
	snap_writer_finish(&w);
	snap_writer_finish(&accepting);
}

/* What the control socket shows of a share. */
static void test_usage(void **state)
{
	struct fixture *x = *state;
	struct fs_usage usage;

	host_file(x, "file", "hello");
	init(x);
	open_file(x, lookup(x, "file"), O_RDONLY);
	assert_int_equal(getattr(x, 77), -ESTALE);
	virtio_fs_usage(&x->device, &usage);
	assert_int_equal(usage.requests, 4);
	assert_int_equal(usage.errors, 1);
	assert_int_equal(usage.inodes, 2);
	assert_int_equal(usage.handles, 1);
	assert_int_equal(usage.fds, 3);
}

/* Each chain comes back, whatever is in it, and requests work after it. */
static void test_hostile(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len, seed = 1;

	init(x);
	for (unsigned int i = 0; i < 3000; i++) {
		struct guest_buffer b[3] = {
			{ IN, 1 + i % 90, 0 },
			{ IN + 100, 1 + i % 5000, 0 },
			{ OUT, 1 + i % 200, GUEST_WRITE },
		};
		uint8_t *bytes = guest_ptr(&x->g, IN, 5200);
		unsigned int first = i % 3, count = 1 + i / 3 % (3 - first);

		for (unsigned int n = 0; n < 5200; n += 1 + i % 16) {
			seed = seed * 1103515245 + 12345;
			bytes[n] = (uint8_t)(seed >> 16);
		}
		put_le32(bytes + 4, seed >> 16 & 63);
		put_le32(bytes, i & 1 ? seed >> 20 : b[0].len + b[1].len);
		guest_add(&x->d, i & 1, &b[first], count);
		guest_kick(&x->d, i & 1);
		assert_true(guest_used(&x->d, i & 1, &head, &len));
		assert_true(len <= 200);
	}
	assert_int_equal(guest_status(&x->d), 15);
	/* It may have sent DESTROY. */
	init(x);
	assert_int_equal(getattr(x, FUSE_ROOT_ID), 0);
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("fs-config", test_config),
		TEST("fs-session", test_session),
		TEST("fs-out-of-order", test_out_of_order),
		TEST("fs-quiesce", test_quiesce),
		TEST("fs-reset", test_reset),
		TEST("fs-restore", test_restore),
		TEST("fs-bad-sections", test_bad_sections),
		TEST("fs-unlinked", test_unlinked),
		TEST("fs-usage", test_usage),
		TEST("fs-hostile", test_hostile),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
