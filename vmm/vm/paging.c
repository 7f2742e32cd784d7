/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How guest memory is populated: the choice of the pager mode, and the pager over
 * a load plan or a snapshot.
 *
 * Main thread, except on_failed() and vm_pager_stats().
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"
#include "vmm/mem/plan.h"
#include "vmm/pager/source.h"
#include "vmm/snap/file.h"
#include "vmm/vm/private.h"

/* The pager has reported an unavailable page.  Any thread. */
static void on_failed(void *ctx, enum pager_on_error on_error)
{
	struct vm *vm = ctx;

	if (on_error == PAGER_STOP)
		vm_end(vm, VM_END_SOURCE, 0);
}

/* Whether the host's kernel can map the memory of the snapshot. */
static bool can_map(const struct snap_file *file)
{
	size_t bytes = memory_host_pages() * PAGE_BYTES;
	void *p;

	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		 file->memory_fd, 0);
	if (p == MAP_FAILED)
		return false;
	munmap(p, bytes);
	return true;
}

/* Lays out the files of the snapshot, where the mode may map them. */
static int lay_out(struct vm *vm, struct host_caps *caps)
{
	const struct snap_file *file = vm->config.snapshot;
	struct snap_layout *layout = &vm->mapped.layout;
	enum pager_mode mode = vm->config.paging.mode;
	int r;

	if (!file || mode == PAGER_EAGER || mode == PAGER_UFFD)
		return 0;
	r = snap_layout_create(layout, file, memory_host_pages(),
			       &caps->no_file);
	if (r < 0)
		return r == -ENOTSUP ? 0 : r;
	caps->has_file = true;
	for (unsigned int i = 0; i < layout->file_count; i++)
		caps->has_file &= can_map(layout->files[i]);
	return 0;
}

/* Hands the layout to the memory. */
static int use_layout(struct vm *vm, struct memory_config *memory)
{
	const struct snap_layout *layout = &vm->mapped.layout;
	struct memory_part *parts =
		calloc(layout->part_count + 1, sizeof(parts[0]));

	if (!parts)
		return log_errno(ENOMEM, "guest memory from a file");
	for (size_t i = 0; i < layout->part_count; i++)
		parts[i] = (struct memory_part){
			layout->parts[i].first, layout->parts[i].count,
			layout->parts[i].file->memory_fd
		};
	vm->mapped.parts = parts;
	memory->backing = MEMORY_FILE;
	memory->parts = parts;
	memory->part_count = layout->part_count;
	return 0;
}

int vm_paging_choose(struct vm *vm, struct memory_config *memory)
{
	struct machine *m = &vm->machine;
	struct host_caps caps = { .backing = vm->config.backing,
				  .huge = vm->config.huge };
	int r = lay_out(vm, &caps);

	if (r < 0)
		return r;
	/* EAGER needs no capability of the host. */
	if (vm->config.paging.mode != PAGER_EAGER)
		host_caps_probe(&caps, &m->vm);
	r = pager_choose(&vm->pager_choice, vm->config.paging.mode, &caps);
	if (r < 0)
		return r;
	log_info("pager: %s: %s", pager_mode_names[vm->pager_choice.mode],
		 vm->pager_choice.why);
	memory->backing = vm->config.backing;
	memory->huge = vm->config.huge;
	if (pager_maps_file(vm->pager_choice.mode, &caps))
		return use_layout(vm, memory);
	snap_layout_finish(&vm->mapped.layout);
	return 0;
}

/* Wraps the source for fault injection, where it is wanted. */
static int inject(const struct vm *vm, struct page_source **source)
{
	const char *spec = vm->config.paging.inject;

	return spec ? source_inject_create(source, *source, spec) : 0;
}

/* The pager owns @source, also on failure. */
static int create_pager(struct vm *vm, struct page_source *source)
{
	const struct vm_paging *paging = &vm->config.paging;
	struct pager_config config = {
		.mode = vm->pager_choice.mode,
		.memory = &vm->machine.memory,
		.source = source,
		.run_pages = paging->run_pages,
		.deadline_ns = paging->deadline_ns,
		.on_error = paging->on_error,
		.failed = on_failed,
		.ctx = vm,
		.prefault_bytes_s = paging->prefault_bytes_s,
		.workingset = paging->workingset,
		.workingset_count = paging->workingset_count,
		.record = paging->record,
		.trace_fd = paging->trace_fd,
	};

	return pager_create(&vm->pager, &config);
}

/* Populates all memory from the plan now, and keeps statistics. */
static int apply_now(struct vm *vm, const struct plan *plan)
{
	struct pager_stats *stats = &vm->eager_stats;
	uint64_t start_ns = clock_now_ns();
	int r = plan_apply(plan, &vm->machine.memory);

	stats->read_ns = clock_now_ns() - start_ns;
	for (size_t i = 0; i < plan->count; i++)
		stats->source_pages +=
			align_up(plan->segments[i].len_bytes, PAGE_BYTES) /
			PAGE_BYTES;
	return r;
}

int vm_memory_from_plan(struct vm *vm, struct plan *plan)
{
	struct memory *memory = &vm->machine.memory;
	struct page_source *source;
	int r;

	if (vm->pager_choice.mode == PAGER_EAGER)
		return apply_now(vm, plan);
	r = source_plan_create(&source, plan, memory);
	if (r >= 0)
		r = inject(vm, &source);
	return r < 0 ? r : create_pager(vm, source);
}

/* Populates all memory now, with the retries and messages of a pager. */
static int fill_now(struct vm *vm, struct page_source *source)
{
	struct pager_config config = {
		.mode = PAGER_EAGER,
		.memory = &vm->machine.memory,
		.source = source,
		.run_pages = PAGER_RUN_PAGES_MAX,
		.deadline_ns = vm->config.paging.deadline_ns,
		.on_error = PAGER_STOP,
		.failed = on_failed,
		.ctx = vm,
		.trace_fd = -1,
	};
	struct pager *pager;
	int r = pager_create(&pager, &config);

	if (r < 0)
		return r;
	r = pager_fill_all(pager);
	pager_stats(pager, &vm->eager_stats);
	pager_destroy(pager);
	return r;
}

int vm_memory_from_snapshot(struct vm *vm)
{
	struct page_source *source;
	int r = 0;

	if (vm->machine.memory.backing == MEMORY_FILE)
		r = vm_mapped_open(vm);
	if (r < 0 || vm->pager_choice.mode == PAGER_MAP)
		return r;
	r = source_snapshot_create(&source, vm->config.snapshot,
				   &vm->mapped.layout);
	if (r >= 0)
		r = inject(vm, &source);
	if (r < 0)
		return r;
	return vm->pager_choice.mode == PAGER_EAGER ? fill_now(vm, source) :
						      create_pager(vm, source);
}

const struct pager_choice *vm_pager_choice(const struct vm *vm)
{
	return &vm->pager_choice;
}

const char *vm_integrity(const struct vm *vm)
{
	const struct snap_file *file = vm->config.snapshot;

	if (!file)
		return NULL;
	if (file->verified || vm->pager_choice.mode == PAGER_EAGER)
		return "all pages were verified before the guest started";
	if (snap_is_fsverity(file))
		return "the host kernel verifies each block (fs-verity)";
	if (vm->pager_choice.mode == PAGER_MAP)
		return "pages are not verified";
	return "each page is verified before a vCPU sees it";
}

size_t vm_workingset(const struct vm *vm, const uint64_t **pages)
{
	if (vm->pager)
		return pager_recorded(vm->pager, pages);
	*pages = vm->mapped.accessed;
	return vm->mapped.accessed_count;
}

void vm_pager_stats(const struct vm *vm, struct pager_stats *stats)
{
	if (vm->pager)
		pager_stats(vm->pager, stats);
	else
		*stats = vm->eager_stats;
}
