/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page source of `run`: the segments of a load plan (ranges of files, bytes
 * of tables), and zeros around them.
 *
 * Read-only after its creation, so reads need no lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/mem/plan.h"
#include "vmm/pager/source.h"

struct source_plan {
	struct page_source source;
	struct plan plan; /* its gpa_t are offsets in RAM here */
};

/* Copies the part of @s within [start, start + len) to its place in @to. */
static int read_segment(const struct plan_segment *s, uint64_t start,
			uint64_t len, uint8_t *to)
{
	uint64_t from = max_u64(s->gpa, start);
	uint64_t end = min_u64(s->gpa + s->len_bytes, start + len);

	if (s->fd >= 0)
		return pread_until_signal(s->fd, to + (from - start),
					  end - from,
					  s->offset + (from - s->gpa));
	memcpy(to + (from - start), s->data + (from - s->gpa), end - from);
	return 0;
}

/* Zeros, overlaid by the segments. */
static int plan_read(struct page_source *source, uint64_t page, uint32_t count,
		     uint8_t *to)
{
	struct source_plan *sp =
		container_of(source, struct source_plan, source);
	uint64_t start = page * PAGE_BYTES, len = count * PAGE_BYTES;
	const struct plan_segment *s = plan_find(&sp->plan, start, len);
	const struct plan_segment *end = sp->plan.segments + sp->plan.count;
	int r = 0;

	memset(to, 0, len);
	for (; r == 0 && s && s < end && s->gpa < start + len; s++)
		r = read_segment(s, start, len, to);
	return r;
}

static const char *plan_describe(struct page_source *source, uint64_t page)
{
	struct source_plan *sp =
		container_of(source, struct source_plan, source);
	const struct plan_segment *s =
		plan_find(&sp->plan, page * PAGE_BYTES, PAGE_BYTES);

	return s ? s->what : "zeros";
}

static void plan_destroy(struct page_source *source)
{
	struct source_plan *sp =
		container_of(source, struct source_plan, source);

	plan_finish(&sp->plan);
	free(source->runs);
	free(sp);
}

static const struct page_source_ops plan_ops = {
	.name = "load plan",
	.read = plan_read,
	.describe = plan_describe,
	.destroy = plan_destroy,
};

/* Turns guest addresses into offsets in RAM. */
static int rebase(struct plan *plan, const struct memory *memory)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct plan_segment *s = &plan->segments[i];
		struct memory_region *region =
			memory_find(memory, s->gpa, s->len_bytes);

		if (!region)
			return log_errno(EFAULT, "load %s at 0x%llx", s->what,
					 (unsigned long long)s->gpa);
		s->gpa = region->offset_bytes + (s->gpa - region->gpa);
	}
	return 0;
}

/* The runs are the pages that segments overlap, joined where they meet. */
static int make_runs(struct source_plan *sp)
{
	struct page_source *source = &sp->source;

	source->runs = calloc(sp->plan.count + 1, sizeof(source->runs[0]));
	if (!source->runs)
		return log_errno(ENOMEM, "page runs");
	for (size_t i = 0; i < sp->plan.count; i++) {
		const struct plan_segment *s = &sp->plan.segments[i];
		uint64_t first = s->gpa / PAGE_BYTES;
		uint64_t end = align_up(s->gpa + s->len_bytes, PAGE_BYTES) /
			       PAGE_BYTES;

		page_source_add_run(source, first, end);
	}
	return 0;
}

int source_plan_create(struct page_source **out, struct plan *plan,
		       const struct memory *memory)
{
	struct source_plan *sp;
	int r = rebase(plan, memory);

	if (r < 0)
		return r;
	sp = calloc(1, sizeof(*sp));
	if (!sp)
		return log_errno(ENOMEM, "page source");
	sp->source.ops = &plan_ops;
	sp->plan = *plan;
	*plan = (struct plan){ 0 };
	r = make_runs(sp);
	if (r < 0) {
		plan_destroy(&sp->source);
		return r;
	}
	*out = &sp->source;
	return 0;
}
