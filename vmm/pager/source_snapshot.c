/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page source of `restore`.  A corrupt page is a failed read, so the guest
 * never sees it.
 *
 * Read-only after its creation, so reads need no lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/pager/source.h"
#include "vmm/snap/file.h"

struct source_snapshot {
	struct page_source source;
	const struct snap_file *file;
	const struct snap_layout *layout;
};

static int snapshot_read(struct page_source *source, uint64_t page,
			 uint32_t count, uint8_t *to)
{
	const struct source_snapshot *ss =
		container_of(source, struct source_snapshot, source);

	return snap_read_pages(ss->file, page, count, to);
}

static int snapshot_check(struct page_source *source, uint64_t page,
			  uint32_t count, const uint8_t *at)
{
	const struct source_snapshot *ss =
		container_of(source, struct source_snapshot, source);

	return snap_check_mapped(ss->file, ss->layout, page, count, at);
}

static const char *snapshot_describe(struct page_source *source, uint64_t page)
{
	const struct source_snapshot *ss =
		container_of(source, struct source_snapshot, source);

	return snap_owner(ss->file, page)->path;
}

static void snapshot_destroy(struct page_source *source)
{
	free(source->runs);
	free(container_of(source, struct source_snapshot, source));
}

static const struct page_source_ops snapshot_ops = {
	.name = "snapshot",
	.read = snapshot_read,
	.check = snapshot_check,
	.describe = snapshot_describe,
	.destroy = snapshot_destroy,
};

int source_snapshot_create(struct page_source **out,
			   const struct snap_file *file,
			   const struct snap_layout *layout)
{
	struct source_snapshot *ss = calloc(1, sizeof(*ss));
	struct page_run *runs = calloc(file->run_count + 1, sizeof(*runs));

	if (!ss || !runs) {
		free(ss);
		free(runs);
		return log_errno(ENOMEM, "%s", file->path);
	}
	memcpy(runs, file->runs, file->run_count * sizeof(*runs));
	*ss = (struct source_snapshot){
		.source = { .ops = &snapshot_ops,
			    .runs = runs,
			    .run_count = file->run_count },
		.file = file,
		.layout = layout,
	};
	*out = &ss->source;
	return 0;
}
