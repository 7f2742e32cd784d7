/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: its address ranges, its backing, and the accessor.
 *
 * A gpa_t is a guest physical address and never mixes with a pointer. RAM is a
 * few ranges, sorted by address, one memslot each; the architecture chooses
 * them (struct memory_range), this room backs and maps them.
 *
 * All accesses to guest memory go through memory_map(), or through
 * memory_read(), memory_write() and memory_load_fd(), which use it. It checks
 * the bounds and has the pager populate absent pages *before* it returns, so
 * call it with no lock held.
 *
 * Threads: set up by one thread before vCPUs run; the accessors are for any
 * thread afterwards.
 */
#ifndef VMM_MEM_MEMORY_H
#define VMM_MEM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/bytes.h"

struct kvm_vm;

typedef uint64_t gpa_t;

#define MEMORY_RANGES_MAX 4

/* A range of guest physical addresses. */
struct memory_range {
	gpa_t gpa;
	uint64_t size_bytes;
};

/* The backing of guest RAM. */
enum memory_backing {
	MEMORY_ANON, /* private anonymous memory */
	MEMORY_GUEST_MEMFD, /* KVM guest_memfd, mapped and shared */
	MEMORY_FILE, /* a file, MAP_PRIVATE: clones share the page cache */
};

/* The values of --memory: MEMORY_ANON, MEMORY_GUEST_MEMFD, NULL. */
extern const char *const memory_backing_names[];

/* One range of RAM and its memslot; owned by struct memory. */
struct memory_region {
	gpa_t gpa;
	uint64_t size_bytes;
	uint64_t offset_bytes; /* in RAM as a whole */
	uint8_t *hva; /* for the accessor */
	/*
	 * The address in the memslot, used by KVM's own accesses; NULL: hva.
	 * Else the pager's guard of a guest_memfd.
	 */
	uint8_t *slot_hva;
	int guest_memfd; /* -1: none */
	uint32_t slot;
	uint32_t flags; /* KVM_MEM_* of the slot now */
	unsigned long *userfault_bitmap; /* the pager's; NULL: none */
};

/*
 * Called before an access to [gpa, gpa + len), which is within one region:
 * returns 0 when all its pages are present, or -EIO if one is unavailable;
 * during a save also -ETIMEDOUT and -ECANCELED. Any thread, no lock held.
 */
struct memory_populator {
	int (*populate)(void *ctx, gpa_t gpa, uint64_t len_bytes);
	void *ctx;
};

/*
 * Two units of memory.  A *page* has PAGE_BYTES on every host, so that page
 * numbers mean the same everywhere.  A *granule* is a page of the host, one page
 * or (arm64) 4 or 16 of them: what the host maps, KVM's bitmap has a bit for,
 * and userfaultfd installs.  Regions are whole granules.
 */
struct memory {
	enum memory_backing backing;
	uint32_t granule_pages; /* pages of a granule; a power of two */
	uint64_t size_bytes; /* of all regions */
	unsigned int region_count;
	struct memory_region regions[MEMORY_RANGES_MAX];
	struct memory_populator
		populator; /* populate NULL: all pages are present */
	const struct kvm_vm *kvm; /* NULL: not attached, for tests */
};

/*
 * Maps the ranges. MEMORY_GUEST_MEMFD needs @kvm, the others take NULL;
 * MEMORY_FILE maps @file_fd from @file_offset; the descriptor stays the
 * caller's. @granule_pages is 0 for the host's page size; tests may use larger
 * ones. -errno, logged; -EINVAL if a range is not a multiple of granules.
 */
struct memory_config {
	enum memory_backing backing;
	const struct memory_range *ranges;
	unsigned int range_count;
	int file_fd;
	uint64_t file_offset;
	uint32_t granule_pages;
};
int memory_init(struct memory *memory, const struct memory_config *config,
		const struct kvm_vm *kvm);

/* A zeroed struct is fine. The VM must be gone or idle. */
void memory_finish(struct memory *memory);

/* The number of the page of RAM that holds @gpa, which is in @region. */
static inline uint64_t memory_page(const struct memory_region *region,
				   gpa_t gpa)
{
	return (region->offset_bytes + (gpa - region->gpa)) / PAGE_BYTES;
}

/* The host's page size, in pages of PAGE_BYTES. */
uint32_t memory_host_pages(void);

static inline uint64_t memory_granule_bytes(const struct memory *memory)
{
	return memory->granule_pages * PAGE_BYTES;
}

/* The region that contains page @page of RAM; never NULL for a page of RAM. */
struct memory_region *memory_region_of_page(const struct memory *memory,
					    uint64_t page);

/* Creates one memslot per region in @kvm. */
int memory_attach(struct memory *memory, const struct kvm_vm *kvm);

/* Updates the slot of a region after its flags or bitmap changed. */
int memory_update_slot(struct memory *memory, struct memory_region *region);

/* The region that contains all of [gpa, gpa + len), or NULL. */
struct memory_region *memory_find(const struct memory *memory, gpa_t gpa,
				  uint64_t len_bytes);

/*
 * Populates [gpa, gpa + len) and stores its host address in *@hva. -EFAULT if
 * it is not within one region of RAM, -EIO if a page is unavailable. Silent:
 * the caller knows the source of the address. The pointer is valid as long as
 * the memory.
 */
int memory_map(const struct memory *memory, gpa_t gpa, uint64_t len_bytes,
	       void **hva);

/* Copies from or to guest memory; errors as memory_map(). */
int memory_read(const struct memory *memory, gpa_t gpa, void *to,
		uint64_t len_bytes);
int memory_write(const struct memory *memory, gpa_t gpa, const void *from,
		 uint64_t len_bytes);

/*
 * Reads from @fd at @offset into [gpa, gpa + len); -ENODATA if the file is too
 * short, else errors of pread(2) and memory_map(). Silent.
 */
int memory_load_fd(const struct memory *memory, gpa_t gpa, uint64_t len_bytes,
		   int fd, uint64_t offset);

#endif
