/* SPDX-License-Identifier: BSD-2-Clause */
/* xz (the .xz file format, 1.2) by liblzma. */
#include <errno.h>
#include <lzma.h>
#include <stdbool.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/boot/inflate.h"

/* Of the decoder; the kernel's dictionaries have at most 32 MiB. */
#define MEMORY_MAX (256 * MIB)

static int refuse(const struct inflate_job *job, lzma_ret state)
{
	if (state == LZMA_MEM_ERROR || state == LZMA_MEMLIMIT_ERROR)
		return log_fail(ENOMEM, "%s: out of memory for decompression",
				job->name);
	return log_fail(EINVAL, "%s: corrupt xz data", job->name);
}

/* Writes all output available for the current input. */
static int drain(struct inflate_job *job, lzma_stream *xz, bool *ended)
{
	uint8_t out[INFLATE_STEP_BYTES];
	int err = 0;

	do {
		lzma_ret state;

		xz->next_out = out;
		xz->avail_out = sizeof(out);
		state = lzma_code(xz, LZMA_RUN);
		*ended = state == LZMA_STREAM_END;
		/* LZMA_BUF_ERROR: more input is needed. */
		if (!*ended && state != LZMA_OK && state != LZMA_BUF_ERROR)
			return refuse(job, state);
		err = inflate_put(job, out, sizeof(out) - xz->avail_out);
	} while (err == 0 && !*ended && xz->avail_out == 0);
	return err;
}

int inflate_xz(struct inflate_job *job)
{
	uint8_t in[INFLATE_STEP_BYTES];
	lzma_stream xz = LZMA_STREAM_INIT;
	bool ended = false;
	int err = 0;

	if (lzma_stream_decoder(&xz, MEMORY_MAX, 0) != LZMA_OK)
		return refuse(job, LZMA_MEM_ERROR);
	while (err == 0 && !ended) {
		int got = inflate_next(job, in);

		if (got < 0) {
			err = got;
			break;
		}
		xz.next_in = in;
		xz.avail_in = (size_t)got;
		err = drain(job, &xz, &ended);
	}
	lzma_end(&xz);
	return err;
}
