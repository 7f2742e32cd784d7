/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM: its mapping, its memslots, and the accessor.
 *
 * One thread sets it up.  Afterwards the regions do not change (their slot's
 * flags and bitmap do, by the pager), so the accessor needs no lock.
 */
#include "vmm/mem/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/kvm/kvm.h"

const char *const memory_backing_names[] = {
	[MEMORY_ANON] = "anon",
	[MEMORY_GUEST_MEMFD] = "guest_memfd",
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

/* Maps @region as private anonymous memory (@fd -1), or from a file. */
static int map_private(struct memory_region *region, int fd, uint64_t offset)
{
	int flags = MAP_PRIVATE | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
	void *hva = mmap(NULL, region->size_bytes, PROT_READ | PROT_WRITE,
			 flags, fd, (off_t)offset);

	if (hva == MAP_FAILED)
		return log_errno(errno, "map %llu MiB of guest memory",
				 (unsigned long long)(region->size_bytes /
						      MIB));
	region->hva = hva;
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
	else if (config->backing == MEMORY_FILE)
		r = map_private(region, config->file_fd,
				config->file_offset + region->offset_bytes);
	else
		r = map_private(region, -1, 0);
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

int memory_init(struct memory *memory, const struct memory_config *config,
		const struct kvm_vm *kvm)
{
	*memory = (struct memory){ .backing = config->backing,
				   .granule_pages = config->granule_pages };
	if (!memory->granule_pages)
		memory->granule_pages = memory_host_pages();
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
	*memory = (struct memory){ 0 };
}

int memory_update_slot(struct memory *memory, struct memory_region *region)
{
	struct kvm_slot slot = {
		.id = region->slot,
		.flags = region->flags,
		.gpa = region->gpa,
		.size_bytes = region->size_bytes,
		.hva = region->slot_hva ? region->slot_hva : region->hva,
		.guest_memfd = region->guest_memfd,
		.userfault_bitmap = region->userfault_bitmap,
	};

	return kvm_slot_set(memory->kvm, &slot);
}

int memory_attach(struct memory *memory, const struct kvm_vm *kvm)
{
	memory->kvm = kvm;
	for (unsigned int i = 0; i < memory->region_count; i++) {
		int r = memory_update_slot(memory, &memory->regions[i]);

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
	return 0;
}

int memory_load_fd(const struct memory *memory, gpa_t gpa, uint64_t len_bytes,
		   int fd, uint64_t offset)
{
	uint64_t done = 0;
	void *to;
	int r = memory_map(memory, gpa, len_bytes, &to);

	if (r < 0)
		return r;
	while (done < len_bytes) {
		ssize_t n = pread(fd, (uint8_t *)to + done, len_bytes - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		done += (uint64_t)n;
	}
	return 0;
}
