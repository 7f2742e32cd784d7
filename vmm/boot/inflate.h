/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decompression of one stream from a file to another.  THAW_ZLIB, THAW_ZSTD
 * and THAW_LZMA select the functions in the build. One thread: set-up.
 */
#ifndef VMM_BOOT_INFLATE_H
#define VMM_BOOT_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#define INFLATE_STEP_BYTES 32768

struct inflate_job {
	const char *name; /* for messages */
	int in_fd;
	uint64_t offset, len_bytes; /* of the stream in the file */
	int out_fd;
	uint64_t limit_bytes; /* of the output */
	const char *limit; /* what the limit is, for messages */
	uint64_t out_bytes; /* so far */
};

/*
 * Decompresses to the end of the stream and ignores the rest. -EINVAL: corrupt;
 * -ENODATA: truncated; -EFBIG: too much output; or an I/O error.  One line
 * each.
 */
typedef int inflate_function(struct inflate_job *job);

inflate_function inflate_gzip;
inflate_function inflate_zstd;
inflate_function inflate_xz;

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
#ifdef THAW_LZMA
#define INFLATE_XZ inflate_xz
#else
#define INFLATE_XZ NULL
#endif

/*
 * For the functions above: reads the next input, up to INFLATE_STEP_BYTES.
 * Returns its length or -errno (-ENODATA at the end), logged.
 */
int inflate_next(struct inflate_job *job, uint8_t *buf);

/* Writes @len bytes of output, up to limit_bytes; -errno, logged. */
int inflate_put(struct inflate_job *job, const uint8_t *buf, size_t len);

#endif
