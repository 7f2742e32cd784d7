/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy of a disk as of one instant, made while the disk is in use:
 *
 *	disk_copy_begin()	changes are noted from now on
 *	disk_copy_pass()	the first: all contents; others: what has changed
 *	disk_copy_cut()		in a pause without requests: the rest
 *	disk_copy_end()		changes are not noted any more
 *
 * Where the file system can share blocks, the passes sync the disk, and the last step
 * is a clone.
 *
 * One thread, any but those of the disk.  Errors are -errno, logged.
 */
#ifndef VMM_IO_DISK_COPY_H
#define VMM_IO_DISK_COPY_H

#include <stdbool.h>
#include <stdint.h>

struct disk;

struct disk_copy {
	struct disk *disk;
	int fd; /* of the copy; the caller's */
	bool clones; /* the copy shares the blocks of the disk */
	bool begun; /* the first pass was made */
};

/*
 * Called for each piece of at most 1 MiB.  report: before it; -errno, logged, ends the
 * pass.  copied: after it, or NULL.
 */
struct disk_copy_progress {
	int (*report)(void *ctx, uint64_t done_bytes, uint64_t of_bytes);
	void *ctx;
	void (*copied)(void *ctx, uint64_t bytes);
};

/* @fd is an empty file, which gets the size of the disk. */
int disk_copy_begin(struct disk_copy *copy, struct disk *disk, int fd);

int disk_copy_pass(struct disk_copy *copy,
		   const struct disk_copy_progress *progress);

/* What the next pass would copy, at most. */
uint64_t disk_copy_left_bytes(const struct disk_copy *copy);

int disk_copy_cut(struct disk_copy *copy,
		  const struct disk_copy_progress *progress);

/* Ends the copy; @fd has all of it after the cut.  Also after an error. */
void disk_copy_end(struct disk_copy *copy);

#endif
