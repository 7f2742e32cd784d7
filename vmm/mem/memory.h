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

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/bits.h"
#include "vmm/base/bytes.h"
#include "vmm/base/run.h"

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
	/*
	 * Files, MAP_PRIVATE: clones share the page cache; anonymous where they
	 * hold nothing.
	 */
	MEMORY_FILE,
};

/* The values of --memory: MEMORY_ANON, MEMORY_GUEST_MEMFD, NULL. */
extern const char *const memory_backing_names[];

/* Large pages of the host for anonymous memory. */
enum memory_huge_kind {
	MEMORY_HUGE_AUTO, /* as the host's setting is; where contents fill them */
	MEMORY_HUGE_ALWAYS, /* transparent ones wherever possible */
	MEMORY_HUGE_NEVER,
	MEMORY_HUGE_HUGETLB, /* all of it, reserved at once */
};

/* The values of --hugepages, in the order of the enum; NULL at the end. */
extern const char *const memory_huge_names[];

struct memory_huge {
	enum memory_huge_kind kind;
	uint64_t page_bytes; /* of HUGETLB; 0: the host's default */
};

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
	struct memory_huge huge;
	uint32_t granule_pages; /* pages of a granule; a power of two */
	uint64_t size_bytes; /* of all regions */
	unsigned int region_count;
	struct memory_region regions[MEMORY_RANGES_MAX];
	/* MEMORY_FILE: what is mapped from files, not adjacent; owned. */
	struct page_run *file_runs;
	size_t file_run_count;
	struct memory_populator
		populator; /* populate NULL: all pages are present */
	const struct kvm_vm *kvm; /* NULL: not attached, for tests */
	pthread_mutex_t slot_lock; /* for changing flags of slots */
	/*
	 * The pages that this program has written, a bit each in words of 64; NULL:
	 * not tracked.  Mapped by track.c, owned.
	 */
	_Atomic uint64_t *_Atomic notes;
};

/*
 * Pages [first, first + count) of RAM, whole granules, which are mapped from those
 * pages of a file. One host mapping, or one in each region.
 */
struct memory_part {
	uint64_t first, count;
	int fd;
};

/*
 * Maps the ranges. MEMORY_GUEST_MEMFD needs @kvm, the others take NULL;
 * MEMORY_FILE maps @parts, which are sorted. They and their files stay the
 * caller's, and may go afterwards. @granule_pages is 0 for the host's page size;
 * tests may use larger ones. -errno, logged; -EINVAL if a range is not a multiple
 * of granules.
 */
struct memory_config {
	enum memory_backing backing;
	struct memory_huge huge; /* not of a guest_memfd */
	const struct memory_range *ranges;
	unsigned int range_count;
	const struct memory_part *parts;
	size_t part_count;
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

/* How many pages from @page on, a page of RAM, lie in its region. */
uint64_t memory_pages_left(const struct memory *memory, uint64_t page);

/* The guest's and this process's address of page @page of RAM. */
gpa_t memory_page_gpa(const struct memory *memory, uint64_t page);
uint8_t *memory_page_hva(const struct memory *memory, uint64_t page);

/*
 * The page of RAM at an address of this process, with @slot one of the memslots';
 * false: there is none.
 */
bool memory_page_at(const struct memory *memory, const void *hva, bool slot,
		    uint64_t *page);

/*
 * Has the host's kernel load @count pages of RAM from @page on, within one region,
 * which are mapped from a file, so that an access neither waits nor is SIGBUS.
 * Does not wait for less than a fatal signal. -EIO: the file cannot be read
 * there; other errors of madvise(2). Silent; any thread.
 */
int memory_load_mapped(const struct memory *memory, uint64_t page,
		       uint64_t count);

/* Creates one memslot per region in @kvm. */
int memory_attach(struct memory *memory, const struct kvm_vm *kvm);

/*
 * Sets and clears flags of a region, and of its slot if it is attached.  Any thread.
 * -errno, logged; the flags are as before then.
 */
int memory_change_slot(struct memory *memory, struct memory_region *region,
		       uint32_t set, uint32_t clear);

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

/*
 * To be called after each write through a pointer of memory_map(), before its device
 * is quiesced: notes the pages as written, where that is tracked (track.h).
 * memory_write() and memory_load_fd() do so.  Any thread.
 */
void memory_note_tracked(const struct memory *memory, const void *hva,
			 uint64_t len_bytes);
/* The size of struct memory's notes: whole words. */
static inline uint64_t memory_note_bytes(const struct memory *memory)
{
	return bits_words(memory->size_bytes / PAGE_BYTES) * sizeof(uint64_t);
}
static inline bool memory_is_tracked(const struct memory *memory)
{
	return atomic_load_explicit(&memory->notes, memory_order_acquire);
}
static inline void memory_note(const struct memory *memory, const void *hva,
			       uint64_t len_bytes)
{
	if (memory_is_tracked(memory))
		memory_note_tracked(memory, hva, len_bytes);
}

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
