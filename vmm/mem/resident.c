/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds pages with contents, in units of host pages, which may contain several
 * of PAGE_BYTES. If the kernel does not report it, all pages count.
 *
 * Anonymous memory: the page is present or swapped out, by pagemap.
 * guest_memfd: the page is in the file, by mincore(2). Memory from a file: as
 * anonymous memory, and all pages that are mapped from the file.
 */
#include "vmm/mem/resident.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/mem/memory.h"

/* Bits of a pagemap entry: present, and swapped out. */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)

void resident_open(struct resident *resident, const struct memory *memory)
{
	*resident = (struct resident){ .memory = memory,
				       .host_pages = memory_host_pages(),
				       .fd = -1 };
	if (memory->backing != MEMORY_GUEST_MEMFD)
		resident->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void resident_close(struct resident *resident)
{
	if (resident->fd >= 0)
		close(resident->fd);
	resident->fd = -1;
}

/* By pagemap, for @count host pages; false on error. */
static bool look_pagemap(const struct resident *resident, uint8_t *hva,
			 uint64_t count, uint8_t *may)
{
	uint64_t entries[RESIDENT_PAGES_MAX];
	ssize_t want = (ssize_t)(count * sizeof(entries[0]));
	uint64_t first = (uintptr_t)hva / (resident->host_pages * PAGE_BYTES);

	if (resident->fd < 0 ||
	    pread(resident->fd, entries, (size_t)want,
		  (off_t)(first * sizeof(entries[0]))) != want)
		return false;
	for (uint64_t i = 0; i < count; i++)
		may[i] =
			(entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) != 0;
	return true;
}

/* By mincore(2), for @count host pages; false on error. */
static bool look_mincore(const struct resident *resident, uint8_t *hva,
			 uint64_t count, uint8_t *may)
{
	if (mincore(hva, count * resident->host_pages * PAGE_BYTES, may) < 0)
		return false;
	for (uint64_t i = 0; i < count; i++)
		may[i] &= 1;
	return true;
}

/* Expands entries of host pages to @count pages, from the end. */
static void spread(const struct resident *resident, uint64_t count,
		   uint8_t *may)
{
	while (count--)
		may[count] = may[count / resident->host_pages];
}

/* Adds what is mapped from a file. */
static void add_file(const struct memory *memory, uint64_t page, uint64_t count,
		     uint8_t *may)
{
	uint64_t at = page;
	struct page_run part;

	while (run_next(memory->file_runs, memory->file_run_count, at,
			page + count, &part)) {
		memset(may + (part.first - page), 1, part.count);
		at = part.first + part.count;
	}
}

/* Looks by @look at what the host has of the pages; false on error. */
static bool look_with(bool (*look)(const struct resident *resident,
				   uint8_t *hva, uint64_t count, uint8_t *may),
		      const struct resident *resident, uint64_t page,
		      uint64_t count, uint8_t *may)
{
	uint8_t *hva = memory_page_hva(resident->memory, page);
	uint64_t entries =
		(count + resident->host_pages - 1) / resident->host_pages;

	if (!look(resident, hva, entries, may))
		return false;
	spread(resident, count, may);
	return true;
}

void resident_look(const struct resident *resident, uint64_t page,
		   uint64_t count, uint8_t *may)
{
	bool by_file = resident->memory->backing == MEMORY_GUEST_MEMFD;

	if (!look_with(by_file ? look_mincore : look_pagemap, resident, page,
		       count, may))
		memset(may, 1, count);
	add_file(resident->memory, page, count, may);
}

bool resident_accessed(const struct resident *resident, uint64_t page,
		       uint64_t count, uint8_t *accessed)
{
	return look_with(look_pagemap, resident, page, count, accessed);
}
