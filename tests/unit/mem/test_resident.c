/* SPDX-License-Identifier: BSD-2-Clause */
/* Which pages have contents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "vmm/mem/memory.h"
#include "vmm/mem/resident.h"

/* Only what was written may be other than zero, and looking changes nothing. */
static void tells_written_pages(void **state)
{
	const struct memory_range range = { 0, 64 * PAGE_BYTES };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = &range,
					      .range_count = 1,
					      .file_fd = -1 };
	struct memory memory;
	struct resident resident;
	uint8_t may[64];

	(void)state;
	assert_int_equal(memory_init(&memory, &config, NULL), 0);
	/* A large page would be written as a whole. */
	madvise(memory.regions[0].hva, range.size_bytes, MADV_NOHUGEPAGE);
	memory_write(&memory, 3 * PAGE_BYTES + 7, "x", 1);
	memory_write(&memory, 40 * PAGE_BYTES, "x", 1);
	resident_open(&resident, &memory);
	for (int round = 0; round < 2; round++) {
		resident_look(&resident, 0, 64, may);
		assert_int_equal(may[3], 1);
		assert_int_equal(may[40], 1);
		if (resident.fd < 0)
			continue; /* without pagemap all pages may */
		for (unsigned int i = 0; i < 64; i++)
			assert_int_equal(may[i], i == 3 || i == 40);
	}
	resident_close(&resident);
	memory_finish(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_written_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
