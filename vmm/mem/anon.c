/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM maps a large page where guest address, host address and the host's own page
 * agree: so the host address is chosen, and the kernel is advised about its own
 * pages. One thread; no state.
 */
#include "vmm/mem/anon.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/mem/host.h"
#include "vmm/mem/memory.h"

/* Regions at least this large are aligned for pages of 1 GiB. */
#define GIANT_BYTES (4 * GIB)
#define SMALL_ALIGN (2 * MIB)

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

/* From hugetlb pages, which are reserved now. */
static int map_hugetlb(struct memory_region *region, uint64_t page_bytes)
{
	uint64_t page = page_bytes ? page_bytes : mem_host_hugetlb_bytes();
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	char size[SIZE_TEXT_BYTES];
	void *hva;

	if (!page)
		return log_fail(ENOTSUP,
				"--hugepages=hugetlb: this kernel has none");
	size_format(page, size);
	if ((region->gpa | region->size_bytes) % page)
		return log_fail(EINVAL,
				"--hugepages=hugetlb: guest memory at 0x%llx "
				"is not a multiple of %s",
				(unsigned long long)region->gpa, size);
	flags |= __builtin_ctzll(page) << MAP_HUGE_SHIFT;
	hva = mmap(NULL, region->size_bytes, PROT_READ | PROT_WRITE, flags, -1,
		   0);
	if (hva == MAP_FAILED && errno == ENOMEM)
		return log_fail(ENOMEM,
				"--hugepages=hugetlb: not enough free pages of "
				"%s for %llu MiB of guest memory: see "
				"/sys/kernel/mm/hugepages/hugepages-%llukB",
				size,
				(unsigned long long)(region->size_bytes / MIB),
				(unsigned long long)(page / KIB));
	if (hva == MAP_FAILED)
		return log_errno(errno, "--hugepages=hugetlb: pages of %s",
				 size);
	region->hva = hva;
	return 0;
}

/*
 * Finds an address for @bytes that agrees with @gpa modulo @align, and keeps it by
 * a mapping without access, which counts as address space only.  NULL: no space.
 */
static uint8_t *find_aligned(gpa_t gpa, uint64_t bytes, uint64_t align)
{
	uint8_t *space =
		mmap(NULL, bytes + align, PROT_NONE,
		     MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS, -1, 0);
	uint64_t before;

	if (space == MAP_FAILED)
		return NULL;
	before = (gpa - (uintptr_t)space) & (align - 1);
	if (before)
		munmap(space, before);
	if (before < align)
		munmap(space + before + bytes, align - before);
	return space + before;
}

/* At an address that agrees modulo @align, or modulo less where space is scarce. */
static int map_aligned(struct memory_region *region, uint64_t align)
{
	int flags = MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS;
	uint64_t bytes = region->size_bytes;
	uint8_t *at = find_aligned(region->gpa, bytes, align);
	void *hva;

	if (!at && align > SMALL_ALIGN)
		at = find_aligned(region->gpa, bytes, SMALL_ALIGN);
	hva = mmap(at, bytes, PROT_READ | PROT_WRITE,
		   flags | (at ? MAP_FIXED : 0), -1, 0);
	if (hva == MAP_FAILED) {
		int err = errno;

		if (at)
			munmap(at, bytes);
		return log_errno(err, "map %llu MiB of guest memory",
				 (unsigned long long)(bytes / MIB));
	}
	region->hva = hva;
	return 0;
}

int anon_map(struct memory_region *region, const struct memory_huge *huge)
{
	int r;

	if (huge->kind == MEMORY_HUGE_HUGETLB)
		return map_hugetlb(region, huge->page_bytes);
	r = map_aligned(region,
			region->size_bytes >= GIANT_BYTES ? GIB : SMALL_ALIGN);
	if (r < 0)
		return r;
	/* Advice only: a kernel without large pages refuses it. */
	if (huge->kind == MEMORY_HUGE_ALWAYS)
		madvise(region->hva, region->size_bytes, MADV_HUGEPAGE);
	else if (huge->kind == MEMORY_HUGE_NEVER)
		madvise(region->hva, region->size_bytes, MADV_NOHUGEPAGE);
	return 0;
}
