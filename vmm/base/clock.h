/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CLOCK_MONOTONIC in nanoseconds, and condition variables with deadlines on it,
 * which are unaffected by changes of the wall clock; and the wall clock, for
 * times compared between hosts.
 */
#ifndef VMM_BASE_CLOCK_H
#define VMM_BASE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* Converts a timespec to nanoseconds, and the other way. */
static inline uint64_t clock_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_nsec;
}

static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
				  .tv_nsec = (long)(ns % NS_PER_S) };
}

static inline uint64_t clock_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return clock_ns(&t);
}

/* The time until @deadline_ns; 0 if it is over. */
static inline uint64_t clock_left_ns(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns();

	return now < deadline_ns ? deadline_ns - now : 0;
}

/* The same as clock_now_ns() in milliseconds, rounded down. */
static inline uint64_t clock_now_ms(void)
{
	return clock_now_ns() / NS_PER_MS;
}

/* The wall clock: nanoseconds since 1970. */
static inline uint64_t clock_wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return clock_ns(&t);
}

/*
 * Wall time since @wall_ns: 0 if the host's clock is behind it, or ahead by
 * more than a century, which is implausible.
 */
static inline uint64_t clock_wall_since_ns(uint64_t wall_ns)
{
	uint64_t now = clock_wall_ns();

	if (now <= wall_ns ||
	    now - wall_ns > UINT64_C(100) * 366 * 86400 * NS_PER_S)
		return 0;
	return now - wall_ns;
}

/* Initialises @cond for deadlines on CLOCK_MONOTONIC. */
static inline void clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

#endif
