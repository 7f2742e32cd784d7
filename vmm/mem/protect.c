/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/mem/protect.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/mem/memory.h"
#include "vmm/mem/uffd_probe.h"

/* What a write to a protected page needs: a message that says so. */
#define FEATURES UFFD_FEATURE_PAGEFAULT_FLAG_WP

/* Less than a millisecond's work. */
#define CLOSE_BYTES (16 * MIB)

int protect_open(struct protect *protect, const struct memory *memory)
{
	int r = memory->backing == MEMORY_ANON &&
				memory->huge.kind != MEMORY_HUGE_HUGETLB ?
			uffd_open(FEATURES, NULL) :
			-EOPNOTSUPP;

	*protect = (struct protect){ .memory = memory, .fd = r };
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->regions[i];
		struct uffdio_register request = {
			.range = { (uintptr_t)region->hva, region->size_bytes },
			.mode = UFFDIO_REGISTER_MODE_WP,
		};

		if (ioctl(protect->fd, UFFDIO_REGISTER, &request) < 0) {
			r = -errno;
			protect_close(protect);
			return r;
		}
		protect->registered++;
	}
	return 0;
}

/* In pieces: each takes the lock of the address space, and the guest may wait for it. */
static void unregister(const struct protect *protect,
		       const struct memory_region *region)
{
	for (uint64_t at = 0; at < region->size_bytes; at += CLOSE_BYTES) {
		struct uffdio_range range = {
			(uintptr_t)region->hva + at,
			min_u64(CLOSE_BYTES, region->size_bytes - at)
		};

		/* What fails is left to close(2). */
		ioctl(protect->fd, UFFDIO_UNREGISTER, &range);
	}
}

void protect_close(struct protect *protect)
{
	for (unsigned int i = 0; i < protect->registered; i++)
		unregister(protect, &protect->memory->regions[i]);
	/* Wakes the writers that wait. */
	if (protect->fd >= 0)
		close(protect->fd);
	*protect = (struct protect){ .fd = -1 };
}

/* Sets or lifts the protection of pages of one region at once. */
static int change_all(const struct protect *protect, uint64_t first,
		      uint64_t count, uint64_t mode)
{
	struct uffdio_writeprotect request = {
		.range = { (uintptr_t)memory_page_hva(protect->memory, first),
			   count * PAGE_BYTES },
		.mode = mode,
	};

	/* The address space changes meanwhile. */
	while (ioctl(protect->fd, UFFDIO_WRITEPROTECT, &request) < 0)
		if (errno != EAGAIN)
			return -errno;
	return 0;
}

/*
 * The same for pages that lie in several mappings of the kernel's, as they have
 * different advice: kernels before 6.4 refuse these, with ENOENT.
 */
static int change(const struct protect *protect, uint64_t first, uint64_t count,
		  uint64_t mode)
{
	uint64_t granule = protect->memory->granule_pages;
	uint64_t half = align_down(count / 2, granule);
	int r = change_all(protect, first, count, mode);

	if (r != -ENOENT || !half)
		return r;
	r = change(protect, first, half, mode);
	return r < 0 ? r : change(protect, first + half, count - half, mode);
}

int protect_pages(const struct protect *protect, uint64_t first, uint64_t count)
{
	int r = 0;

	while (r == 0 && count) {
		uint64_t n = min_u64(count,
				     memory_pages_left(protect->memory, first));

		r = change(protect, first, n, UFFDIO_WRITEPROTECT_MODE_WP);
		first += n;
		count -= n;
	}
	return r;
}

int protect_lift(const struct protect *protect, uint64_t first, uint64_t count)
{
	return change(protect, first, count, 0);
}

bool protect_next(const struct protect *protect, uint64_t *page)
{
	struct uffd_msg msg;

	while (read(protect->fd, &msg, sizeof(msg)) == sizeof(msg)) {
		const void *hva =
			(const void *)(uintptr_t)msg.arg.pagefault.address;

		if (msg.event != UFFD_EVENT_PAGEFAULT ||
		    !memory_page_at(protect->memory, hva, false, page))
			continue;
		*page = align_down(*page, protect->memory->granule_pages);
		return true;
	}
	return false;
}
