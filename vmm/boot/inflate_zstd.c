/* SPDX-License-Identifier: BSD-2-Clause */
/* zstd (RFC 8878) by libzstd. */
#include <errno.h>
#include <zstd.h>

#include "vmm/boot/inflate.h"
#include "vmm/base/log.h"

/* Linux limits windows to 2^27 (linux/zstd.h). */
#define WINDOW_LOG_MAX 27

/* Decompresses one input buffer; *@left is 0 at the end of the frame. */
static int step(struct inflate_job *job, ZSTD_DStream *stream,
		ZSTD_inBuffer *in, size_t *left)
{
	uint8_t buf[INFLATE_STEP_BYTES];
	ZSTD_outBuffer out;
	int err;

	do {
		out = (ZSTD_outBuffer){ .dst = buf, .size = sizeof(buf) };
		*left = ZSTD_decompressStream(stream, &out, in);
		if (ZSTD_isError(*left))
			return log_fail(EINVAL, "%s: corrupt zstd data: %s",
					job->name, ZSTD_getErrorName(*left));
		err = inflate_put(job, buf, out.pos);
	} while (err == 0 && *left != 0 &&
		 (in->pos < in->size || out.pos == out.size));
	return err;
}

int inflate_zstd(struct inflate_job *job)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	uint8_t buf[INFLATE_STEP_BYTES];
	size_t left = 1;
	int err = 0;

	if (stream == NULL)
		return log_fail(ENOMEM, "%s: out of memory for decompression",
				job->name);
	ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	while (err == 0 && left != 0) {
		int got = inflate_next(job, buf);
		ZSTD_inBuffer in = { .src = buf };

		if (got < 0) {
			err = got;
			break;
		}
		in.size = (size_t)got;
		err = step(job, stream, &in, &left);
	}
	ZSTD_freeDStream(stream);
	return err;
}
