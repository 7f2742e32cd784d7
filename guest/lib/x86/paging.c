/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mapping above 4 GiB. Entries only become present, so no TLB flush is needed.
 * CPL 3 can write the tables: they are in user pages.
 */
#include "guest/lib/x86/x86.h"

#define ENTRY_TABLE 0x07 /* present, writable, user */
#define ENTRY_LARGE 0xe7 /* and accessed, dirty, large */
#define LARGE_GIB   (UINT64_C(1) << 30)

/* Page directories for 16 GiB, if the processor lacks 1 GiB pages. */
#define DIRECTORIES 16

extern uint64_t page_directory_pointers[512];

/* Returns a page directory that maps the GiB at @start. */
static uint64_t directory(uint64_t start)
{
	static uint64_t tables[DIRECTORIES][512] __attribute__((aligned(4096)));
	static unsigned int used;

	if (used == DIRECTORIES)
		return 0;
	for (unsigned int i = 0; i < 512; i++)
		tables[used][i] = (start + ((uint64_t)i << 21)) | ENTRY_LARGE;
	return (uintptr_t)tables[used++] | ENTRY_TABLE;
}

void paging_extend(uint64_t end)
{
	bool huge = cpuid(0x80000000, 0).eax >= 0x80000001 &&
		    cpuid(0x80000001, 0).edx & 1u << 26;

	for (uint64_t gib = 4; gib < 512 && gib * LARGE_GIB < end; gib++)
		page_directory_pointers[gib] =
			huge ? gib * LARGE_GIB | ENTRY_LARGE :
			       directory(gib * LARGE_GIB);
}
