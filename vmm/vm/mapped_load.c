/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Working set and background fill of a guest whose memory is mapped
 * (--pager=map): a thread has the host's kernel load pages before the guest
 * accesses them, first those of the working set, then all, at the rate of
 * --prefault.  It is advice: what cannot be loaded is left to the access.
 *
 * The working set of such a guest is what the page tables of this process have,
 * in the order of addresses: at its end, or before the first save, which reads all
 * of memory.
 *
 * Main thread; a save records on the control thread, which ends before the VM is
 * stopped.  The thread `load` uses nothing but the memory and the phase.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/thread.h"
#include "vmm/mem/resident.h"
#include "vmm/snap/file.h"
#include "vmm/vm/private.h"

/*
 * As much at once, so that the end of the VM does not wait for long: nothing but a
 * fatal signal interrupts the kernel's reads.
 */
#define PIECE_PAGES 64

/* Waits until a time; false: the VM has ended. */
static bool wait_until(struct vm *vm, uint64_t until_ns)
{
	const struct timespec until = clock_timespec(until_ns);
	bool ended;

	pthread_mutex_lock(&vm->lock);
	while (atomic_load(&vm->phase) != VM_PHASE_END &&
	       clock_now_ns() < until_ns)
		pthread_cond_timedwait(&vm->changed, &vm->lock, &until);
	ended = atomic_load(&vm->phase) == VM_PHASE_END;
	pthread_mutex_unlock(&vm->lock);
	return !ended;
}

/* Loads a run, of pages that are mapped, no faster than @bytes_s. */
static int load_run(struct vm *vm, struct page_run run, uint64_t bytes_s)
{
	const struct memory *memory = &vm->machine.memory;
	uint64_t next_ns = clock_now_ns();

	while (run.count) {
		uint64_t n = min_u64(min_u64(run.count, PIECE_PAGES),
				     memory_pages_left(memory, run.first));
		int r;

		if (!wait_until(vm, next_ns))
			return -ECANCELED;
		r = memory_load_mapped(memory, run.first, n);
		if (r < 0)
			return r;
		if (bytes_s != UINT64_MAX)
			next_ns += (uint64_t)((double)(n * PAGE_BYTES) * 1e9 /
					      (double)bytes_s);
		run.first += n;
		run.count -= n;
	}
	return 0;
}

/* The part of @run from its start on that is mapped; count 0: nothing. */
static struct page_run mapped_part(const struct memory *memory,
				   struct page_run run)
{
	struct page_run part;

	run_next(memory->file_runs, memory->file_run_count, run.first,
		 run.first + run.count, &part);
	return part.first == run.first ? part : (struct page_run){ 0 };
}

/* Loads the working set, by runs.  It is a hint, and may name any page. */
static int load_workingset(struct vm *vm)
{
	const struct vm_paging *paging = &vm->config.paging;
	const uint64_t *pages = paging->workingset;
	size_t count = paging->workingset_count, at = 0;
	int r = 0;

	while (r == 0 && at < count) {
		struct page_run run = { pages[at], 0 };

		while (at < count && pages[at] == run.first + run.count) {
			run.count++;
			at++;
		}
		run = mapped_part(&vm->machine.memory, run);
		r = load_run(vm, run, UINT64_MAX);
	}
	return r;
}

static void *load_main(void *arg)
{
	struct vm *vm = arg;
	const struct memory *memory = &vm->machine.memory;
	uint64_t bytes_s = vm->config.paging.prefault_bytes_s;
	int r = load_workingset(vm);

	for (size_t i = 0; r == 0 && bytes_s && i < memory->file_run_count; i++)
		r = load_run(vm, memory->file_runs[i], bytes_s);
	if (r < 0 && r != -ECANCELED)
		log_info("background fill: ended early: %s", strerror(-r));
	return NULL;
}

int vm_mapped_load_start(struct vm *vm)
{
	const struct vm_paging *paging = &vm->config.paging;
	int r;

	if (vm->pager_choice.mode != PAGER_MAP ||
	    (!paging->workingset_count && !paging->prefault_bytes_s))
		return 0;
	r = thread_start(&vm->mapped.loader, "load", load_main, vm);
	vm->mapped.loads = r == 0;
	return r < 0 ? log_errno(-r, "thread load") : 0;
}

/* Adds the pages of a run that were accessed; false: that is unknown. */
static bool add_accessed(struct mapped *mapped, const struct resident *resident,
			 const struct page_run *run)
{
	uint8_t accessed[RESIDENT_PAGES_MAX];
	uint64_t end = run->first + run->count;
	/* It looks at whole pages of the host. */
	uint64_t first = align_down(run->first, resident->host_pages);

	while (first < end) {
		uint64_t n =
			min_u64(min_u64(end - first, RESIDENT_PAGES_MAX),
				memory_pages_left(resident->memory, first));

		if (!resident_accessed(resident, first, n, accessed))
			return false;
		for (uint64_t i = 0; i < n; i++)
			if (accessed[i] && first + i >= run->first)
				mapped->accessed[mapped->accessed_count++] =
					first + i;
		first += n;
	}
	return true;
}

/* Gives the working set up: an old one is better than a part of a new one. */
static void forget(struct mapped *mapped)
{
	free(mapped->accessed);
	mapped->accessed = NULL;
	mapped->accessed_count = 0;
}

void vm_mapped_record(struct vm *vm)
{
	const struct snap_file *file = vm->config.snapshot;
	struct mapped *mapped = &vm->mapped;
	struct resident resident;
	bool known = true;

	if (!mapped->open || mapped->recorded || !vm->config.paging.record ||
	    vm->pager_choice.mode != PAGER_MAP)
		return;
	mapped->recorded = true;
	mapped->accessed =
		calloc(file->present_count + 1, sizeof(mapped->accessed[0]));
	if (!mapped->accessed) {
		log_errno(ENOMEM, "working set");
		return;
	}
	resident_open(&resident, &vm->machine.memory);
	for (uint64_t i = 0; known && i < file->run_count; i++)
		known = add_accessed(mapped, &resident, &file->runs[i]);
	resident_close(&resident);
	if (known)
		return;
	log_warn("working set: /proc/self/pagemap cannot be read; not "
		 "recorded");
	forget(mapped);
}

void vm_mapped_load_stop(struct vm *vm)
{
	if (vm->mapped.loads)
		pthread_join(vm->mapped.loader, NULL);
	vm->mapped.loads = false;
	vm_mapped_record(vm);
}
