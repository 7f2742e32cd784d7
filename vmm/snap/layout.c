/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of mappings: the present pages by the file that holds them, and parts that
 * are close to each other joined into one, because each is a host mapping, which takes
 * time to create.
 *
 * What a joined part has between its pages must be zero. A snapshot without a base has
 * zeros there. With a base, a file may have anything in the place of a page that is not
 * its own, or that was zeroed later; there, a hole of the file is known to be zero.
 *
 * One thread creates a layout; see layout.h.
 */
#include "vmm/snap/layout.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/run.h"
#include "vmm/snap/file.h"

/* Parts at most this far apart are joined; where there are many, up to the second. */
#define GAP_PAGES     16
#define GAP_PAGES_MAX 1024
#define MANY_PARTS    4096

/* A chain of which the first joining leaves more is refused, to bound its cost. */
#define PARTS_AT_FIRST (64 * (size_t)SNAP_PARTS_MAX)

#define STRING_OF(x)  #x
#define STRING(macro) STRING_OF(macro)

static const char too_many[] =
	"the snapshot with its bases needs more than " STRING(
		SNAP_PARTS_MAX) " mappings; use thaw snapshot --flatten";
static const char shared_page[] =
	"a host page contains pages of several snapshots; use thaw snapshot "
	"--flatten";

static uint64_t part_end(const struct snap_part *part)
{
	return part->first + part->count;
}

struct snap_part snap_part_at(const struct snap_file *f, uint64_t first,
			      uint64_t end)
{
	struct page_run own;

	for (; f->base; f = f->base) {
		run_next(f->own, f->own_count, first, end, &own);
		if (own.count && own.first == first)
			return (struct snap_part){ first, own.count, f };
		end = own.first;
	}
	return (struct snap_part){ first, end - first, f };
}

/* Whether pages [first, end) of the file are a hole, and with it zero. */
static bool is_hole(const struct snap_file *f, uint64_t first, uint64_t end)
{
	off_t at;

	if (first >= end)
		return true;
	at = lseek(f->memory_fd, (off_t)(first * SNAP_PAGE_BYTES), SEEK_DATA);
	return at < 0 ? errno == ENXIO : at >= (off_t)(end * SNAP_PAGE_BYTES);
}

/* Joins @part to the one before it, of the same file and at most @gap pages away. */
static bool join(struct snap_part *last, const struct snap_part *part,
		 uint64_t gap)
{
	if (last->file != part->file || part->first - part_end(last) > gap ||
	    !is_hole(part->file, part_end(last), part->first))
		return false;
	last->count = part_end(part) - last->first;
	return true;
}

/* Appends a part; *@room: how many fit. -ENOMEM, or -ENOTSUP: too many. */
static int add_part(struct snap_layout *layout, size_t *room,
		    const struct snap_part *part)
{
	size_t n = layout->part_count;

	if (n && join(&layout->parts[n - 1], part, GAP_PAGES))
		return 0;
	if (n == PARTS_AT_FIRST)
		return -ENOTSUP;
	if (n == *room) {
		size_t more = *room ? 2 * *room : 64;
		void *parts = reallocarray(layout->parts, more,
					   sizeof(layout->parts[0]));

		if (!parts)
			return -ENOMEM;
		layout->parts = parts;
		*room = more;
	}
	layout->parts[layout->part_count++] = *part;
	return 0;
}

/* Divides the present pages of @f by the file that holds them. */
static int split(struct snap_layout *layout, const struct snap_file *f)
{
	size_t room = 0;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < f->run_count; i++) {
		uint64_t at = f->runs[i].first, end = at + f->runs[i].count;

		while (r == 0 && at < end) {
			struct snap_part part = snap_part_at(f, at, end);

			r = add_part(layout, &room, &part);
			at = part_end(&part);
		}
	}
	return r;
}

/* Joins what is at most @gap pages apart. */
static void join_all(struct snap_layout *layout, uint64_t gap)
{
	size_t count = 0;

	for (size_t i = 0; i < layout->part_count; i++) {
		struct snap_part part = layout->parts[i];

		if (!count || !join(&layout->parts[count - 1], &part, gap))
			layout->parts[count++] = part;
	}
	layout->part_count = count;
}

/* Widens the parts to whole host pages; false: one has pages of several files. */
static bool widen(struct snap_layout *layout, uint32_t granule_pages)
{
	uint64_t before = 0;

	for (size_t i = 0; i < layout->part_count; i++) {
		struct snap_part *part = &layout->parts[i];
		uint64_t first = align_down(part->first, granule_pages);
		uint64_t end = align_up(part_end(part), granule_pages);

		if (first < before ||
		    !is_hole(part->file, first, part->first) ||
		    !is_hole(part->file, part_end(part), end))
			return false;
		part->first = first;
		part->count = end - first;
		before = end;
	}
	return true;
}

/* Lays out a snapshot that has a base. */
static int lay_out_chain(struct snap_layout *layout, const struct snap_file *f,
			 uint32_t granule_pages, const char **why)
{
	int r = split(layout, f);

	for (uint64_t gap = 2 * GAP_PAGES;
	     r == 0 && layout->part_count > MANY_PARTS && gap <= GAP_PAGES_MAX;
	     gap *= 2)
		join_all(layout, gap);
	if (r == 0 && layout->part_count > SNAP_PARTS_MAX)
		r = -ENOTSUP;
	if (r < 0) {
		*why = too_many;
		return r;
	}
	if (!widen(layout, granule_pages)) {
		*why = shared_page;
		return -ENOTSUP;
	}
	return 0;
}

/* Lays out a snapshot that has none. */
static int lay_out_one(struct snap_layout *layout, const struct snap_file *f,
		       uint32_t granule_pages)
{
	CLEANUP_FREE struct page_run *runs =
		calloc(f->run_count + 1, sizeof(runs[0]));
	size_t n;

	if (!runs)
		return -ENOMEM;
	n = run_join(f->runs, f->run_count, granule_pages, GAP_PAGES,
		     MANY_PARTS, runs);
	layout->parts = calloc(n + 1, sizeof(layout->parts[0]));
	if (!layout->parts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		layout->parts[i] =
			(struct snap_part){ runs[i].first, runs[i].count, f };
	layout->part_count = n;
	return 0;
}

/* Whether a part is of this file. */
static bool has_part_of(const struct snap_layout *layout,
			const struct snap_file *f)
{
	for (size_t i = 0; i < layout->part_count; i++)
		if (layout->parts[i].file == f)
			return true;
	return false;
}

int snap_layout_create(struct snap_layout *layout, const struct snap_file *f,
		       uint32_t granule_pages, const char **why)
{
	int r;

	*layout = (struct snap_layout){ .parts = NULL };
	r = f->base ? lay_out_chain(layout, f, granule_pages, why) :
		      lay_out_one(layout, f, granule_pages);
	if (r < 0) {
		snap_layout_finish(layout);
		return r == -ENOMEM ? log_errno(ENOMEM, "%s", f->path) : r;
	}
	for (; f && layout->file_count < SNAP_CHAIN_MAX; f = f->base)
		if (has_part_of(layout, f))
			layout->files[layout->file_count++] = f;
	return 0;
}

void snap_layout_finish(struct snap_layout *layout)
{
	free(layout->parts);
	*layout = (struct snap_layout){ .parts = NULL };
}

size_t snap_layout_search(const struct snap_layout *layout, uint64_t page)
{
	return run_search(layout->parts, layout->part_count,
			  sizeof(layout->parts[0]), page);
}

const struct snap_file *snap_layout_file(const struct snap_layout *layout,
					 uint64_t page)
{
	size_t i = snap_layout_search(layout, page);

	return i < layout->part_count && layout->parts[i].first <= page ?
		       layout->parts[i].file :
		       NULL;
}
