/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM: its mapping, its memslots, and the accessor.
 *
 * One thread sets it up.  Afterwards the regions do not change (their slot's
 * flags and bitmap do, by the pager), so the accessor needs no lock.
 */
#include "vmm/mem/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/base/zeros.h"
#include "vmm/kvm/kvm.h"
#include "vmm/mem/anon.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since Linux 5.14 */
#endif

const char *const memory_backing_names[] = {
	[MEMORY_ANON] = "anon",
	[MEMORY_GUEST_MEMFD] = "guest_memfd",
	NULL,
};

const char *const memory_huge_names[] = {
	[MEMORY_HUGE_AUTO] = "auto",
	[MEMORY_HUGE_ALWAYS] = "always",
	[MEMORY_HUGE_NEVER] = "never",
	[MEMORY_HUGE_HUGETLB] = "hugetlb",
	NULL,
};

/* Maps @region from a new guest_memfd. */
static int map_guest_memfd(struct memory_region *region,
			   const struct kvm_vm *kvm)
{
	void *hva;
	int fd = kvm_guest_memfd_create(kvm, region->size_bytes);

	if (fd < 0)
		return log_fail(-fd,
				"guest_memfd of %llu MiB: %s: needs mappable "
				"guest_memfd (Linux 6.18 or later); use "
				"--memory=anon",
				(unsigned long long)(region->size_bytes / MIB),
				strerror(-fd));
	region->guest_memfd = fd;
	region->flags = KVM_MEM_GUEST_MEMFD;
	hva = mmap(NULL, region->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	if (hva == MAP_FAILED)
		return log_errno(errno, "map guest_memfd");
	region->hva = hva;
	return 0;
}

/* Maps what files hold of @region over its anonymous memory. */
static int map_parts(const struct memory_region *region,
		     const struct memory_config *config)
{
	const struct memory_part *part, *last;
	uint64_t begin = region->offset_bytes / PAGE_BYTES;
	uint64_t end = begin + region->size_bytes / PAGE_BYTES;

	part = config->parts + run_search(config->parts, config->part_count,
					  sizeof(*part), begin);
	last = config->parts + config->part_count;
	for (; part < last && part->first < end; part++) {
		uint64_t from = max_u64(part->first, begin);
		uint64_t to = min_u64(part->first + part->count, end);

		if (mmap(region->hva + (from - begin) * PAGE_BYTES,
			 (to - from) * PAGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, part->fd,
			 (off_t)(from * PAGE_BYTES)) == MAP_FAILED)
			return log_errno(errno, "map guest memory from a file");
	}
	return 0;
}

/* Maps one region of any backing. -errno, logged. */
static int map_region(struct memory_region *region,
		      const struct memory_config *config,
		      const struct kvm_vm *kvm)
{
	int r;

	if (config->backing == MEMORY_GUEST_MEMFD)
		r = map_guest_memfd(region, kvm);
	else
		r = anon_map(region, &config->huge);
	if (r == 0 && config->backing == MEMORY_FILE)
		r = map_parts(region, config);
	if (r < 0)
		return r;
	/* Keep guest memory out of core dumps; old kernels may refuse. */
	madvise(region->hva, region->size_bytes, MADV_DONTDUMP);
	return 0;
}

uint32_t memory_host_pages(void)
{
	long bytes = sysconf(_SC_PAGESIZE);

	return bytes > (long)PAGE_BYTES ? (uint32_t)bytes / PAGE_BYTES : 1;
}

/* -EINVAL, logged, if the range is not a multiple of granules. */
static int check_range(const struct memory *memory,
		       const struct memory_range *range)
{
	uint64_t granule = memory_granule_bytes(memory);

	if ((range->gpa | range->size_bytes) % granule == 0)
		return 0;
	return log_fail(EINVAL,
			"%llu bytes of guest memory at 0x%llx: not a multiple "
			"of the host page size, %llu KiB",
			(unsigned long long)range->size_bytes,
			(unsigned long long)range->gpa,
			(unsigned long long)(granule / KIB));
}

/* Notes what is mapped from files, whichever they are. */
static int note_file_runs(struct memory *memory,
			  const struct memory_config *config)
{
	memory->file_runs =
		calloc(config->part_count + 1, sizeof(memory->file_runs[0]));
	if (!memory->file_runs)
		return log_errno(ENOMEM, "guest memory from a file");
	for (size_t i = 0; i < config->part_count; i++)
		memory->file_runs[i] =
			(struct page_run){ config->parts[i].first,
					   config->parts[i].count };
	memory->file_run_count = run_join(memory->file_runs, config->part_count,
					  1, 0, SIZE_MAX, memory->file_runs);
	return 0;
}

int memory_init(struct memory *memory, const struct memory_config *config,
		const struct kvm_vm *kvm)
{
	*memory = (struct memory){ .backing = config->backing,
				   .huge = config->huge,
				   .granule_pages = config->granule_pages,
				   .slot_lock = PTHREAD_MUTEX_INITIALIZER };
	if (!memory->granule_pages)
		memory->granule_pages = memory_host_pages();
	if (config->backing == MEMORY_FILE) {
		int r = note_file_runs(memory, config);

		if (r < 0)
			return r;
	}
	for (unsigned int i = 0; i < config->range_count; i++) {
		struct memory_region *region = &memory->regions[i];
		int r = check_range(memory, &config->ranges[i]);

		if (r < 0) {
			memory_finish(memory);
			return r;
		}
		*region = (struct memory_region){
			.gpa = config->ranges[i].gpa,
			.size_bytes = config->ranges[i].size_bytes,
			.offset_bytes = memory->size_bytes,
			.guest_memfd = -1,
			.slot = i,
		};
		memory->region_count = i + 1;
		r = map_region(region, config, kvm);
		if (r < 0) {
			memory_finish(memory);
			return r;
		}
		memory->size_bytes += region->size_bytes;
	}
	return 0;
}

void memory_finish(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		struct memory_region *region = &memory->regions[i];

		if (region->hva)
			munmap(region->hva, region->size_bytes);
		if (region->guest_memfd >= 0)
			close(region->guest_memfd);
	}
	zeros_unmap((void *)atomic_load(&memory->notes),
		    memory_note_bytes(memory));
	free(memory->file_runs);
	*memory = (struct memory){ 0 };
}

/* Creates the slot of a region, or gives it other flags. */
static int set_slot(const struct memory *memory,
		    const struct memory_region *region, uint32_t flags)
{
	struct kvm_slot slot = {
		.id = region->slot,
		.flags = flags,
		.gpa = region->gpa,
		.size_bytes = region->size_bytes,
		.hva = region->slot_hva ? region->slot_hva : region->hva,
		.guest_memfd = region->guest_memfd,
		.userfault_bitmap = region->userfault_bitmap,
	};

	return kvm_slot_set(memory->kvm, &slot);
}

int memory_change_slot(struct memory *memory, struct memory_region *region,
		       uint32_t set, uint32_t clear)
{
	uint32_t flags;
	int r = 0;

	pthread_mutex_lock(&memory->slot_lock);
	flags = (region->flags & ~clear) | set;
	if (memory->kvm && flags != region->flags)
		r = set_slot(memory, region, flags);
	if (r == 0)
		region->flags = flags;
	pthread_mutex_unlock(&memory->slot_lock);
	return r;
}

int memory_attach(struct memory *memory, const struct kvm_vm *kvm)
{
	memory->kvm = kvm;
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->regions[i];
		int r = set_slot(memory, region, region->flags);

		if (r < 0)
			return r;
	}
	return 0;
}

struct memory_region *memory_find(const struct memory *memory, gpa_t gpa,
				  uint64_t len_bytes)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->regions[i];

		if (gpa >= region->gpa &&
		    range_within(gpa - region->gpa, len_bytes,
				 region->size_bytes))
			return (struct memory_region *)(uintptr_t)region;
	}
	return NULL;
}

struct memory_region *memory_region_of_page(const struct memory *memory,
					    uint64_t page)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->regions[i];

		if (page * PAGE_BYTES - region->offset_bytes <
		    region->size_bytes)
			return (struct memory_region *)(uintptr_t)region;
	}
	return NULL;
}

uint64_t memory_pages_left(const struct memory *memory, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(memory, page);

	return (region->offset_bytes + region->size_bytes) / PAGE_BYTES - page;
}

gpa_t memory_page_gpa(const struct memory *memory, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(memory, page);

	return region->gpa + (page * PAGE_BYTES - region->offset_bytes);
}

uint8_t *memory_page_hva(const struct memory *memory, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(memory, page);

	return region->hva + (page * PAGE_BYTES - region->offset_bytes);
}

int memory_load_mapped(const struct memory *memory, uint64_t page,
		       uint64_t count)
{
	uint8_t *hva = memory_page_hva(memory, page);

	while (madvise(hva, count * PAGE_BYTES, MADV_POPULATE_READ) < 0) {
		/* EFAULT stands for SIGBUS (madvise(2)). */
		if (errno != EAGAIN)
			return errno == EFAULT ? -EIO : -errno;
	}
	return 0;
}

int memory_map(const struct memory *memory, gpa_t gpa, uint64_t len_bytes,
	       void **hva)
{
	const struct memory_region *region =
		memory_find(memory, gpa, len_bytes);

	if (!region)
		return -EFAULT;
	if (memory->populator.populate && len_bytes) {
		int r = memory->populator.populate(memory->populator.ctx, gpa,
						   len_bytes);

		if (r < 0)
			return r;
	}
	*hva = region->hva + (gpa - region->gpa);
	return 0;
}

int memory_read(const struct memory *memory, gpa_t gpa, void *to,
		uint64_t len_bytes)
{
	void *from;
	int r = memory_map(memory, gpa, len_bytes, &from);

	if (r < 0)
		return r;
	memcpy(to, from, len_bytes);
	return 0;
}

int memory_write(const struct memory *memory, gpa_t gpa, const void *from,
		 uint64_t len_bytes)
{
	void *to;
	int r = memory_map(memory, gpa, len_bytes, &to);

	if (r < 0)
		return r;
	memcpy(to, from, len_bytes);
	memory_note(memory, to, len_bytes);
	return 0;
}

bool memory_page_at(const struct memory *memory, const void *hva, bool slot,
		    uint64_t *page)
{
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->regions[i];
		uint64_t offset =
			(uintptr_t)hva - (uintptr_t)(slot && region->slot_hva ?
							     region->slot_hva :
							     region->hva);

		if (offset < region->size_bytes) {
			*page = (region->offset_bytes + offset) / PAGE_BYTES;
			return true;
		}
	}
	return false;
}

void memory_note_tracked(const struct memory *memory, const void *hva,
			 uint64_t len_bytes)
{
	_Atomic uint64_t *notes =
		atomic_load_explicit(&memory->notes, memory_order_acquire);
	uint64_t page, last;

	if (!notes || !len_bytes || !memory_page_at(memory, hva, false, &page))
		return;
	last = page +
	       ((uintptr_t)hva % PAGE_BYTES + len_bytes - 1) / PAGE_BYTES;
	bits_set_atomic(notes, page, last + 1);
}

int memory_load_fd(const struct memory *memory, gpa_t gpa, uint64_t len_bytes,
		   int fd, uint64_t offset)
{
	void *to;
	int r = memory_map(memory, gpa, len_bytes, &to);

	if (r < 0)
		return r;
	r = pread_all(fd, to, len_bytes, offset);
	if (r == 0)
		memory_note(memory, to, len_bytes);
	return r;
}
