/* SPDX-License-Identifier: BSD-2-Clause */
/* A spin lock: exchange with acquire, store with release. */
#ifndef GUEST_SPIN_H
#define GUEST_SPIN_H

#include <stdatomic.h>

#include "guest/lib/cpu.h"

struct spin {
	atomic_uint held;
};

static inline void spin_lock(struct spin *spin)
{
	while (atomic_exchange_explicit(&spin->held, 1, memory_order_acquire))
		cpu_relax();
}

static inline void spin_unlock(struct spin *spin)
{
	atomic_store_explicit(&spin->held, 0, memory_order_release);
}

#endif
