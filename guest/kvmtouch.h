/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between kvmtouch.c, which hands out untouched pages, and the
 * files of the architectures, which have KVM touch them.
 */
#ifndef GUEST_KVMTOUCH_H
#define GUEST_KVMTOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/lib/machine.h"

/* Pages as the memory source has them: zeros, or signatures. */
struct fresh_pages {
	const struct machine *machine;
	struct range range;
	uint64_t next, stride; /* in pages from the start of the range */
	bool is_signed;
};

/* One page that the guest has not touched. */
struct fresh {
	uint8_t *bytes;
	uint64_t page;
	bool is_signed;
};

/*
 * The next page, at a multiple of @align_bytes; false, with a line, when there
 * are no more.
 */
bool fresh_take(struct fresh_pages *pages, uint64_t align_bytes,
		struct fresh *fresh);

/* The byte that the source has at @offset; does not touch the page. */
uint8_t fresh_byte(const struct fresh *fresh, unsigned int offset);

/* Whether the page but for [first, end) still holds what the source has. */
bool fresh_rest(const struct fresh *fresh, unsigned int first,
		unsigned int end);

/* A way to have KVM touch guest memory; says PASS, FAIL or SKIP itself. */
struct kvm_touch {
	const char *name;
	void (*run)(struct fresh_pages *pages, const char *name);
};

/* The architecture's table of accesses, in the order in which they run. */
const struct kvm_touch *kvm_touches(size_t *count);

#endif
