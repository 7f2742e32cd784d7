/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies a snapshot with its bases to one that has none. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/sparse.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/save.h"
#include "vmm/snap/section.h"

#define PIECE_PAGES 256

static int copy_sections(const struct snap_file *f, struct snap_save *save)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < f->section_count; i++) {
		const struct snap_section *section = &f->sections[i];
		struct snap_writer w = { 0 };

		/* The commit writes these. */
		if (!strcmp(section->tag, SNAP_BASE_TAG) ||
		    !strcmp(section->tag, SNAP_DISK_TAG))
			continue;
		snap_put_bytes(&w, section->data, section->len);
		r = snap_save_section(save, section->tag, section->version, &w);
		snap_writer_finish(&w);
	}
	return r;
}

/* Copies one run, each page checked. */
static int copy_run(const struct snap_file *f, struct snap_save *save,
		    const struct page_run *run, uint8_t *pages)
{
	uint64_t bad = 0;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < run->count; i += PIECE_PAGES) {
		uint64_t first = run->first + i;
		uint64_t n = min_u64(run->count - i, PIECE_PAGES);

		do
			r = snap_read_pages(f, first, n, pages);
		while (r == -EINTR);
		if (r == -EBADMSG)
			return snap_check_pages(f, first, n, pages, &bad) < 0 ?
				       snap_corrupt(f, bad) :
				       -EBADMSG;
		if (r < 0)
			return log_errno(-r, "%s/%s: read",
					 snap_owner(f, first)->path,
					 SNAP_MEMORY_NAME);
		r = snap_save_pages(save, first, n, pages);
	}
	return r;
}

/* Copies the copies of disks, if there are some. */
static int copy_disks(const struct snap_file *f, struct snap_save *save)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < SNAP_DISKS_MAX; i++) {
		CLEANUP_CLOSE int from = -1;
		uint64_t bytes = f->disk_bytes[i];

		if (!bytes)
			continue;
		from = snap_open_disk(f, i);
		r = from < 0 ? from : snap_save_disk(save, i, bytes);
		if (r < 0)
			return r;
		r = sparse_copy(r, from, bytes);
		if (r < 0)
			log_errno(-r, "%s/" SNAP_DISK_NAME ": copy", f->path,
				  i);
	}
	return r;
}

int snap_flatten(const struct snap_file *f, const char *path, bool fsverity)
{
	CLEANUP_FREE uint8_t *pages = malloc(PIECE_PAGES * SNAP_PAGE_BYTES);
	const struct snap_save_config config = { .path = path,
						 .arch = f->arch,
						 .sum = f->sum,
						 .fsverity = fsverity,
						 .id = f->id,
						 .kept = f->base,
						 .ranges = f->ranges,
						 .range_count =
							 f->range_count };
	struct snap_save *save = NULL;
	int r = pages ? snap_save_begin(&save, &config) :
			log_errno(ENOMEM, "%s", path);

	if (r < 0)
		return r;
	r = copy_sections(f, save);
	for (uint64_t i = 0; r == 0 && i < f->run_count; i++)
		r = copy_run(f, save, &f->runs[i], pages);
	if (r == 0)
		r = copy_disks(f, save);
	if (r == 0)
		return snap_save_commit(save);
	snap_save_abort(save);
	return r;
}
