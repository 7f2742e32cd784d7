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
 * pages, unless it has a pace; everything else from one thread, while no other call is
 * in progress.
 *
 * Errors: -errno, logged once, with the path. After any error, abort.
 */
#ifndef VMM_SNAP_SAVE_H
#define VMM_SNAP_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/crc32c.h"
#include "vmm/snap/format.h"

struct snap_file;
struct snap_save;
struct snap_writer;

struct snap_save_config {
	/* The target directory; -EMLINK for one that is the base of another. */
	const char *path;
	const char *arch; /* arch_name() */
	/*
	 * RAM: page-aligned, at increasing addresses; the offset_bytes are
	 * contiguous from 0 and address `memory`.
	 */
	const struct snap_range *ranges;
	unsigned int range_count;
	crc32c_function *sum; /* page checksum function; NULL: crc32c() */
	/*
	 * Begin with the pages of this snapshot, which is in the same directory
	 * under the name @base_name, and has the same ranges; NULL: with zeros.
	 * It moves into the save, also on failure. -ELOOP: the chain would be
	 * longer than SNAP_CHAIN_MAX.
	 */
	struct snap_file *base;
	const char *base_name;
	/* A snapshot that must not be replaced, nor its bases; NULL: none. */
	const struct snap_file *kept;
	const uint8_t *id; /* of the new one; NULL: a random one */
	/*
	 * Enable fs-verity for `memory`; -ENOTTY, from snap_save_begin() where
	 * it can be found there: not supported.
	 */
	bool fsverity;
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
 * Adds a copy of disk @n, of @bytes, a multiple of 512: the descriptor of an empty
 * file, which is the save's.  What is in it at the commit is the copy; once per disk.
 */
int snap_save_disk(struct snap_save *save, unsigned int n, uint64_t bytes);

/*
 * A guest runs from now on: what is written is at most @bytes_s a second, 0: without a
 * limit, and the kernel soon writes it to the disk, so that there is never much that it
 * could not drop before other pages of its cache.  Until then, and from
 * snap_save_hurry() on, no call waits and the kernel decides.
 */
void snap_save_pace(struct snap_save *save, uint64_t bytes_s);
void snap_save_hurry(struct snap_save *save);

/* Bytes of a disk were copied, for the limit and the writing of snap_save_pace(). */
void snap_save_spend(struct snap_save *save, uint64_t bytes);

/* The new snapshot's id, of SNAP_ID_BYTES. */
const uint8_t *snap_save_id(const struct snap_save *save);

/*
 * Saves @count pages from @first on, whose contents are at @data; zero pages
 * become holes, and a page that is not saved is zero, or that of the base. A page
 * that is saved again replaces what was saved, so contents that change during a
 * call are fine if another one follows.
 */
int snap_save_pages(struct snap_save *save, uint64_t first, uint64_t count,
		    const void *data);

/*
 * Syncs the pages that were saved and the copies of disks, which takes longest; none is
 * written after that.  Optional.
 */
int snap_save_sync(struct snap_save *save);

/*
 * Syncs all files, moves the snapshot into place, and frees @save, also on
 * failure.
 */
int snap_save_commit(struct snap_save *save);

/*
 * Saves what @f and its bases contain, each page checked, to a snapshot at @path
 * without a base, with the copies of disks that @f itself has. -EBADMSG: a page is
 * corrupt, or a copy of a disk has another size; else as above.
 */
int snap_flatten(const struct snap_file *f, const char *path, bool fsverity);

/* Removes the staging directory and frees. NULL is fine. */
void snap_save_abort(struct snap_save *save);

#endif
