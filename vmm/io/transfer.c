// SPDX-License-Identifier: BSD-2-Clause
/* See the header. */
#include "vmm/io/transfer.h"

#include <errno.h>

int transfer_all(int fd, const struct iovec *iov, int count, uint64_t offset,
		 bool write, const atomic_bool *ending)
{
	struct iovec part;
	size_t skip = 0; /* bytes of iov[0] that are done */

	while (count > 0) {
		ssize_t n;

		/* Finish a partly transferred vector separately. */
		part = (struct iovec){
			.iov_base = (char *)iov->iov_base + skip,
			.iov_len = iov->iov_len - skip,
		};
		if (write)
			n = pwritev(fd, skip ? &part : iov, skip ? 1 : count,
				    (off_t)offset);
		else
			n = preadv(fd, skip ? &part : iov, skip ? 1 : count,
				   (off_t)offset);
		/* Relaxed: signals are repeated. */
		if (n < 0 && errno == EINTR &&
		    !atomic_load_explicit(ending, memory_order_relaxed))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 && part.iov_len)
			return TRANSFER_SHORT;
		offset += (uint64_t)n;
		skip += (size_t)n;
		while (count > 0 && skip >= iov->iov_len) {
			skip -= iov->iov_len;
			iov++;
			count--;
		}
	}
	return 0;
}
