/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of a mapped file that cannot be read, where KVM does not say so.
 *
 * A vCPU that needs a page from a disk does not wait for it in the kernel, on x86:
 * KVM has another thread load the page, and the vCPU tries again (asynchronous page
 * faults).  The error of that thread is lost, so with an unreadable page the vCPU
 * tries for ever, and never leaves KVM_RUN.  KVM counts these faults.  When a vCPU
 * has some and nothing else for a while, all of the file is read once, which finds
 * the page.
 *
 * Main thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/kvm/stats.h"
#include "vmm/vm/private.h"

/* Between two looks at the counters. */
#define TICK_MS 2000

/* In so many ticks a vCPU has only faults that are not resolved. */
#define TICKS_MAX 3

/* So many ticks after a search that found nothing there may be another one. */
#define REST_TICKS 300

/* Pages loaded at once, between two checks whether the VM has ended. */
#define PIECE_PAGES 512

/* The counters of a vCPU. */
struct fault_watch {
	struct kvm_fault_stats stats;
	struct kvm_fault_counts last;
	unsigned int ticks; /* with such faults only */
};

static bool has_ended(const struct vm *vm)
{
	return atomic_load(&vm->phase) == VM_PHASE_END;
}

/* The first page of a piece that cannot be read; its end: all can. */
static uint64_t find_bad(const struct vm *vm, uint64_t first, uint64_t end)
{
	const struct memory *memory = &vm->machine.memory;

	if (memory_load_mapped(memory, first, end - first) != -EIO)
		return end;
	while (first < end && memory_load_mapped(memory, first, 1) != -EIO)
		first++;
	return first;
}

/* Reads a part of the file; true: a page cannot be read, and the VM ends. */
static bool search_part(struct vm *vm, const struct snap_part *part)
{
	const struct memory *memory = &vm->machine.memory;
	uint64_t at = part->first, end = part->first + part->count;

	while (at < end && !has_ended(vm)) {
		uint64_t n = min_u64(min_u64(end - at, PIECE_PAGES),
				     memory_pages_left(memory, at));
		uint64_t bad = find_bad(vm, at, at + n);

		if (bad < at + n)
			return vm_mapped_fault(vm,
					       memory_page_gpa(memory, bad));
		at += n;
	}
	return false;
}

static void search(struct vm *vm)
{
	const struct snap_layout *layout = &vm->mapped.layout;

	for (size_t i = 0; i < layout->part_count && !has_ended(vm); i++)
		if (search_part(vm, &layout->parts[i]))
			return;
}

/* Whether the vCPU has had only unresolved faults for a while. */
static bool is_suspicious(struct fault_watch *watch)
{
	struct kvm_fault_counts now;

	if (watch->stats.fd < 0 ||
	    kvm_fault_stats_read(&watch->stats, &now) < 0)
		return false;
	if (now.resolved == watch->last.resolved &&
	    now.unresolved > watch->last.unresolved)
		watch->ticks++;
	else
		watch->ticks = 0;
	watch->last = now;
	return watch->ticks >= TICKS_MAX;
}

int vm_mapped_tick_ms(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;
	unsigned int n = vm->machine.cpu_count, opened = 0;

	/* A pager reads before KVM does. */
	if (!mapped->open || vm->pager)
		return -1;
	if (mapped->fault_watches)
		return TICK_MS;
	mapped->fault_watches = calloc(n, sizeof(mapped->fault_watches[0]));
	if (!mapped->fault_watches)
		return -1;
	for (unsigned int i = 0; i < n; i++)
		opened += kvm_fault_stats_open(&mapped->fault_watches[i].stats,
					       &vm->machine.cpus[i]) == 0;
	if (opened)
		return TICK_MS;
	vm_mapped_faults_close(vm);
	return -1;
}

void vm_mapped_tick(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;
	bool suspicious = false;

	for (unsigned int i = 0; i < vm->machine.cpu_count; i++)
		suspicious |= is_suspicious(&mapped->fault_watches[i]);
	if (mapped->rest_ticks) {
		mapped->rest_ticks--;
	} else if (suspicious) {
		mapped->rest_ticks = REST_TICKS;
		search(vm);
	}
}

void vm_mapped_faults_close(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;

	for (unsigned int i = 0;
	     mapped->fault_watches && i < vm->machine.cpu_count; i++)
		kvm_fault_stats_close(&mapped->fault_watches[i].stats);
	free(mapped->fault_watches);
	mapped->fault_watches = NULL;
}
