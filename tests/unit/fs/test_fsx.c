/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on one file through the server, and on a copy in memory, as
 * fsx does.  Each read is compared, and the host's file every 5000 steps.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "tests/unit/fs/skip.h"
#include "vmm/base/bytes.h"

#define SIZE_MAX_BYTES 65536
#define STEPS	       100000

struct shadow {
	struct client c;
	uint64_t node, fh;
	unsigned int seed;
	size_t size;
	uint8_t data[SIZE_MAX_BYTES], buffer[SIZE_MAX_BYTES];
};

static size_t number(struct shadow *s, size_t below)
{
	return (unsigned int)rand_r(&s->seed) % below;
}

/* A range within the largest size; mostly short. */
static void range(struct shadow *s, size_t *offset, size_t *len)
{
	*offset = number(s, SIZE_MAX_BYTES);
	*len = 1 + number(s, number(s, 8) ? 512 : 20000);
	*len = min_u64(*len, SIZE_MAX_BYTES - *offset);
}

/* The file becomes at least @size long; what is new is zeros. */
static void extend(struct shadow *s, size_t size)
{
	if (size <= s->size)
		return;
	memset(s->data + s->size, 0, size - s->size);
	s->size = size;
}

static void do_read(struct shadow *s)
{
	size_t offset, len, expected;

	range(s, &offset, &len);
	expected = offset < s->size ? min_u64(len, s->size - offset) : 0;
	assert_int_equal(client_read(&s->c, s->node, s->fh, offset, s->buffer,
				     len),
			 expected);
	assert_memory_equal(s->buffer, s->data + offset, expected);
}

static void do_write(struct shadow *s)
{
	bool append = number(s, 10) == 0;
	size_t offset, len;

	range(s, &offset, &len);
	if (append) {
		offset = s->size;
		len = min_u64(len, SIZE_MAX_BYTES - offset);
	}
	for (size_t i = 0; i < len; i++)
		s->buffer[i] = (uint8_t)rand_r(&s->seed);
	assert_int_equal(client_write(&s->c, s->node, s->fh,
				      append ? 0 : offset, s->buffer, len,
				      append ? O_APPEND : 0, 0),
			 len);
	if (!len)
		return;
	extend(s, offset + len);
	memcpy(s->data + offset, s->buffer, len);
}

static void do_truncate(struct shadow *s)
{
	struct fuse_setattr_in in = { .valid = FATTR_SIZE };
	struct fuse_attr attr;

	in.size = number(s, SIZE_MAX_BYTES);
	if (number(s, 2)) {
		in.valid |= FATTR_FH;
		in.fh = s->fh;
	}
	assert_int_equal(client_setattr(&s->c, s->node, &in, &attr), 0);
	assert_int_equal(attr.size, in.size);
	extend(s, in.size);
	s->size = in.size;
}

static void do_fallocate(struct shadow *s)
{
	static const uint32_t modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
	};
	struct fuse_fallocate_in in = { .fh = s->fh };
	size_t offset, len;
	int r;

	range(s, &offset, &len);
	in.offset = offset;
	in.length = len;
	in.mode = modes[number(s, 4)];
	r = client_call(&s->c, FUSE_FALLOCATE, s->node, &in, sizeof(in), NULL,
			0);
	/* Not every file system has all of them. */
	if (r == -95)
		return;
	assert_int_equal(r, 0);
	if (!(in.mode & FALLOC_FL_KEEP_SIZE))
		extend(s, offset + len);
	if (in.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		memset(s->data + offset, 0, len);
}

static void do_copy(struct shadow *s)
{
	struct fuse_copy_file_range_in in = { .fh_in = s->fh, .fh_out = s->fh };
	size_t from, to, len;

	range(s, &from, &len);
	to = number(s, SIZE_MAX_BYTES);
	len = min_u64(len, SIZE_MAX_BYTES - to);
	if (from >= s->size)
		return;
	len = min_u64(len, s->size - from);
	/* Overlapping ranges are refused by the host. */
	if (!len || (from < to + len && to < from + len))
		return;
	in.nodeid_out = s->node;
	in.off_in = from;
	in.off_out = to;
	in.len = len;
	assert_int_equal(client_call(&s->c, FUSE_COPY_FILE_RANGE, s->node, &in,
				     sizeof(in), NULL, 0),
			 0);
	assert_int_equal(((struct fuse_write_out *)s->c.reply)->size, len);
	extend(s, to + len);
	memmove(s->data + to, s->data + from, len);
}

static void do_reopen(struct shadow *s)
{
	struct fuse_attr attr;

	assert_int_equal(client_release(&s->c, s->node, s->fh), 0);
	client_forget(&s->c, s->node, 1);
	s->node = client_walk(&s->c, "f");
	assert_int_equal(client_open(&s->c, s->node, O_RDWR, &s->fh), 0);
	assert_int_equal(client_getattr(&s->c, s->node, &attr), 0);
	assert_int_equal(attr.size, s->size);
}

static void test_random_operations(void **state)
{
	struct fs_config config = { .cache = FS_CACHE_AUTO };
	struct shadow *s = calloc(1, sizeof(*s));
	char *host = malloc(SIZE_MAX_BYTES + 1);

	(void)state;
	assert_non_null(s);
	assert_non_null(host);
	s->seed = 0x66737800;
	client_start(&s->c, &config);
	assert_int_equal(client_create_file(&s->c, 1, "f", O_RDWR, 0644,
					    &s->node, &s->fh),
			 0);
	for (int i = 0; i < STEPS; i++) {
		switch (number(s, 16)) {
		case 0:
			do_truncate(s);
			break;
		case 1:
			/* It waits for the disk. */
			if (number(s, 10) == 0)
				do_fallocate(s);
			break;
		case 2:
			do_copy(s);
			break;
		case 3:
			do_reopen(s);
			break;
		case 4 ... 9:
			do_write(s);
			break;
		default:
			do_read(s);
		}
		if (i % 5000)
			continue;
		assert_int_equal(host_read(client_path(&s->c, "f"), host,
					   SIZE_MAX_BYTES + 1),
				 s->size);
		assert_memory_equal(host, s->data, s->size);
	}
	client_finish(&s->c);
	free(host);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_operations),
	};

	if (has_no_openat2())
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
