/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writers behind save.h: each writes one of the files `pages` and `state`
 * to a descriptor. For this room only.
 *
 * Threads: snap_index_note() from any number of threads at once, for different
 * pages; everything else from one thread, while no other call is in progress.
 * Silent: 0 or -errno.
 */
#ifndef VMM_SNAP_WRITE_H
#define VMM_SNAP_WRITE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/crc32c.h"
#include "vmm/snap/format.h"
#include "vmm/snap/section.h"

struct snap_file;

/* Which pages of `memory` are present, and their checksums. */
struct snap_index {
	uint64_t page_count;
	uint8_t *present; /* page_count bytes, mapped */
	uint32_t *sums; /* page_count of them, mapped */
	/* With a base: those that are not in the base; mapped. NULL: all are. */
	uint8_t *own;
	crc32c_function *sum;
	_Atomic uint64_t present_count;
};

int snap_index_init(struct snap_index *index, uint64_t page_count,
		    crc32c_function *sum);
void snap_index_finish(struct snap_index *index);

/* Begins with the pages of a base, of the same page count. Logged. */
int snap_index_take_base(struct snap_index *index,
			 const struct snap_file *base);

/* Appends the runs of pages that are not in the base. */
void snap_index_put_own(const struct snap_index *index, struct snap_writer *w);

/*
 * Records the contents of @page at @data, in place of earlier ones; false if they
 * are all zeros.
 */
bool snap_index_note(struct snap_index *index, uint64_t page,
		     const uint8_t *data);

/*
 * Writes `pages`. If there are more than SNAP_RUNS_MAX runs, joins runs by
 * marking zero pages between them present.
 */
int snap_index_write(struct snap_index *index, const uint8_t id[SNAP_ID_BYTES],
		     int fd);

/* The contents of `state`. */
struct snap_state {
	char arch[SNAP_ARCH_BYTES];
	uint8_t id[SNAP_ID_BYTES];
	struct snap_range ranges[SNAP_RANGES_MAX];
	unsigned int range_count;
	uint64_t memory_bytes;
	bool has_base;
	struct snap_writer sections; /* with their headers */
	unsigned int section_count;
	char (*tags)[SNAP_TAG_BYTES]; /* section_count of them; owned */
};

void snap_state_finish(struct snap_state *state);

/*
 * Adds a section; see snap_save_section(). -EEXIST: the tag is in use; -EFBIG
 * or -E2BIG: exceeds the limits of the reader.
 */
int snap_state_add(struct snap_state *state, const char *tag, uint32_t version,
		   const struct snap_writer *w);

/* Writes the header, the ranges and the sections to @fd. */
int snap_state_write(const struct snap_state *state, int fd);

/*
 * disk_list.c: writes the section of the copies of disks, SNAP_DISKS_MAX sizes of which 0
 * is none; false: there is no copy, and nothing is written.
 */
bool snap_disks_put(const uint64_t *disk_bytes, struct snap_writer *w);

#endif
