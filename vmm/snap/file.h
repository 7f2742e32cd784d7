/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a snapshot directory. All of it is hostile input: every count is
 * bounded before it is used, every length checked against the file that
 * contains it.
 *
 * Opening reads `state` and the runs of `pages`, but only the sizes of `memory`
 * and of the checksums, so the cost depends on the number of runs, not on the
 * size of the guest.
 *
 * Threads: open, close and verify from one thread; everything else from any
 * number of threads, since an open snapshot is immutable.
 *
 * Errors are logged once with the path and the reason: -EBADMSG for corrupt or
 * malformed files, -EPROTONOSUPPORT for a newer version, -ENOEXEC for another
 * architecture, and errors of open(2) and pread(2).
 */
#ifndef VMM_SNAP_FILE_H
#define VMM_SNAP_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/crc32c.h"
#include "vmm/snap/format.h"

struct snap_reader;

/* One section; its bytes are in the snapshot's buffer. */
struct snap_section {
	char tag[SNAP_TAG_BYTES + 1];
	uint32_t version;
	const uint8_t *data;
	size_t len;
};

/* An open snapshot. Callers read the fields; it owns the descriptors. */
struct snap_file {
	char *path;
	int dir_fd, memory_fd, pages_fd;
	/* state */
	uint32_t version; /* of the format */
	char arch[SNAP_ARCH_BYTES + 1];
	uint8_t id[SNAP_ID_BYTES];
	uint64_t created_s; /* Unix time */
	uint64_t memory_bytes, page_count;
	struct snap_range ranges[SNAP_RANGES_MAX];
	unsigned int range_count;
	struct snap_section *sections;
	unsigned int section_count;
	uint8_t *state;
	size_t state_bytes;
	/* pages */
	struct snap_run *runs; /* sorted, at least one page apart */
	uint64_t run_count, present_count;
	uint64_t sums_offset;
	/* Page checksum function: crc32c(), or one set by the caller. */
	crc32c_function *sum;
};

/*
 * Opens the snapshot at @path. @arch: the required architecture, or NULL for
 * any.
 */
int snap_open(struct snap_file *f, const char *path, const char *arch);

/* A zeroed struct, or one that failed to open, is fine. */
void snap_close(struct snap_file *f);

/* The section with tag @tag, or NULL. */
const struct snap_section *snap_find(const struct snap_file *f,
				     const char *tag);

/*
 * Points a reader at the section with tag @tag, whose version must be at most
 * @version; returns the version, 1 or more, or -errno.
 */
int snap_read_section(const struct snap_file *f, const char *tag,
		      uint32_t version, struct snap_reader *r);

/* Logs a malformed section; -EBADMSG. */
int snap_section_bad(const struct snap_file *f, const char *tag);

/*
 * Reads pages of one run and checks them. Silent: -EBADMSG for a corrupt page,
 * -ENODATA if the file was truncated, -EINTR if a signal interrupted a blocked
 * read, and errors of pread(2).
 */
int snap_read_pages(const struct snap_file *f, uint64_t first, uint64_t count,
		    void *to);

/*
 * Checks everything that snap_open() did not: the checksum of each present
 * page, and that absent pages are zeros, as a guest that maps the file sees
 * them. @progress, which may be NULL, gets the number of pages checked, out of
 * present_count.
 */
int snap_verify(const struct snap_file *f,
		void (*progress)(void *ctx, uint64_t done), void *ctx);

/*
 * Opens the regular file @path in the snapshot's directory, with open(2)'s
 * @flags. Returns the descriptor; -EXDEV if ".." or a link leads out of the
 * directory, or if it is not a regular file; -EPERM for one of the snapshot's
 * own files; else -errno, -ENOSYS before Linux 5.6. Silent.
 */
int snap_open_inside(const struct snap_file *f, const char *path, int flags);

/*
 * The working set: pages in the order in which a restored guest first accessed
 * them. Writing replaces the old file atomically; if a newer snapshot has
 * replaced @f, it writes to that one, provided that the memory layout is the
 * same. Reading returns an array that the caller frees; -ENOENT, silent, if
 * there is none.
 */
int snap_workingset_write(const struct snap_file *f, const uint64_t *pages,
			  uint64_t count);
int snap_workingset_read(const struct snap_file *f, uint64_t **pages,
			 uint64_t *count);

#endif
