/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoder of FUSE requests, and the operations behind it.
 *
 * An input is a list of requests:
 *
 *	8 bits	opcode
 *	8 bits	node id
 *	8 bits	space for the reply, in units of 32 bytes
 *	8 bits	how the request is cut into iovecs; bit 7: its length is wrong
 *	8 bits	the length of the arguments, which follow
 *
 * The share is a temporary directory with a few files, made by the first call,
 * and is used again by all; SIZE_BYTES_MAX limits its files.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "tests/unit/base/tree.h"
#include "vmm/fs/fs.h"

#define SIZE_BYTES_MAX (64 * 1024)
#define REQUESTS_MAX   64
#define ARGS_MAX       256

static struct fs_server *server;
static char top[] = "/tmp/thaw-fuzz-fs-XXXXXX";

static void clean_up(void)
{
	fs_destroy(server);
	remove_tree(top);
}

static void set_up(void)
{
	struct rlimit limit = { SIZE_BYTES_MAX, SIZE_BYTES_MAX };
	struct fs_config config = { .fd_budget = 64, .inodes_max = 1000 };
	char path[64];

	FUZZ_CHECK(mkdtemp(top));
	signal(SIGXFSZ, SIG_IGN);
	FUZZ_CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	snprintf(path, sizeof(path), "%s/share", top);
	FUZZ_CHECK(!mkdir(path, 0755));
	config.path = path;
	FUZZ_CHECK(!fs_create(&server, &config));
	FUZZ_CHECK(!fs_thread_prepare(server));
	atexit(clean_up);
}

/* Handles bytes of the exact length, so that a sanitizer sees their end. */
static int request(const void *bytes, size_t len, size_t first,
		   size_t reply_bytes)
{
	uint8_t *a = malloc(first + !first), *reply = malloc(reply_bytes + 1);
	uint8_t *b = malloc(len - first + 1);
	struct iovec in[2] = { { a, first }, { b, len - first } };
	struct iovec out = { reply, reply_bytes };
	struct fuse_out_header head = { 0 };
	size_t written;

	FUZZ_CHECK(a && b && reply);
	memcpy(a, bytes, first);
	memcpy(b, (const uint8_t *)bytes + first, len - first);
	written = fs_handle(server, in, 2, &out, 1);
	FUZZ_CHECK(written <= reply_bytes);
	if (written) {
		FUZZ_CHECK(written >= sizeof(head));
		memcpy(&head, reply, sizeof(head));
		FUZZ_CHECK(head.len == written);
		FUZZ_CHECK(head.error <= 0 && head.error > -512);
		FUZZ_CHECK(!head.error || written == sizeof(head));
	}
	free(a);
	free(b);
	free(reply);
	return head.error;
}

struct packet {
	struct fuse_in_header head;
	uint8_t args[ARGS_MAX];
};

static void init(void)
{
	struct packet p = { .head = { .len = 40 + 64, .opcode = FUSE_INIT } };
	struct fuse_init_in in = { .major = 7,
				   .minor = 38,
				   .flags = UINT32_MAX };

	memcpy(p.args, &in, sizeof(in));
	FUZZ_CHECK(request(&p, p.head.len, 40, 256) == 0);
}

/* One request of the input. */
static void one(struct fuzz_input *in)
{
	struct packet p = { .head = { 0 } };
	uint8_t cut;
	size_t reply_bytes, len;

	p.head.opcode = (uint32_t)fuzz_number(in, 1) % 60;
	p.head.nodeid = fuzz_number(in, 1) % 64;
	reply_bytes = fuzz_number(in, 1) * 32;
	cut = (uint8_t)fuzz_number(in, 1);
	len = fuzz_number(in, 1);
	for (size_t i = 0; i < len; i++)
		p.args[i] = (uint8_t)fuzz_number(in, 1);
	/* Space that is kept beyond a file's end is not limited. */
	if (p.head.opcode == FUSE_FALLOCATE)
		memset(p.args + 18, 0, sizeof(p.args) - 18);
	len += sizeof(p.head);
	p.head.len = (uint32_t)(cut & 0x80 ? fuzz_number(in, 2) : len);
	request(&p, len, (cut & 0x7f) % (len + 1), reply_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };

	if (!server)
		set_up();
	init();
	for (int n = 0; in.left && n < REQUESTS_MAX; n++)
		one(&in);
	return 0;
}
