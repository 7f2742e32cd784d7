/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source of whole granules over one of 4 KiB pages, for hosts with larger
 * pages: its runs are those of the inner source, widened to granules, and pages
 * that the inner source does not hold read as zeros.
 *
 * Read-only after its creation, so reads need no lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/pager/source.h"

struct source_granule {
	struct page_source source;
	struct page_source_ops ops; /* with the name of the inner source */
	struct page_source *inner; /* owned */
};

static struct page_source *inner_of(struct page_source *source)
{
	return container_of(source, struct source_granule, source)->inner;
}

/* Reads what the inner source holds of the pages, with zeros between. */
static int granule_read(struct page_source *source, uint64_t page,
			uint32_t count, uint8_t *to)
{
	struct page_source *inner = inner_of(source);
	const struct page_run *run =
		&inner->runs[page_source_search(inner, page)];
	const struct page_run *runs_end = inner->runs + inner->run_count;
	uint64_t end = page + count;

	for (; page < end; run++) {
		bool any = run < runs_end && run->first < end;
		uint64_t from = any ? max_u64(run->first, page) : end;
		uint64_t until =
			any ? min_u64(run->first + run->count, end) : end;
		int r;

		memset(to, 0, (from - page) * PAGE_BYTES);
		to += (from - page) * PAGE_BYTES;
		r = from == until ?
			    0 :
			    inner->ops->read(inner, from,
					     (uint32_t)(until - from), to);
		if (r < 0)
			return r;
		to += (until - from) * PAGE_BYTES;
		page = until;
	}
	return 0;
}

static void granule_cancel(struct page_source *source)
{
	struct page_source *inner = inner_of(source);

	if (inner->ops->cancel)
		inner->ops->cancel(inner);
}

/* Names what the inner source has there, or next to it. */
static const char *granule_describe(struct page_source *source, uint64_t page)
{
	struct page_source *inner = inner_of(source);
	const struct page_run *run =
		&inner->runs[page_source_search(inner, page)];

	if (run < inner->runs + inner->run_count)
		page = max_u64(page, run->first);
	return inner->ops->describe(inner, page);
}

static void granule_destroy(struct page_source *source)
{
	page_source_destroy(inner_of(source));
	free(source->runs);
	free(container_of(source, struct source_granule, source));
}

static const struct page_source_ops granule_ops = {
	.read = granule_read,
	.cancel = granule_cancel,
	.describe = granule_describe,
	.destroy = granule_destroy,
};

/* Widens the runs of @inner, and joins those that meet. */
static void widen(struct page_source *source, const struct page_source *inner,
		  uint32_t granule_pages)
{
	for (size_t i = 0; i < inner->run_count; i++) {
		const struct page_run *run = &inner->runs[i];
		uint64_t first = align_down(run->first, granule_pages);
		uint64_t end = align_up(run->first + run->count, granule_pages);

		page_source_add_run(source, first, end);
	}
}

int source_granule_create(struct page_source **out, struct page_source *inner,
			  uint32_t granule_pages)
{
	struct source_granule *sg;

	if (granule_pages == 1) {
		*out = inner;
		return 0;
	}
	sg = calloc(1, sizeof(*sg));
	if (sg)
		sg->source.runs = calloc(inner->run_count + 1,
					 sizeof(sg->source.runs[0]));
	if (!sg || !sg->source.runs) {
		free(sg);
		page_source_destroy(inner);
		return log_errno(ENOMEM, "page source");
	}
	sg->ops = granule_ops;
	sg->ops.name = inner->ops->name;
	sg->source.ops = &sg->ops;
	sg->inner = inner;
	widen(&sg->source, inner, granule_pages);
	*out = &sg->source;
	return 0;
}
