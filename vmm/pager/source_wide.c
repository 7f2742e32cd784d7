/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source in the units of guest memory over one of runs of any pages: whole
 * granules, for hosts with larger pages; whole mappings, where memory is mapped
 * from the source's files.  Pages in them that the inner source does not hold are
 * zero.
 *
 * Read-only after its creation, so reads need no lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/mem/memory.h"
#include "vmm/pager/source.h"

struct source_wide {
	struct page_source source;
	struct page_source_ops ops; /* with the name of the inner source */
	struct page_source *inner; /* owned */
};

static struct page_source *inner_of(struct page_source *source)
{
	return container_of(source, struct source_wide, source)->inner;
}

/* Reads what the inner source holds of the pages, with zeros between. */
static int wide_read(struct page_source *source, uint64_t page, uint32_t count,
		     uint8_t *to)
{
	struct page_source *inner = inner_of(source);
	uint64_t end = page + count;
	int r = 0;

	while (r == 0 && page < end) {
		struct page_run part;
		uint64_t gap;

		run_next(inner->runs, inner->run_count, page, end, &part);
		gap = part.first - page;
		memset(to, 0, gap * PAGE_BYTES);
		to += gap * PAGE_BYTES;
		if (part.count)
			r = inner->ops->read(inner, part.first,
					     (uint32_t)part.count, to);
		to += part.count * PAGE_BYTES;
		page = part.first + part.count;
	}
	return r;
}

/* The inner source knows which of the pages are to be zero. */
static int wide_check(struct page_source *source, uint64_t page, uint32_t count,
		      const uint8_t *at)
{
	struct page_source *inner = inner_of(source);

	return inner->ops->check(inner, page, count, at);
}

static void wide_cancel(struct page_source *source)
{
	struct page_source *inner = inner_of(source);

	if (inner->ops->cancel)
		inner->ops->cancel(inner);
}

/* Names what the inner source has there, or next to it. */
static const char *wide_describe(struct page_source *source, uint64_t page)
{
	struct page_source *inner = inner_of(source);
	const struct page_run *run =
		&inner->runs[page_source_search(inner, page)];

	if (run < inner->runs + inner->run_count)
		page = max_u64(page, run->first);
	return inner->ops->describe(inner, page);
}

static void wide_destroy(struct page_source *source)
{
	page_source_destroy(inner_of(source));
	free(source->runs);
	free(container_of(source, struct source_wide, source));
}

static const struct page_source_ops wide_ops = {
	.read = wide_read,
	.check = wide_check,
	.cancel = wide_cancel,
	.describe = wide_describe,
	.destroy = wide_destroy,
};

/* The runs of @source: those of @inner, widened.  -ENOMEM. */
static int widen(struct page_source *source, const struct page_source *inner,
		 const struct memory *memory)
{
	bool mapped = memory->backing == MEMORY_FILE;
	size_t n = mapped ? memory->file_run_count : inner->run_count;

	source->runs = calloc(n + 1, sizeof(source->runs[0]));
	if (!source->runs)
		return -ENOMEM;
	source->run_count = n;
	if (mapped)
		memcpy(source->runs, memory->file_runs,
		       n * sizeof(source->runs[0]));
	else
		source->run_count =
			run_join(inner->runs, n, memory->granule_pages, 0,
				 SIZE_MAX, source->runs);
	return 0;
}

int source_wide_create(struct page_source **out, struct page_source *inner,
		       const struct memory *memory)
{
	struct source_wide *sw;

	if (memory->granule_pages == 1 && memory->backing != MEMORY_FILE) {
		*out = inner;
		return 0;
	}
	sw = calloc(1, sizeof(*sw));
	if (!sw || widen(&sw->source, inner, memory) < 0) {
		free(sw);
		page_source_destroy(inner);
		return log_errno(ENOMEM, "page source");
	}
	sw->ops = wide_ops;
	sw->ops.name = inner->ops->name;
	sw->source.ops = &sw->ops;
	sw->inner = inner;
	*out = &sw->source;
	return 0;
}
