/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A snapshot that has a base: its `pages` describe all of memory, but its `memory`
 * has only the pages that changed; the others are in the base's. The section "base"
 * says which are its own, and names the base: a directory beside it, and its id.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/snap/file.h"
#include "vmm/snap/layout.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/section.h"

bool snap_base_name_is_valid(const char *name)
{
	return *name && strlen(name) <= SNAP_BASE_NAME_BYTES &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       !strchr(name, '/');
}

/* Reads the runs of the section. */
static int take_own(struct snap_file *f, struct snap_reader *r)
{
	uint64_t count = snap_get_u64(r), next = 0;

	if (r->error || count > SNAP_RUNS_MAX ||
	    count * SNAP_RUN_BYTES != r->len - r->at)
		return snap_section_bad(f, SNAP_BASE_TAG);
	f->own = calloc(count + 1, sizeof(f->own[0]));
	if (!f->own)
		return log_errno(ENOMEM, "%s", f->path);
	f->own_count = count;
	for (uint64_t i = 0; i < count; i++)
		if (!snap_take_run(f, r->data + r->at + i * SNAP_RUN_BYTES,
				   &f->own[i], &next))
			return snap_section_bad(f, SNAP_BASE_TAG);
	return 0;
}

int snap_base_parse(struct snap_file *f, uint8_t id[SNAP_ID_BYTES])
{
	const uint8_t *name;
	struct snap_reader r;
	size_t len = 0;
	int err;

	if (!snap_find(f, SNAP_BASE_TAG))
		return 0;
	if (f->version < SNAP_VERSION_BASE)
		return snap_section_bad(f, SNAP_BASE_TAG);
	err = snap_read_section(f, SNAP_BASE_TAG, 1, &r);
	if (err < 0)
		return err;
	snap_get_bytes(&r, id, SNAP_ID_BYTES);
	name = snap_get_blob(&r, SNAP_BASE_NAME_BYTES, &len);
	if (!r.error)
		memcpy(f->base_name, name, len);
	if (r.error || strlen(f->base_name) != len ||
	    !snap_base_name_is_valid(f->base_name))
		return snap_section_bad(f, SNAP_BASE_TAG);
	err = take_own(f, &r);
	return err ? err : 1;
}

int snap_base_check(const struct snap_file *f, const uint8_t id[SNAP_ID_BYTES])
{
	const struct snap_file *base = f->base;

	if (!memcmp(base->id, id, SNAP_ID_BYTES) &&
	    snap_ranges_agree(base->ranges, base->range_count, f->ranges,
			      f->range_count))
		return 0;
	return log_fail(ESTALE,
			"%s: its base %s was replaced by another "
			"snapshot",
			f->path, f->base_name);
}

const struct snap_file *snap_owner(const struct snap_file *f, uint64_t page)
{
	return snap_part_at(f, page, page + 1).file;
}

bool snap_is_fsverity(const struct snap_file *f)
{
	while (f && f->fsverity)
		f = f->base;
	return !f;
}

int snap_read_unchecked(const struct snap_file *f, uint64_t first,
			uint64_t count, void *to)
{
	uint8_t *bytes = to;
	struct page_run part;
	int err = 0;

	if (!f->base)
		return pread_until_signal(f->memory_fd, to,
					  count * SNAP_PAGE_BYTES,
					  first * SNAP_PAGE_BYTES);
	for (uint64_t end = first + count; first < end && !err;
	     first = part.first + part.count) {
		uint64_t gap;

		run_next(f->own, f->own_count, first, end, &part);
		gap = part.first - first;
		if (gap)
			err = snap_read_unchecked(f->base, first, gap, bytes);
		bytes += gap * SNAP_PAGE_BYTES;
		if (!err && part.count)
			err = pread_until_signal(f->memory_fd, bytes,
						 part.count * SNAP_PAGE_BYTES,
						 part.first * SNAP_PAGE_BYTES);
		bytes += part.count * SNAP_PAGE_BYTES;
	}
	return err;
}
