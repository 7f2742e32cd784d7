/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of the guest. */
#ifndef GUEST_INIT_END_H
#define GUEST_INIT_END_H

struct failure;
struct link;
struct setup;

/*
 * Ends all other processes, writes the writable shares' data and unmounts them,
 * and powers the guest off. @s: NULL if nothing was mounted.
 */
void end_guest(const struct setup *s) __attribute__((noreturn));

/*
 * Reports @f to the kernel's log, and to the host if @link is not NULL, for which
 * it waits up to two seconds; then as end_guest().
 */
void end_failed(struct link *link, const struct setup *s,
		const struct failure *f) __attribute__((noreturn));

#endif
