/* SPDX-License-Identifier: BSD-2-Clause */
/* Which pages have contents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/mem/memory.h"
#include "vmm/mem/resident.h"

/* Only what was written may be other than zero, and looking changes nothing. */
static void tells_written_pages(void **state)
{
	const struct memory_range range = { 0, 64 * PAGE_BYTES };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .ranges = &range,
					      .range_count = 1 };
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

#define HOST_PAGES 16 /* a host of 64 KiB pages */
#define HOST_BYTES (HOST_PAGES * PAGE_BYTES)

/* Memory of 512 pages at an address that such a host could give it. */
static void make_memory(struct memory *memory, enum memory_backing backing)
{
	uint8_t *space =
		mmap(NULL, 512 * PAGE_BYTES + HOST_BYTES, PROT_READ,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t hva = align_up((uintptr_t)space, HOST_BYTES);

	assert_true(space != MAP_FAILED);
	*memory = (struct memory){ .backing = backing,
				   .granule_pages = HOST_PAGES,
				   .size_bytes = 512 * PAGE_BYTES,
				   .region_count = 1 };
	memory->regions[0] = (struct memory_region){
		.size_bytes = memory->size_bytes,
		.hva = (uint8_t *)hva,
		.guest_memfd = -1,
	};
}

/* What mincore() says of each page of the host; set, it stands for the kernel. */
static const uint8_t *fake_mincore;

/* mincore(2) of such a host, in place of libc's: one byte for 64 KiB. */
int mincore(void *start, size_t length, unsigned char *vec)
{
	assert_non_null(fake_mincore);
	assert_int_equal((uintptr_t)start % HOST_BYTES, 0);
	memcpy(vec, fake_mincore, (length + HOST_BYTES - 1) / HOST_BYTES);
	return 0;
}

/* Compares the answers for all pages with @host, of which 1 is contents. */
static void check_spread(const struct resident *resident, const uint8_t *host)
{
	uint8_t may[RESIDENT_PAGES_MAX];

	memset(may, 0xee, sizeof(may));
	resident_look(resident, 0, 512, may);
	for (unsigned int i = 0; i < 512; i++)
		assert_int_equal(may[i], host[i / HOST_PAGES] & 1);
	resident_look(resident, 3 * HOST_PAGES, HOST_PAGES, may);
	assert_int_equal(may[0], may[HOST_PAGES - 1]);
}

/* Each answer of a host with larger pages is about several of ours. */
static void host_pages_are_larger(void **state)
{
	uint8_t host[512 / HOST_PAGES] = { [0] = 1, [3] = 1, [31] = 0xff };
	uint64_t pagemap[512 / HOST_PAGES] = { [0] = UINT64_C(1) << 63,
					       [3] = UINT64_C(1) << 62,
					       [31] = UINT64_C(1) << 63 };
	struct memory memory;
	struct resident resident;

	(void)state;
	make_memory(&memory, MEMORY_GUEST_MEMFD);
	resident_open(&resident, &memory);
	resident.host_pages = HOST_PAGES;
	fake_mincore = host;
	check_spread(&resident, host);
	fake_mincore = NULL;
	resident_close(&resident);

	/* A pagemap of that host: a file with an entry for 64 KiB. */
	make_memory(&memory, MEMORY_ANON);
	resident_open(&resident, &memory);
	resident_close(&resident);
	resident.host_pages = HOST_PAGES;
	resident.fd = memfd_create("pagemap", MFD_CLOEXEC);
	assert_int_equal(pwrite(resident.fd, pagemap, sizeof(pagemap),
				(off_t)((uintptr_t)memory.regions[0].hva /
					HOST_BYTES * sizeof(pagemap[0]))),
			 sizeof(pagemap));
	check_spread(&resident, host);
	resident_close(&resident);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_written_pages),
		cmocka_unit_test(host_pages_are_larger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
