// SPDX-License-Identifier: BSD-2-Clause
/* See the header; disk_changes.c says why no change is lost. */
#include "vmm/io/disk_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/sparse.h"
#include "vmm/io/disk.h"

#define PIECE_BYTES SPARSE_PIECE_BYTES
#define WORD_BLOCKS 64 /* of disk_changes_take() */

/* O_DIRECT accepts it. */
#define BUFFER_ALIGN 4096

/* One pass over a disk. */
struct pass {
	struct disk_copy *copy;
	const struct disk_copy_progress *progress;
	bool fresh; /* what it writes to is a hole */
	uint8_t *buffer; /* PIECE_BYTES */
	uint64_t done, of; /* bytes, for the progress */
};

static int cannot_write(const struct disk_copy *copy, int err)
{
	return log_errno(-err, "snapshot: copy of disk %s", copy->disk->path);
}

/* Copies a range, in pieces. */
static int copy_range(struct pass *pass, uint64_t at, uint64_t end)
{
	struct disk_copy *copy = pass->copy;

	while (at < end) {
		uint64_t n = min_u64(end - at, PIECE_BYTES);
		int r = pass->progress->report(pass->progress->ctx,
					       min_u64(pass->done, pass->of),
					       pass->of);

		if (r < 0)
			return r;
		r = disk_peek(copy->disk, pass->buffer, n, at);
		if (r < 0)
			return log_errno(-r, "snapshot: read disk %s",
					 copy->disk->path);
		r = sparse_write(copy->fd, pass->buffer, n, at, pass->fresh);
		if (r < 0)
			return cannot_write(copy, r);
		if (pass->progress->copied)
			pass->progress->copied(pass->progress->ctx, n);
		at += n;
		pass->done += n;
	}
	return 0;
}

/* All that is not a hole. */
static int copy_all(struct pass *pass)
{
	struct disk *disk = pass->copy->disk;
	uint64_t at = 0, start;
	int r = 0;

	pass->fresh = true;
	pass->of = disk->size_bytes;
	while (r == 0 && disk_next_data(disk, at, &start, &at)) {
		/* Whole blocks of any host. */
		start = align_down(start, DISK_CHANGE_BYTES);
		at = min_u64(align_up(at, DISK_CHANGE_BYTES), disk->size_bytes);
		pass->done = start;
		r = copy_range(pass, start, at);
	}
	return r;
}

/* The blocks of one word, as many at a time as follow each other. */
static int copy_word(struct pass *pass, uint64_t word, uint64_t n)
{
	uint64_t size = pass->copy->disk->size_bytes;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < WORD_BLOCKS; i++) {
		uint64_t at = (n * WORD_BLOCKS + i) * DISK_CHANGE_BYTES;

		while (i < WORD_BLOCKS && word >> i & 1)
			i++;
		r = copy_range(pass, at,
			       min_u64((n * WORD_BLOCKS + i) *
					       DISK_CHANGE_BYTES,
				       size));
	}
	return r;
}

/* What has changed since the last pass. */
static int copy_changed(struct pass *pass)
{
	struct disk_copy *copy = pass->copy;
	struct disk_changes *changes = &copy->disk->changes;
	int r = 0;

	pass->of = disk_copy_left_bytes(copy);
	for (uint64_t i = 0; r == 0 && i < changes->words; i++) {
		uint64_t word = disk_changes_take(changes, i);

		if (word)
			r = copy_word(pass, word, i);
	}
	return r;
}

/* Tries a clone, which the cut replaces. */
static int try_clone(struct disk_copy *copy)
{
	struct disk *disk = copy->disk;

	copy->clones = !disk->overlay &&
		       sparse_clone(copy->fd, disk->fd, disk->size_bytes) == 0;
	if (copy->clones)
		return 0;
	/* Nothing may be left of one that failed. */
	return ftruncate(copy->fd, 0) < 0 ? cannot_write(copy, -errno) : 0;
}

/* A clone waits until the disk is written: that need not be in the pause. */
static int sync_disk(const struct disk_copy *copy)
{
	int r = disk_sync(copy->disk);

	return r < 0 ? log_errno(-r, "snapshot: sync disk %s",
				 copy->disk->path) :
		       0;
}

int disk_copy_begin(struct disk_copy *copy, struct disk *disk, int fd)
{
	int r;

	*copy = (struct disk_copy){ .disk = disk, .fd = fd };
	/* Otherwise the file system does it, and has the guest's requests wait. */
	r = sync_disk(copy);
	if (r == 0)
		r = try_clone(copy);
	if (r < 0 || copy->clones)
		return r;
	if (ftruncate(fd, (off_t)disk->size_bytes) < 0)
		return cannot_write(copy, -errno);
	r = disk_changes_start(&disk->changes, disk->size_bytes);
	return r < 0 ? cannot_write(copy, r) : 0;
}

int disk_copy_pass(struct disk_copy *copy,
		   const struct disk_copy_progress *progress)
{
	CLEANUP_FREE uint8_t *buffer = NULL;
	struct pass pass = { .copy = copy, .progress = progress };
	bool first = !copy->begun;

	if (copy->clones)
		return sync_disk(copy);
	buffer = aligned_alloc(BUFFER_ALIGN, PIECE_BYTES);
	if (!buffer)
		return cannot_write(copy, -ENOMEM);
	pass.buffer = buffer;
	copy->begun = true;
	return first ? copy_all(&pass) : copy_changed(&pass);
}

uint64_t disk_copy_left_bytes(const struct disk_copy *copy)
{
	if (copy->clones)
		return 0;
	return copy->begun ? disk_changes_count(&copy->disk->changes) *
				     DISK_CHANGE_BYTES :
			     copy->disk->size_bytes;
}

int disk_copy_cut(struct disk_copy *copy,
		  const struct disk_copy_progress *progress)
{
	struct disk *disk = copy->disk;
	int r;

	if (!copy->clones)
		return disk_copy_pass(copy, progress);
	r = sparse_clone(copy->fd, disk->fd, disk->size_bytes);
	return r < 0 ? cannot_write(copy, r) : 0;
}

void disk_copy_end(struct disk_copy *copy)
{
	if (copy->disk)
		disk_changes_stop(&copy->disk->changes);
}
