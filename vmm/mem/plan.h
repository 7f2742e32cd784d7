/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load plan: the initial contents of guest memory. Loaders and table writers
 * add segments (a range of a file, or bytes); memory outside segments is zero.
 * The plan is either applied at once, or becomes the page source of a guest
 * whose memory starts absent, so no loader writes guest memory itself.
 *
 * One thread. Segments do not overlap.
 */
#ifndef VMM_MEM_PLAN_H
#define VMM_MEM_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/memory.h"

/* Starts with the fields of struct page_run. */
struct plan_segment {
	gpa_t gpa;
	uint64_t len_bytes;
	int fd; /* owned; -1: the bytes are in data */
	uint64_t offset; /* in the file */
	uint8_t *data; /* owned; NULL for a file */
	const char *what; /* "kernel", "initrd", "ACPI tables"; not owned */
};

struct plan {
	struct plan_segment *segments; /* sorted by gpa */
	size_t count, room;
};

/* Frees the segments; a zeroed plan is fine. */
void plan_finish(struct plan *plan);

/*
 * Adds a range of a file; the descriptor is duplicated. -ERANGE if it overlaps
 * another segment, or -ENOMEM; logged. An empty range adds nothing.
 */
int plan_add_file(struct plan *plan, const char *what, gpa_t gpa,
		  uint64_t len_bytes, int fd, uint64_t offset);

/* Adds a copy of @len_bytes bytes at @data.  Errors as above. */
int plan_add_bytes(struct plan *plan, const char *what, gpa_t gpa,
		   const void *data, uint64_t len_bytes);

/*
 * Writes all segments to @memory. -EFAULT: outside RAM; -ENODATA: a file was
 * truncated; or an I/O error; logged.
 */
int plan_apply(const struct plan *plan, const struct memory *memory);

/* The first segment that overlaps [gpa, gpa + len), or NULL. */
const struct plan_segment *plan_find(const struct plan *plan, gpa_t gpa,
				     uint64_t len_bytes);

#endif
