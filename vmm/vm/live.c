/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving a VM that runs.
 *
 *	before		the disks, if they are copied, while writes to them are noted
 *	pass 0		all of memory, while writes to it are tracked
 *	passes 1 ...	the pages that were written during the one before, until
 *			they are few or do not become fewer; before each, what was
 *			written to the disks
 *	pause		the state of vCPUs and devices, a copy of the pages that were
 *			written last, and what was written to the disks last; where
 *			these pages are many, they are not copied but held (held.h)
 *	afterwards	writes that copy, or what is held, syncs the disks, commits
 *
 * A page that is written while it is saved is written again by the next pass, or
 * from the copy, so that the snapshot is as of the pause.
 *
 * Control thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/zeros.h"
#include "vmm/mem/track.h"
#include "vmm/snap/save.h"
#include "vmm/vm/disk_copies.h"
#include "vmm/vm/held.h"
#include "vmm/vm/private.h"
#include "vmm/vm/snapshot.h"

/* Few enough to be copied in a pause: 4 MiB, in about a millisecond. */
#define FEW_PAGES 1024

#define PASSES_MAX 16

/*
 * Passes that leave more than three quarters of the one before: after so many the
 * passes end, after one where pages can be held.
 */
#define VAIN_PASSES_MAX 3

/* What is copied beyond this is written in the pause instead. */
#define COPY_PAGES_MAX (256 * MIB / PAGE_BYTES)

/* Pages at most between two reports, where a save can be cancelled. */
#define PIECE_PAGES 512

struct live {
	struct vm *vm;
	const struct vm_save_options *options;
	struct snap_save *save;
	bool paused; /* the VM, before and afterwards: there is one pass */
	uint64_t *bits; /* the pages to save, one each; mapped */
	uint64_t *taken; /* all that were written meanwhile; mapped */
	bool lost; /* some that were written are not known */
	uint8_t *copy; /* of the last ones, in order; mapped */
	uint64_t copy_room; /* pages */
	bool copied; /* they are in the copy, and not saved yet */
	struct held held; /* they are held, and not saved yet */
	struct disk_copies disks;
	struct vm_save_live cost;
};

static uint64_t ram_pages(const struct vm *vm)
{
	return vm->machine.memory.size_bytes / PAGE_BYTES;
}

/* A bitmap of the pages of RAM. */
static uint64_t bits_bytes(const struct vm *vm)
{
	return bits_words(ram_pages(vm)) * sizeof(uint64_t);
}

static void live_free(struct live *live)
{
	zeros_unmap(live->bits, bits_bytes(live->vm));
	zeros_unmap(live->taken, bits_bytes(live->vm));
	if (live->copy)
		munmap(live->copy, live->copy_room * PAGE_BYTES);
}

static uint64_t count_bits(const struct live *live)
{
	return track_count(live->bits, bits_words(ram_pages(live->vm)));
}

/* The next pages to save at or after @at; false: none. */
static bool next_piece(const struct live *live, uint64_t at,
		       struct page_run *piece)
{
	return track_run(&live->vm->machine.memory, live->bits, at, PIECE_PAGES,
			 piece);
}

/*
 * Saves the pages of the bits, from memory or from the copy, and clears them.
 * @report: says how many are done; after the first pass all of memory is.
 */
static int save_bits(struct live *live, bool report)
{
	uint64_t of = report ? count_bits(live) : ram_pages(live->vm);
	uint64_t at = 0, done = 0;
	struct page_run piece;
	int r = 0;

	while (r == 0 && next_piece(live, at, &piece)) {
		const uint8_t *from =
			live->copied ?
				live->copy + done * PAGE_BYTES :
				memory_page_hva(&live->vm->machine.memory,
						piece.first);

		r = vm_save_report(live->vm, live->options, report ? done : of,
				   of);
		if (r == 0)
			r = snap_save_pages(live->save, piece.first,
					    piece.count, from);
		at = piece.first + piece.count;
		done += piece.count;
	}
	memset(live->bits, 0, bits_bytes(live->vm));
	return r;
}

/* Copies the pages of the bits, which fit. */
static void copy_bits(struct live *live)
{
	uint64_t at = 0, done = 0;
	struct page_run piece;

	while (next_piece(live, at, &piece)) {
		memcpy(live->copy + done * PAGE_BYTES,
		       memory_page_hva(&live->vm->machine.memory, piece.first),
		       piece.count * PAGE_BYTES);
		at = piece.first + piece.count;
		done += piece.count;
	}
	live->copied = true;
}

static void add_bits(const struct live *live, uint64_t *to,
		     const uint64_t *from)
{
	for (uint64_t i = 0; i < bits_words(ram_pages(live->vm)); i++)
		if (from[i])
			to[i] |= from[i];
}

/* Adds the pages that were written since the last call to the bits. */
static int take(struct live *live)
{
	int r = track_take(&live->vm->machine.memory, live->bits);

	live->lost = live->lost || r < 0;
	add_bits(live, live->taken, live->bits);
	return r;
}

/* All pages, or those written since the base. */
static int save_first_pass(struct live *live)
{
	int r = take(live);

	live->cost.passes = 1;
	if (r < 0)
		return r;
	if (live->options->base) {
		add_bits(live, live->bits, live->vm->since);
		return save_bits(live, true);
	}
	memset(live->bits, 0, bits_bytes(live->vm));
	return vm_save_memory(live->vm, live->save, live->options);
}

/* Whether what is left can be held instead of copied. */
static bool can_hold(struct live *live)
{
	return live->held.on ||
	       held_prepare(&live->held, live->vm, live->save) == 0;
}

/*
 * Passes until there is little left to do in a pause, or it can be held.  The bits are
 * then those of the last one, whose pages are not saved yet.
 */
static int save_passes(struct live *live)
{
	unsigned int vain = 0;
	uint64_t before = UINT64_MAX;
	int r = save_first_pass(live);

	/* The others must be faster than the guest: they are not kept waiting. */
	snap_save_hurry(live->save);
	for (; r == 0 && !live->paused; live->cost.passes++) {
		uint64_t count;

		r = disk_copies_catch_up(&live->disks);
		if (r == 0)
			r = take(live);
		if (r < 0)
			break;
		count = count_bits(live);
		if (count > before - before / 4)
			vain++;
		if (count <= FEW_PAGES || vain == VAIN_PASSES_MAX)
			break;
		if ((vain || live->cost.passes == PASSES_MAX) && can_hold(live))
			break;
		if (live->cost.passes == PASSES_MAX)
			break;
		before = count;
		r = save_bits(live, false);
	}
	return r;
}

/* Room for the copy, with pages present, so that the pause need not wait for them. */
static void make_room(struct live *live)
{
	void *copy;

	live->copy_room =
		min_u64(2 * count_bits(live) + FEW_PAGES, COPY_PAGES_MAX);
	copy = mmap(NULL, live->copy_room * PAGE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE,
		    -1, 0);
	if (copy == MAP_FAILED)
		live->copy_room = 0;
	else
		live->copy = copy;
}

/* What happens in the pause.  KVM writes tables of an ITS to memory, so it is last. */
static int save_paused(struct live *live)
{
	int r = vm_save_state(live->vm, live->save, live->options);

	if (r == 0)
		r = disk_copies_cut(&live->disks);
	if (r == 0)
		r = take(live);
	if (r < 0)
		return r;
	live->cost.paused_pages = count_bits(live);
	if (live->held.on && held_protect(&live->held, live->bits) == 0) {
		live->cost.held_pages = live->cost.paused_pages;
		live->cost.paused_pages = 0;
		return 0;
	}
	if (live->held.on) {
		held_end(&live->held);
		make_room(live);
	}
	if (live->cost.paused_pages > live->copy_room)
		return save_bits(live, false);
	copy_bits(live);
	return 0;
}

/* Saves what the pause has left. */
static int save_rest(struct live *live)
{
	int r;

	if (!live->held.on)
		return save_bits(live, false);
	/* A writer may wait for each page. */
	snap_save_hurry(live->save);
	r = held_save(&live->held, live->options);
	held_end(&live->held);
	live->cost.held_waits = live->held.waits;
	return r;
}

/* The pause; sets @live's cost.  The VM runs afterwards, unless it has ended. */
static int save_cut(struct live *live)
{
	uint64_t since = clock_now_ns();
	int r = vm_pause(live->vm), resumed;

	if (r < 0)
		return r;
	r = save_paused(live);
	resumed = vm_resume(live->vm);
	snap_save_pace(live->save, 0);
	live->cost.pause_ns = clock_now_ns() - since;
	return r < 0 ? r : resumed;
}

/* All of it, between begin and commit. */
static int save_live(struct live *live)
{
	/*
	 * What the loops wrote before they knew of the tracking is complete after
	 * that, and so in the first pass.
	 */
	int r = live->paused ? 0 : vm_devices_sync(live->vm);

	if (r < 0)
		return r;
	live->bits = zeros_map(bits_bytes(live->vm));
	live->taken = zeros_map(bits_bytes(live->vm));
	if (!live->bits || !live->taken)
		return log_errno(ENOMEM, "snapshot");
	if (!live->paused)
		snap_save_pace(live->save, live->options->rate_bytes_s);
	r = disk_copies_begin(&live->disks, live->vm, live->options,
			      live->save);
	if (r == 0)
		r = disk_copies_run(&live->disks);
	if (r == 0)
		r = save_passes(live);
	if (r < 0)
		return r;
	if (live->paused) {
		r = save_paused(live);
	} else {
		if (!live->held.on)
			make_room(live);
		r = save_cut(live);
	}
	if (r == 0)
		r = save_rest(live);
	/* Later writes of the guest do no harm. */
	if (r == 0)
		r = vm_save_sync_disks(live->vm);
	if (r == 0)
		r = snap_save_sync(live->save);
	/* The last chance to cancel. */
	return r == 0 ? vm_save_report(live->vm, live->options,
				       ram_pages(live->vm),
				       ram_pages(live->vm)) :
			r;
}

/* Writes are known since the snapshot with this id; false: there is no memory. */
static bool begin_since(struct vm *vm, const uint8_t id[SNAP_ID_BYTES])
{
	if (!vm->since)
		vm->since = zeros_map(bits_bytes(vm));
	else
		memset(vm->since, 0, bits_bytes(vm));
	memcpy(vm->since_id, id, SNAP_ID_BYTES);
	return vm->since;
}

int vm_track_since(struct vm *vm, const uint8_t id[SNAP_ID_BYTES])
{
	int r = track_start(&vm->machine.memory);

	if (r == -EOPNOTSUPP)
		return log_fail(ENOTSUP,
				"--track: KVM does not track writes to a "
				"guest_memfd; use --memory=anon");
	if (r == 0 && !begin_since(vm, id))
		return log_errno(ENOMEM, "--track");
	return r;
}

void vm_track_finish(struct vm *vm)
{
	zeros_unmap(vm->since, bits_bytes(vm));
	vm->since = NULL;
}

/* A save of memory that is tracked from then on. */
static int save_tracked(struct live *live, const char *path)
{
	struct vm *vm = live->vm;
	uint8_t id[SNAP_ID_BYTES];
	int r = vm_save_open(vm, path, live->options, &live->save);

	if (r < 0)
		return r;
	memcpy(id, snap_save_id(live->save), sizeof(id));
	r = track_start(&vm->machine.memory);
	if (r == 0)
		r = save_live(live);
	held_end(&live->held);
	disk_copies_end(&live->disks);
	if (r == 0)
		r = snap_save_commit(live->save);
	else
		snap_save_abort(live->save);
	if (r == 0)
		begin_since(vm, id);
	else if (live->lost)
		vm_track_finish(vm);
	else if (vm->since && live->taken)
		add_bits(live, vm->since, live->taken);
	live_free(live);
	return r;
}

int vm_save_while_running(struct vm *vm, const char *path,
			  const struct vm_save_options *options,
			  struct vm_save_live *cost)
{
	struct live live = { .vm = vm, .options = options };
	/* The pause would be refused. */
	int r = vm_check_stall(vm);

	if (r == 0)
		r = save_tracked(&live, path);
	*cost = live.cost;
	return r;
}

int vm_save_paused(struct vm *vm, const char *path,
		   const struct vm_save_options *options)
{
	struct live live = { .vm = vm, .options = options, .paused = true };

	return memory_is_tracked(&vm->machine.memory) ?
		       save_tracked(&live, path) :
		       vm_save(vm, path, options);
}
