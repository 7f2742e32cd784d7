/* SPDX-License-Identifier: BSD-2-Clause */
/* Catches what is written to a descriptor, in a temporary file. */
#ifndef TESTS_UNIT_BASE_CAPTURE_H
#define TESTS_UNIT_BASE_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct capture {
	int fd; /* which is caught */
	int saved, file;
	char text[8192];
};

static inline void capture_start(struct capture *capture, int fd)
{
	fflush(stdout);
	capture->fd = fd;
	capture->saved = dup(fd);
	capture->file = memfd_create("capture", MFD_CLOEXEC);
	assert_true(capture->saved >= 0 && capture->file >= 0);
	assert_int_equal(dup2(capture->file, fd), fd);
}

/* What was written since, as a string. */
static inline const char *capture_end(struct capture *capture)
{
	ssize_t n;

	fflush(stdout);
	dup2(capture->saved, capture->fd);
	close(capture->saved);
	n = pread(capture->file, capture->text, sizeof(capture->text) - 1, 0);
	close(capture->file);
	capture->text[n < 0 ? 0 : n] = '\0';
	return capture->text;
}

#endif
