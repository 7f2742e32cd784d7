/* SPDX-License-Identifier: BSD-2-Clause */
/* futex(2) on a word of this process.  Any thread. */
#ifndef VMM_BASE_FUTEX_H
#define VMM_BASE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Sleeps while *@word is @value, until futex_wake_all(). 0, also for a spurious
 * wake-up and if *@word has another value already: check the condition again.
 * -EINTR after a signal.
 */
int futex_wait(_Atomic uint32_t *word, uint32_t value);

/* Wakes all threads that sleep on @word. Change *@word first. */
void futex_wake_all(_Atomic uint32_t *word);

#endif
