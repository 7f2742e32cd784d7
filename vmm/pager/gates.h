/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gates that stop accesses to absent pages.
 *
 * userfault: KVM's bitmap on the memslot stops vCPUs.  It is data only: bits are
 * set before the guest runs, and cleared as pages are filled.
 *
 * uffd: userfaultfd stops accesses through a host mapping: KVM's own, the
 * kernel's, and those of vCPUs where KVM has no userfault.
 *
 * A guest_memfd has no userfaultfd, so its memslot names a *guard* for KVM's
 * own accesses instead of the memory: a second mapping, in which the runs of
 * absent pages are covered by empty anonymous memory with userfaultfd on it.
 * When KVM itself touches such a page, the page is filled, the guard there is
 * replaced by the guest_memfd, and KVM continues.  vCPUs do not use the mapping,
 * so a guard stays until KVM needs it or all pages are present.
 */
#ifndef VMM_PAGER_GATES_H
#define VMM_PAGER_GATES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct memory;
struct memory_region;
struct page_source;

/* Maps the bitmaps of all regions, all bits clear.  -errno, logged. */
int bitmap_map(struct memory *memory);
void bitmap_unmap(struct memory *memory);

/* Sets bits, before the guest runs; pages here are whole granules. */
void bitmap_set(const struct memory *memory, uint64_t page, uint64_t count);

/*
 * Clears bits after the pages' contents are written: vCPUs may pass.  Nothing
 * where the region has no bitmap.
 */
void bitmap_clear(const struct memory *memory, uint64_t page, uint64_t count);

/*
 * Clears the userfault flag of every slot, so that KVM may map large pages.  The
 * bitmaps stay mapped, as a vCPU may read one until its slot has changed.
 */
int bitmap_retire(struct memory *memory);

/* Maps the guard of each region of a guest_memfd; guard_unmap() undoes it. */
int guard_map(struct memory *memory);
void guard_unmap(struct memory *memory);

/* A userfaultfd and what is registered with it; see uffd.c. */
struct uffd_gate {
	atomic_int fd; /* -1: closed */
	bool guards; /* registered on the guards, not on the memory */
	struct memory *memory;
	struct uffd_range {
		uint64_t first, count; /* pages of RAM, as struct page_run */
		uint8_t *hva;
	} * ranges; /* sorted; owned */
	unsigned int range_count;
	/*
	 * With guards: a mapping to give up when the process has the maximum
	 * number, or one more, which opening a guard may lead to: then the kernel
	 * refuses any mmap(2), also one that would free others.
	 */
	void *spare;
};

/* Opens it and registers the runs of @source.  -errno, logged. */
int uffd_gate_open(struct uffd_gate *gate, struct memory *memory,
		   const struct page_source *source);
/*
 * Closes the descriptor, which wakes all blocked threads.  A fill in progress may
 * still use the ranges.
 */
void uffd_gate_close(struct uffd_gate *gate);
/* Closes it and frees the ranges; no thread uses it any more. */
void uffd_gate_finish(struct uffd_gate *gate);

/*
 * Reads a fault event: stores the page of RAM that was touched, or the first of
 * its granule.  False when there is none.
 */
bool uffd_gate_next(struct uffd_gate *gate, uint64_t *page);

/* Whether pages there must be installed by uffd_gate_copy(). */
bool uffd_gate_covers(const struct uffd_gate *gate, uint64_t page);

/*
 * Installs whole granules and wakes the threads that wait for them; each granule
 * becomes visible at once.  0 or -errno, silent.
 */
int uffd_gate_copy(struct uffd_gate *gate, uint64_t page, uint64_t count,
		   const void *from);

/*
 * Wakes the threads that touched the granule of @page, which is present and not
 * behind a guard: has the kernel map zeros where nothing was installed.
 */
int uffd_gate_pass(struct uffd_gate *gate, uint64_t page);

/*
 * The part of the aligned block of @block pages around @page that lies in the
 * page's range; one granule where it is in none.  @block is of whole granules.
 */
struct uffd_range uffd_gate_block(const struct uffd_gate *gate, uint64_t page,
				  uint64_t block);

/*
 * Opens the guard of pages of one range, all present, and wakes the threads
 * that touched them.  -ENOMEM: the process has the maximum number of mappings;
 * opening a whole guard needs no further one.
 */
int uffd_gate_open_guard(struct uffd_gate *gate, uint64_t first,
			 uint64_t count);

/* Gives the spare mapping up, or takes one again. */
void uffd_gate_give_spare(struct uffd_gate *gate);
void uffd_gate_take_spare(struct uffd_gate *gate);

/* Opens the guards or unregisters the ranges; all pages are present. */
void uffd_gate_retire(struct uffd_gate *gate);

#endif
