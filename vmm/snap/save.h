/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a snapshot directory. All files are written to a staging directory
 * beside the target, synced, and moved into place by one rename, so a crash at
 * any time leaves the old snapshot, the new one, or none. An existing snapshot
 * is exchanged with the new one and then removed; anything else at the target is
 * refused and not changed. The next save to the same place removes the staging
 * directory of a killed saver.
 *
 * Threads: snap_save_pages() from any number of threads at once, for different
 * pages; everything else from one thread, while no other call is in progress.
 *
 * Errors: -errno, logged once, with the path. After any error, abort.
 */
#ifndef VMM_SNAP_SAVE_H
#define VMM_SNAP_SAVE_H

#include <stdint.h>

#include "vmm/base/crc32c.h"
#include "vmm/snap/format.h"

struct snap_save;
struct snap_writer;

struct snap_save_config {
	const char *path; /* the target directory */
	const char *arch; /* arch_name() */
	/*
	 * RAM: page-aligned, at increasing addresses; the offset_bytes are
	 * contiguous from 0 and address `memory`.
	 */
	const struct snap_range *ranges;
	unsigned int range_count;
	crc32c_function *sum; /* page checksum function; NULL: crc32c() */
};

int snap_save_begin(struct snap_save **save,
		    const struct snap_save_config *config);

/*
 * Adds a section. @tag, 1 to 16 bytes, is unique in a snapshot; @version is the
 * version of the section. Returns the error of the writer, if it has one.
 */
int snap_save_section(struct snap_save *save, const char *tag, uint32_t version,
		      const struct snap_writer *w);

/*
 * Saves @count pages from @first on, whose contents are at @data; zero pages
 * become holes. Save each page at most once; a page that is not saved is zero.
 */
int snap_save_pages(struct snap_save *save, uint64_t first, uint64_t count,
		    const void *data);

/*
 * Syncs all files, moves the snapshot into place, and frees @save, also on
 * failure.
 */
int snap_save_commit(struct snap_save *save);

/* Removes the staging directory and frees. NULL is fine. */
void snap_save_abort(struct snap_save *save);

#endif
