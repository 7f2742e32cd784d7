/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface between kvmtouch.c, which provides untouched pages, and the files
 * of the architectures, which make KVM access them.
 */
#ifndef GUEST_KVMTOUCH_H
#define GUEST_KVMTOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/lib/machine.h"

/* Pages with the contents of the page source: zeros, or signatures. */
struct fresh_pages {
	const struct machine *machine;
	struct range range;
	uint64_t next, stride; /* in pages from the start of the range */
	bool is_signed;
};

/* A page that the guest has not touched. */
struct fresh {
	uint8_t *bytes;
	uint64_t page;
	bool is_signed;
};

/*
 * Takes the next page at a multiple of @align_bytes; false, with a line, if
 * there is none.
 */
bool fresh_take(struct fresh_pages *pages, uint64_t align_bytes,
		struct fresh *fresh);

/* The source's byte at @offset; does not touch the page. */
uint8_t fresh_byte(const struct fresh *fresh, unsigned int offset);

/* Whether the page outside [first, end) has the source's contents. */
bool fresh_rest(const struct fresh *fresh, unsigned int first,
		unsigned int end);

/* A KVM access to guest memory; prints PASS, FAIL or SKIP. */
struct kvm_touch {
	const char *name;
	void (*run)(struct fresh_pages *pages, const char *name);
};

/* The architecture's table of accesses, in order. */
const struct kvm_touch *kvm_touches(size_t *count);

#endif
