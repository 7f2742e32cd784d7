/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of images share: files made in memory, guest memory without
 * KVM, and the lines that were logged.
 */
#ifndef TESTS_UNIT_BOOT_HELPER_H
#define TESTS_UNIT_BOOT_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/boot/image.h"

/* A file in memory that holds @len bytes at @p; the caller closes it. */
static inline int file_of(const void *p, size_t len)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, len, 0), (ssize_t)len);
	return fd;
}

/* Guest memory of one region at 0, or two with @high bytes at 4 GiB. */
static inline void ram_init(struct memory *memory, uint64_t low, uint64_t high)
{
	const struct memory_range ranges[] = { { 0, low }, { 4 * GIB, high } };
	const struct memory_config config = {
		.backing = MEMORY_ANON,
		.ranges = ranges,
		.range_count = high ? 2 : 1,
	};

	assert_int_equal(memory_init(memory, &config, NULL), 0);
}

/* Standard error while it goes into a file. */
struct capture {
	int saved, fd;
	char text[8192];
};

/* From here on, standard error goes into @c. */
static inline void capture_begin(struct capture *c)
{
	c->saved = dup(STDERR_FILENO);
	c->fd = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(c->saved >= 0 && c->fd >= 0);
	dup2(c->fd, STDERR_FILENO);
}

/* Ends it; how many lines there were, which are in c->text. */
static inline int capture_end(struct capture *c)
{
	ssize_t n;
	int lines = 0;

	dup2(c->saved, STDERR_FILENO);
	n = pread(c->fd, c->text, sizeof(c->text) - 1, 0);
	c->text[n < 0 ? 0 : n] = '\0';
	close(c->saved);
	close(c->fd);
	for (const char *p = c->text; *p; p++)
		lines += *p == '\n';
	return lines;
}

/* Ends it: exactly one line, which holds @words. */
static inline void capture_one_line(struct capture *c, const char *words)
{
	int lines = capture_end(c);

	if (lines != 1 || !strstr(c->text, words))
		fail_msg("wanted one line with \"%s\", got %d: %s", words,
			 lines, c->text);
}

#endif
