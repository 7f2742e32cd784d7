/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a machine's memory is filled: the choice, and the pager between the load
 * plan and the vCPUs.
 *
 * Control thread, but for vm_paging_fault() and on_failed().
 */
#include <errno.h>

#include "vmm/pager/source.h"
#include "vmm/vm/private.h"
#include "vmm/vm/source_snapshot.h"

/* A page cannot be had, and the pager has said so.  Any thread. */
static void on_failed(void *ctx, enum pager_on_error on_error)
{
	struct vm *vm = ctx;

	if (on_error == PAGER_STOP)
		vm_end(vm, VM_END_SOURCE, 0);
}

/* Chooses the way; the VM exists, but no memory and no slot yet. */
int vm_paging_choose(struct vm *vm)
{
	struct machine *m = &vm->machine;
	struct pager_facts facts = { .backing = vm->config.backing,
				     .has_file = vm->config.snapshot };
	int r;

	vm->paging.way = vm->config.paging.way;
	if (vm->paging.way == PAGER_EAGER)
		return 0;
	pager_facts_find(&facts, &m->vm);
	r = pager_choose(&vm->paging, vm->config.paging.way, &facts);
	if (r < 0)
		return r;
	log_info("pager: %s: %s", pager_way_words[vm->paging.way],
		 vm->paging.why);
	return 0;
}

/* Puts the source that misbehaves around another, where that is wanted. */
static int inject(const struct vm *vm, struct page_source **source)
{
	const char *spec = vm->config.paging.inject;

	return spec ? source_inject_create(source, *source, spec) : 0;
}

/* Makes the pager over @source, which it owns from now on. */
static int create_pager(struct vm *vm, struct page_source *source)
{
	const struct vm_paging *paging = &vm->config.paging;
	struct pager_config config = {
		.way = vm->paging.way,
		.memory = &vm->machine.memory,
		.source = source,
		.run_pages = paging->run_pages,
		.deadline_ns = paging->deadline_ns,
		.on_error = paging->on_error,
		.failed = on_failed,
		.ctx = vm,
		.prefault_bytes_s = paging->prefault_bytes_s,
		.ahead = paging->ahead,
		.ahead_count = paging->ahead_count,
		.record = paging->record,
		.trace_fd = paging->trace_fd,
	};

	return pager_create(&vm->pager, &config);
}

/* Fills memory as the plan says, now or when it is touched. */
int vm_paging_load(struct vm *vm, struct plan *plan)
{
	struct memory *memory = &vm->machine.memory;
	struct page_source *source;
	int r;

	if (vm->paging.way == PAGER_EAGER)
		return plan_apply(plan, memory);
	r = source_plan_create(&source, plan, memory);
	if (r >= 0)
		r = inject(vm, &source);
	return r < 0 ? r : create_pager(vm, source);
}

/* Reads all pages of a source into memory that nobody has touched. */
static int read_all(struct vm *vm, struct page_source *source)
{
	const struct memory *memory = &vm->machine.memory;

	for (size_t i = 0; i < source->run_count; i++) {
		uint64_t page = source->runs[i].first;
		uint64_t end = page + source->runs[i].count;

		while (page < end) {
			const struct memory_region *region =
				memory_region_of_page(memory, page);
			uint64_t offset =
				page * PAGE_BYTES - region->offset_bytes;
			uint64_t left = region->size_bytes - offset;
			uint64_t n = min_u64(min_u64(end - page, 256),
					     left / PAGE_BYTES);
			int r = source->ops->read(source, page, (uint32_t)n,
						  region->hva + offset);

			if (r < 0)
				return r;
			page += n;
		}
	}
	return 0;
}

/* Fills memory from the snapshot, now, or when it is touched, or not at all. */
int vm_paging_restore(struct vm *vm)
{
	struct page_source *source;
	int r;

	if (vm->paging.way == PAGER_MAP)
		return 0;
	r = source_snapshot_create(&source, vm->config.snapshot);
	if (r >= 0)
		r = inject(vm, &source);
	if (r < 0 || vm->paging.way != PAGER_EAGER)
		return r < 0 ? r : create_pager(vm, source);
	r = read_all(vm, source);
	page_source_destroy(source);
	return r;
}

/* Fills the page of a userfault exit. */
int vm_paging_fault(struct vcpu *vcpu, gpa_t gpa)
{
	struct vm *vm = vcpu->vm;

	return vm->pager ? pager_vcpu_fault(vm->pager, vcpu->cpu->id, gpa) :
			   -EFAULT;
}

/* What was chosen. */
const struct pager_choice *vm_pager_choice(const struct vm *vm)
{
	return &vm->paging;
}

/* What the guest asked for. */
size_t vm_workingset(const struct vm *vm, const uint64_t **pages)
{
	return vm->pager ? pager_recorded(vm->pager, pages) : 0;
}

/* The figures. */
bool vm_pager_stats(const struct vm *vm, struct pager_stats *stats)
{
	if (vm->pager)
		pager_stats(vm->pager, stats);
	return vm->pager != NULL;
}
