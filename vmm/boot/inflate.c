/* SPDX-License-Identifier: BSD-2-Clause */
/* Common to the decompressors: bounded input, bounded output. */
#include <errno.h>
#include <unistd.h>

#include "vmm/boot/inflate.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

int inflate_next(struct inflate_job *job, uint8_t *buf)
{
	size_t want = min_u64(INFLATE_STEP_BYTES, job->len_bytes);
	ssize_t got = 0;

	while (want != 0) {
		got = pread(job->in_fd, buf, want, (off_t)job->offset);
		if (got >= 0 || errno != EINTR)
			break;
	}
	if (got < 0)
		return log_errno(errno, "read %s", job->name);
	if (got == 0)
		return log_fail(ENODATA, "%s: truncated compressed data",
				job->name);
	job->offset += (uint64_t)got;
	job->len_bytes -= (uint64_t)got;
	return (int)got;
}

int inflate_put(struct inflate_job *job, const uint8_t *buf, size_t len)
{
	if (!range_within(job->out_bytes, len, job->limit_bytes))
		return log_fail(EFBIG,
				"%s: more than %llu MiB uncompressed, %s",
				job->name,
				(unsigned long long)(job->limit_bytes / MIB),
				job->limit);
	while (len != 0) {
		ssize_t put = write(job->out_fd, buf, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return log_errno(errno, "unpack %s", job->name);
		buf += put;
		len -= (size_t)put;
		job->out_bytes += (uint64_t)put;
	}
	return 0;
}
