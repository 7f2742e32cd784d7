/* SPDX-License-Identifier: BSD-2-Clause */
/* gzip (RFC 1952) by zlib. */
#include <errno.h>
#include <zlib.h>

#include "vmm/boot/inflate.h"
#include "vmm/base/log.h"

/* windowBits for a gzip header and the largest window (zlib.h). */
#define GZIP_WINDOW (16 + MAX_WBITS)

/* Writes all output available for the current input. */
static int drain(struct inflate_job *job, z_stream *z, int *state)
{
	uint8_t out[INFLATE_STEP_BYTES];
	int err = 0;

	do {
		z->next_out = out;
		z->avail_out = sizeof(out);
		*state = inflate(z, Z_NO_FLUSH);
		if (*state == Z_BUF_ERROR)
			*state = Z_OK; /* more input is needed */
		if (*state != Z_OK && *state != Z_STREAM_END)
			return log_fail(EINVAL, "%s: corrupt gzip data: %s",
					job->name,
					z->msg != NULL ? z->msg : "bad stream");
		err = inflate_put(job, out, sizeof(out) - z->avail_out);
	} while (err == 0 && *state == Z_OK && z->avail_out == 0);
	return err;
}

int inflate_gzip(struct inflate_job *job)
{
	uint8_t in[INFLATE_STEP_BYTES];
	z_stream z = { 0 };
	int state = Z_OK;
	int err = 0;

	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return log_fail(ENOMEM, "%s: out of memory for decompression",
				job->name);
	while (err == 0 && state != Z_STREAM_END) {
		int got = inflate_next(job, in);

		if (got < 0) {
			err = got;
			break;
		}
		z.next_in = in;
		z.avail_in = (uInt)got;
		err = drain(job, &z, &state);
	}
	inflateEnd(&z);
	return err;
}
