/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The userfaultfd gate: registration, fault events, installing pages and waking
 * blocked threads.  Formats are from userfaultfd(2) and ioctl_userfaultfd(2).
 * All lengths are whole granules, as the kernel works in pages of the host.
 *
 * Opened by one thread; then the ioctls are for any thread, the kernel orders
 * them.  The ranges do not change until the end.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/run.h"
#include "vmm/mem/memory.h"
#include "vmm/mem/uffd_probe.h"
#include "vmm/pager/gates.h"
#include "vmm/pager/source.h"

/*
 * Each range splits a mapping, and a process may have 65530 mappings
 * (vm.max_map_count), so runs that are close to each other share a range.
 */
#define RANGES_MAX 4096

/* The address that a page of RAM has in the mapping that the gate is on. */
static uint8_t *gate_hva(const struct uffd_gate *gate, uint64_t page)
{
	const struct memory_region *region =
		memory_region_of_page(gate->memory, page);
	uint8_t *base = gate->guards ? region->slot_hva : region->hva;

	return base + (page * PAGE_BYTES - region->offset_bytes);
}

/* Adds a run, which may go on in the next region, while a range may not. */
static void add_ranges(struct uffd_gate *gate, struct page_run run)
{
	while (run.count) {
		uint64_t n = min_u64(run.count, memory_pages_left(gate->memory,
								  run.first));

		gate->ranges[gate->range_count++] =
			(struct uffd_range){ run.first, n,
					     gate_hva(gate, run.first) };
		run.first += n;
		run.count -= n;
	}
}

/* The ranges: the runs of @source, joined over gaps until they are few enough. */
static int find_ranges(struct uffd_gate *gate, const struct page_source *source)
{
	CLEANUP_FREE struct page_run *runs =
		calloc(source->run_count + 1, sizeof(*runs));
	size_t n;

	gate->ranges = calloc(source->run_count + MEMORY_RANGES_MAX,
			      sizeof(gate->ranges[0]));
	if (!runs || !gate->ranges)
		return log_errno(ENOMEM, "userfaultfd ranges");
	n = run_join(source->runs, source->run_count, 1, 0, RANGES_MAX, runs);
	for (size_t i = 0; i < n; i++)
		add_ranges(gate, runs[i]);
	return 0;
}

/* Maps empty anonymous memory over a range of a guard. */
static int cover(const struct uffd_range *range)
{
	void *p = mmap(range->hva, range->count * PAGE_BYTES,
		       PROT_READ | PROT_WRITE,
		       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	return p == MAP_FAILED ? log_errno(errno, "guest_memfd guard") : 0;
}

/* Registers a range for missing pages; -errno, logged. */
static int register_range(struct uffd_gate *gate,
			  const struct uffd_range *range)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)range->hva,
			   .len = range->count * PAGE_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int r = gate->guards ? cover(range) : 0;

	if (r < 0)
		return r;
	if (ioctl(gate->fd, UFFDIO_REGISTER, &reg) < 0)
		return log_errno(errno, "userfaultfd: register %llu pages",
				 (unsigned long long)range->count);
	return 0;
}

void uffd_gate_take_spare(struct uffd_gate *gate)
{
	/* A shared mapping is never joined to its neighbours. */
	void *p = mmap(NULL, memory_granule_bytes(gate->memory), PROT_NONE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	gate->spare = p == MAP_FAILED ? NULL : p;
}

void uffd_gate_give_spare(struct uffd_gate *gate)
{
	if (gate->spare)
		munmap(gate->spare, memory_granule_bytes(gate->memory));
	gate->spare = NULL;
}

int uffd_gate_open(struct uffd_gate *gate, struct memory *memory,
		   const struct page_source *source)
{
	int r;

	r = uffd_open(0, NULL);
	*gate = (struct uffd_gate){ .memory = memory,
				    .fd = r,
				    .guards = memory->regions[0].slot_hva };
	if (r < 0)
		return log_errno(-r, "userfaultfd");
	if (gate->guards)
		uffd_gate_take_spare(gate);
	r = find_ranges(gate, source);
	for (unsigned int i = 0; r >= 0 && i < gate->range_count; i++)
		r = register_range(gate, &gate->ranges[i]);
	if (r < 0)
		uffd_gate_finish(gate);
	return r;
}

void uffd_gate_close(struct uffd_gate *gate)
{
	int fd = atomic_exchange(&gate->fd, -1);

	if (fd >= 0)
		close(fd);
}

void uffd_gate_finish(struct uffd_gate *gate)
{
	uffd_gate_close(gate);
	uffd_gate_give_spare(gate);
	free(gate->ranges);
	gate->ranges = NULL;
	gate->range_count = 0;
}

/* The range that holds a page, or NULL. */
static const struct uffd_range *find_range(const struct uffd_gate *gate,
					   uint64_t page)
{
	size_t i = run_search(gate->ranges, gate->range_count,
			      sizeof(gate->ranges[0]), page);

	return i < gate->range_count && gate->ranges[i].first <= page ?
		       &gate->ranges[i] :
		       NULL;
}

bool uffd_gate_next(struct uffd_gate *gate, uint64_t *page)
{
	struct uffd_msg msg;

	while (read(gate->fd, &msg, sizeof(msg)) == sizeof(msg)) {
		const void *hva =
			(const void *)(uintptr_t)msg.arg.pagefault.address;

		if (msg.event == UFFD_EVENT_PAGEFAULT &&
		    memory_page_at(gate->memory, hva, gate->guards, page))
			return true;
	}
	return false;
}

bool uffd_gate_covers(const struct uffd_gate *gate, uint64_t page)
{
	return gate->fd >= 0 && !gate->guards && find_range(gate, page);
}

/* Wakes the threads that are blocked in a range. */
static int wake_range(struct uffd_gate *gate, uint8_t *hva, uint64_t bytes)
{
	struct uffdio_range range = { (uintptr_t)hva, bytes };

	return ioctl(gate->fd, UFFDIO_WAKE, &range) < 0 ? -errno : 0;
}

int uffd_gate_copy(struct uffd_gate *gate, uint64_t page, uint64_t count,
		   const void *from)
{
	uint64_t done = 0, bytes = count * PAGE_BYTES;
	uint8_t *to = gate_hva(gate, page);

	while (done < bytes) {
		struct uffdio_copy copy = {
			.dst = (uintptr_t)to + done,
			.src = (uintptr_t)from + done,
			.len = bytes - done,
		};

		if (ioctl(gate->fd, UFFDIO_COPY, &copy) == 0)
			break;
		/* A part was copied, as the address space changed: continue. */
		if (errno == EAGAIN && copy.copy > 0)
			done += (uint64_t)copy.copy;
		/* An earlier attempt that failed later installed this one. */
		else if (errno == EEXIST)
			done += memory_granule_bytes(gate->memory);
		else if (errno != EAGAIN)
			return -errno;
	}
	return 0;
}

struct uffd_range uffd_gate_block(const struct uffd_gate *gate, uint64_t page,
				  uint64_t block)
{
	const struct uffd_range *range = find_range(gate, page);
	uint64_t first, end;

	if (!range)
		block = gate->memory->granule_pages;
	first = align_down(page, block);
	end = first + block;
	if (!range)
		return (struct uffd_range){ first, block,
					    gate_hva(gate, first) };
	first = max_u64(first, range->first);
	end = min_u64(end, range->first + range->count);
	return (struct uffd_range){ first, end - first, gate_hva(gate, first) };
}

int uffd_gate_open_guard(struct uffd_gate *gate, uint64_t first, uint64_t count)
{
	const struct memory_region *region =
		memory_region_of_page(gate->memory, first);
	uint64_t offset = first * PAGE_BYTES - region->offset_bytes;
	uint64_t bytes = count * PAGE_BYTES;
	uint8_t *hva = region->slot_hva + offset;

	if (mmap(hva, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED,
		 region->guest_memfd, (off_t)offset) == MAP_FAILED)
		return -errno;
	/* The new mapping is not registered, so this range may be refused. */
	wake_range(gate, hva, bytes);
	return 0;
}

int uffd_gate_pass(struct uffd_gate *gate, uint64_t page)
{
	uint64_t first = align_down(page, gate->memory->granule_pages);
	uint64_t bytes = memory_granule_bytes(gate->memory);
	uint8_t *hva = gate_hva(gate, first);
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)hva, bytes },
	};

	/* A page between two runs is zero, and registered with them. */
	while (ioctl(gate->fd, UFFDIO_ZEROPAGE, &zero) < 0) {
		/* Already installed, or unregistered meanwhile. */
		if (errno == EEXIST || errno == ENOENT)
			return wake_range(gate, hva, bytes);
		if (errno != EAGAIN)
			return -errno;
	}
	return 0;
}

/* Maps the guest_memfd over the guard of a range. */
static void retire_guard(struct uffd_gate *gate, const struct uffd_range *range)
{
	int r = uffd_gate_open_guard(gate, range->first, range->count);

	if (r < 0)
		log_errno(-r, "guest_memfd guard");
}

/* Unregisters a range, which wakes blocked threads; permits large pages. */
static void retire_range(struct uffd_gate *gate, const struct uffd_range *range)
{
	uint64_t bytes = range->count * PAGE_BYTES;
	struct uffdio_range all = { (uintptr_t)range->hva, bytes };

	if (ioctl(gate->fd, UFFDIO_UNREGISTER, &all) < 0)
		log_errno(errno, "userfaultfd: unregister");
	/* Advice only: a kernel without large pages refuses it. */
	if (gate->memory->huge.kind != MEMORY_HUGE_NEVER)
		madvise(range->hva, bytes, MADV_HUGEPAGE);
}

void uffd_gate_retire(struct uffd_gate *gate)
{
	for (unsigned int i = 0; i < gate->range_count; i++) {
		if (gate->guards)
			retire_guard(gate, &gate->ranges[i]);
		else
			retire_range(gate, &gate->ranges[i]);
	}
}
