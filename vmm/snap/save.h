/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a snapshot directory.
 *
 * All of it is written into a temporary directory beside the target, synced,
 * and put in place by one rename, so that a crash at any moment leaves the
 * snapshot that was there before, or none.  A snapshot that is there already is
 * exchanged with the new one and then removed; any other thing of that name is
 * left alone and refused.  What a saver that was killed left behind is removed
 * by the next save to the same place.
 *
 * Threads: snap_save_pages() from any number of threads at once, for different
 * pages; everything else from one thread, while none is in it.
 *
 * Errors: -errno, logged once, with the path.  After any of them abort.
 */
#ifndef VMM_SNAP_SAVE_H
#define VMM_SNAP_SAVE_H

#include <stdint.h>

#include "vmm/base/crc32c.h"
#include "vmm/snap/format.h"

struct snap_save;
struct snap_writer;

struct snap_save_config {
	const char *path; /* where the snapshot is to be */
	const char *arch; /* arch_name() */
	/*
	 * RAM: page-aligned, at increasing addresses; offsets_bytes follow one
	 * another from 0 on without gaps, and address `memory`.
	 */
	const struct snap_range *ranges;
	unsigned int range_count;
	crc32c_function *sum; /* how pages are summed; NULL: crc32c() */
};

int snap_save_begin(struct snap_save **save,
		    const struct snap_save_config *config);

/*
 * Adds a section.  @tag, 1 to 16 bytes, is unique in a snapshot; @version is
 * the section's own.  A writer with an error is refused with it.
 */
int snap_save_section(struct snap_save *save, const char *tag, uint32_t version,
		      const struct snap_writer *w);

/*
 * Saves @count pages from @first on, which lie at @data; pages of zeros become
 * holes.  Each page once at most; a page that is never saved is zero.
 */
int snap_save_pages(struct snap_save *save, uint64_t first, uint64_t count,
		    const void *data);

/* Syncs all, puts it in place, and frees @save, also on failure. */
int snap_save_commit(struct snap_save *save);

/* Removes what was written and frees.  NULL is fine. */
void snap_save_abort(struct snap_save *save);

#endif
