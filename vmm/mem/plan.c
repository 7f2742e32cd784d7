/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load plan: a sorted array of segments.  One thread.
 */
#include "vmm/mem/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/run.h"

static void segment_finish(struct plan_segment *segment)
{
	if (segment->fd >= 0)
		close(segment->fd);
	free(segment->data);
}

void plan_finish(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		segment_finish(&plan->segments[i]);
	free(plan->segments);
	*plan = (struct plan){ 0 };
}

/* The index of the first segment that ends after @gpa. */
static size_t first_after(const struct plan *plan, gpa_t gpa)
{
	return run_search(plan->segments, plan->count,
			  sizeof(plan->segments[0]), gpa);
}

const struct plan_segment *plan_find(const struct plan *plan, gpa_t gpa,
				     uint64_t len_bytes)
{
	size_t i = first_after(plan, gpa);
	const struct plan_segment *s;

	if (i == plan->count)
		return NULL;
	s = &plan->segments[i];
	return s->gpa < gpa || s->gpa - gpa < len_bytes ? s : NULL;
}

/* Inserts @segment in order; on failure, which is logged, frees it. */
static int insert(struct plan *plan, struct plan_segment segment)
{
	const struct plan_segment *other;
	size_t at;

	if (segment.gpa + segment.len_bytes < segment.gpa) {
		segment_finish(&segment);
		return log_fail(ERANGE,
				"%s: extends past the end of the "
				"address space",
				segment.what);
	}
	other = plan_find(plan, segment.gpa, segment.len_bytes);
	if (other) {
		const char *other_what = other->what;

		segment_finish(&segment);
		return log_fail(ERANGE, "%s at 0x%llx overlaps %s at 0x%llx",
				segment.what, (unsigned long long)segment.gpa,
				other_what, (unsigned long long)other->gpa);
	}
	if (plan->count == plan->room) {
		size_t room = plan->room ? 2 * plan->room : 16;
		void *p = reallocarray(plan->segments, room, sizeof(segment));

		if (!p) {
			segment_finish(&segment);
			return log_errno(ENOMEM, "%s", segment.what);
		}
		plan->segments = p;
		plan->room = room;
	}
	at = first_after(plan, segment.gpa);
	memmove(&plan->segments[at + 1], &plan->segments[at],
		(plan->count - at) * sizeof(segment));
	plan->segments[at] = segment;
	plan->count++;
	return 0;
}

int plan_add_file(struct plan *plan, const char *what, gpa_t gpa,
		  uint64_t len_bytes, int fd, uint64_t offset)
{
	int own;

	if (!len_bytes)
		return 0;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return log_errno(errno, "%s", what);
	return insert(plan, (struct plan_segment){ .gpa = gpa,
						   .len_bytes = len_bytes,
						   .fd = own,
						   .offset = offset,
						   .what = what });
}

int plan_add_bytes(struct plan *plan, const char *what, gpa_t gpa,
		   const void *data, uint64_t len_bytes)
{
	uint8_t *own;

	if (!len_bytes)
		return 0;
	own = malloc(len_bytes);
	if (!own)
		return log_errno(ENOMEM, "%s", what);
	memcpy(own, data, len_bytes);
	return insert(plan, (struct plan_segment){ .gpa = gpa,
						   .len_bytes = len_bytes,
						   .fd = -1,
						   .data = own,
						   .what = what });
}

static int apply_segment(const struct plan_segment *s,
			 const struct memory *memory)
{
	if (s->fd >= 0)
		return memory_load_fd(memory, s->gpa, s->len_bytes, s->fd,
				      s->offset);
	return memory_write(memory, s->gpa, s->data, s->len_bytes);
}

int plan_apply(const struct plan *plan, const struct memory *memory)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_segment *s = &plan->segments[i];
		int r = apply_segment(s, memory);

		if (r == -ENODATA)
			return log_fail(-r, "%s: file was truncated", s->what);
		if (r < 0)
			return log_errno(-r, "load %s at 0x%llx", s->what,
					 (unsigned long long)s->gpa);
	}
	return 0;
}
