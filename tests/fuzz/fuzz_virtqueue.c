// SPDX-License-Identifier: BSD-2-Clause
/*
 * A split virtqueue whose three areas, and an indirect table, are the input.
 * Every chain popped lies in guest memory, readable before writable, within the
 * limits.
 *
 * Input: size and flags, two bytes; the index to start at, two bytes; the rest
 * is guest memory from address 0 on.
 */
#include <string.h>

#include "fuzz.h"
#include "vmm/base/bytes.h"
#include "vmm/virtio/queue.h"

#define RANGE_BYTES (64 * KIB)
#define HIGH	    (128 * KIB)

/* Whether @v lies within one of the two ranges. */
static bool in_memory(const struct memory *memory, const struct iovec *v)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *r = &memory->regions[i];
		uintptr_t at = (uintptr_t)v->iov_base - (uintptr_t)r->hva;

		if (range_within(at, v->iov_len, r->size_bytes))
			return true;
	}
	return false;
}

static void check_chain(const struct memory *memory,
			const struct virtq_chain *chain)
{
	unsigned int count = chain->readable.count + chain->writable.count;
	uint64_t bytes = 0;

	FUZZ_CHECK(count >= 1 && count <= VIRTQ_SIZE_MAX);
	FUZZ_CHECK(chain->readable.count == 0 ||
		   chain->readable.iov == chain->iov);
	FUZZ_CHECK(chain->writable.count == 0 ||
		   chain->writable.iov == chain->iov + chain->readable.count);
	for (unsigned int i = 0; i < count; i++) {
		FUZZ_CHECK(chain->iov[i].iov_len > 0);
		FUZZ_CHECK(in_memory(memory, &chain->iov[i]));
		bytes += chain->iov[i].iov_len;
	}
	FUZZ_CHECK(bytes == chain->readable.bytes + chain->writable.bytes);
	FUZZ_CHECK(bytes <= VIRTQ_CHAIN_BYTES_MAX);
}

/* Pops and pushes chains until there is none or an invalid one. */
static void drain(struct virtq *q, const struct memory *memory)
{
	struct virtq_chain chain;
	const char *why = NULL;
	int got = 0;

	for (unsigned int i = 0; i < 2u * VIRTQ_SIZE_MAX; i++) {
		got = virtq_pop(q, &chain, &why);
		if (got <= 0)
			break;
		check_chain(memory, &chain);
		if (i % 5 == 4) {
			virtq_unpop(q, 1);
			continue;
		}
		virtq_push(q, chain.head, (uint32_t)i);
		virtq_wants_interrupt(q);
		if (i % 3 == 0)
			virtq_kicks_off(q);
		else
			virtq_kicks_on(q);
	}
	FUZZ_CHECK(got >= 0 || why != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct memory_range ranges[] = {
		{ .gpa = 0, .size_bytes = RANGE_BYTES },
		{ .gpa = HIGH, .size_bytes = RANGE_BYTES },
	};
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = ranges,
					      .range_count = 2 };
	struct fuzz_input in = { data, size };
	struct memory memory;
	struct virtq q = { 0 };
	struct virtq_layout layout = { 0 };
	unsigned int flags = (unsigned int)fuzz_number(&in, 2);
	uint16_t start = (uint16_t)fuzz_number(&in, 2);

	if (memory_init(&memory, &config, NULL) < 0)
		return 0;
	if (in.left)
		memory_write(&memory, 0, in.data,
			     min_u64(in.left, RANGE_BYTES));
	layout.size = (uint16_t)(flags & 8 ? flags : 1u << (flags & 7));
	layout.avail = align_up(16 * (uint64_t)layout.size, 4);
	layout.used = align_up(layout.avail + 6 + 2 * (uint64_t)layout.size, 4);
	q.event_idx = flags & 16;
	q.indirect = flags & 32;
	if (virtq_setup(&q, &memory, &layout, start, start) == 0)
		drain(&q, &memory);
	memory_finish(&memory);
	return 0;
}
