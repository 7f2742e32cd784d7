/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fuzz target is one function with the name that libFuzzer calls.  Without
 * libFuzzer, main.c calls it with the files named, or with inputs generated from
 * a seed.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An invariant for every input; aborts otherwise. */
#define FUZZ_CHECK(condition)                                              \
	do {                                                               \
		if (!(condition)) {                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#condition);                               \
			abort();                                           \
		}                                                          \
	} while (0)

/* Reads numbers from the front of an input; zeros after its end. */
struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

static inline uint64_t fuzz_number(struct fuzz_input *in, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < bytes && in->left; i++) {
		v |= (uint64_t)*in->data++ << (8 * i);
		in->left--;
	}
	return v;
}

#endif
