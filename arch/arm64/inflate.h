/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One compressed stream of a file into another file.  Which functions there are
 * depends on the libraries that the build found: THAW_ZLIB, THAW_ZSTD.
 */
#ifndef ARCH_ARM64_INFLATE_H
#define ARCH_ARM64_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#define INFLATE_STEP_BYTES 32768

struct inflate_job {
	const char *name; /* for messages */
	int in_fd;
	uint64_t offset, len_bytes; /* of the stream in the file */
	int out_fd;
	uint64_t limit_bytes; /* of the output */
	uint64_t out_bytes; /* so far */
};

/*
 * Unpacks up to the end of the stream; what follows it is not looked at.
 * -EINVAL for damage, -ENODATA for truncation, -EFBIG for too much output, or
 * what reading and writing gave; one line each.
 */
typedef int inflate_function(struct inflate_job *job);

inflate_function inflate_gzip;
inflate_function inflate_zstd;

#ifdef THAW_ZLIB
#define INFLATE_GZIP inflate_gzip
#else
#define INFLATE_GZIP NULL
#endif
#ifdef THAW_ZSTD
#define INFLATE_ZSTD inflate_zstd
#else
#define INFLATE_ZSTD NULL
#endif

/*
 * For the functions above: the next step of the input, at most
 * INFLATE_STEP_BYTES; how much, or -errno (-ENODATA at its end), logged.
 */
int inflate_next(struct inflate_job *job, uint8_t *buf);

/* Writes a step of the output; -errno, logged. */
int inflate_put(struct inflate_job *job, const uint8_t *buf, size_t len);

#endif
