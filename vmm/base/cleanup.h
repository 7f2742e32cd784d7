/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scope cleanups: a variable so marked releases what it holds when it goes out
 * of scope, and keeps errno.  Take the value out with take_fd() or take_ptr()
 * where ownership passes on.
 */
#ifndef VMM_BASE_CLEANUP_H
#define VMM_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes *fd unless it is negative; errno is kept. */
static inline void cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

/* Frees what the pointer variable at @p points to; errno is kept. */
static inline void cleanup_free(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close)))
#define CLEANUP_FREE  __attribute__((cleanup(cleanup_free)))

/* Gives *fd to the caller and leaves -1 behind. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Gives the pointer to the caller and leaves NULL behind. */
#define take_ptr(p)                         \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

#endif
