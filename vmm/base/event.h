/* SPDX-License-Identifier: BSD-2-Clause */
/* eventfd(2), non-blocking, as a wake-up that is never lost. */
#ifndef VMM_BASE_EVENT_H
#define VMM_BASE_EVENT_H

#include <stdint.h>
#include <unistd.h>

/* Signals @fd.  A full counter (EAGAIN) is a signal that is pending already. */
static inline void event_signal(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

/*
 * Clears @fd, an eventfd or a timerfd.  EAGAIN: nothing was pending, as when two
 * signals shared one event.
 */
static inline void event_clear(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

#endif
