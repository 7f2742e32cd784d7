/* SPDX-License-Identifier: BSD-2-Clause */
/* futex(2) on a word of this process.  Any thread. */
#ifndef VMM_BASE_FUTEX_H
#define VMM_BASE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Sleeps while *@word is @value, until futex_wake_all().  0, also for a wake-up
 * without a reason and when *@word is another value already: check the
 * condition again.  -EINTR when a signal came.
 */
int futex_wait(_Atomic uint32_t *word, uint32_t value);

/* Wakes all threads that sleep on @word; change *@word first. */
void futex_wake_all(_Atomic uint32_t *word);

#endif
