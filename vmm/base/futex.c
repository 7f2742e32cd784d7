/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/base/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

int futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	long r = syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, value,
			 NULL, NULL, 0);

	return r < 0 && errno == EINTR ? -EINTR : 0;
}

void futex_wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL,
		NULL, 0);
}
