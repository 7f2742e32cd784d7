/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a snapshot directory. All of it is hostile input: every count is
 * bounded before it is used, every length checked against the file that
 * contains it.
 *
 * A snapshot may have a base, another snapshot in the same directory, whose pages
 * it does not repeat. Opening it opens the base, too, and so on.
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
#include <sys/types.h>

#include "vmm/base/crc32c.h"
#include "vmm/base/run.h"
#include "vmm/snap/format.h"

struct snap_layout;
struct snap_reader;
struct stat;

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
	dev_t dir_dev; /* what dir_fd is */
	ino_t dir_ino;
	bool fsverity; /* `memory` has it: a corrupt block is -EIO, or SIGBUS */
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
	/*
	 * The base; owned; NULL: none. @own are the runs of pages that are in
	 * `memory` and not in the base. A base has these fields, path, id, the
	 * directory's identity, memory_bytes, fsverity and memory_fd only.
	 */
	struct snap_file *base;
	char base_name[SNAP_BASE_NAME_BYTES + 1];
	struct page_run *own;
	uint64_t own_count;
	/* The size of the copy of each disk; 0: the snapshot has none of it. */
	uint64_t disk_bytes[SNAP_DISKS_MAX];
	/* pages */
	struct page_run *runs; /* of present pages; sorted, not adjacent */
	uint64_t run_count, present_count;
	uint64_t sums_offset;
	bool verified; /* the caller's: snap_verify() found no error */
	/* Page checksum function: crc32c(), or one set by the caller. */
	crc32c_function *sum;
};

/*
 * Opens the snapshot at @path. @arch: the required architecture, or NULL for
 * any. -ESTALE: its base is another one; -ELOOP: the chain is too
 * long, or a snapshot in it is its own base.
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
 * Checks pages that are mapped privately at @at by @layout, which is of @f, in the
 * mapping. Those of no run must be zeros. A page of the mapping that differs is
 * right if it is right in the file that it is mapped from: KVM itself has written
 * to it. Silent; errors as snap_read_pages().
 */
int snap_check_mapped(const struct snap_file *f,
		      const struct snap_layout *layout, uint64_t first,
		      uint64_t count, const void *at);

/* Of @f and its bases, the one whose `memory` has @page; never NULL. */
const struct snap_file *snap_owner(const struct snap_file *f, uint64_t page);

/* Whether fs-verity is enabled for all of the memory, that of the bases included. */
bool snap_is_fsverity(const struct snap_file *f);

/* Whether @name can be that of a base: a directory beside the snapshot. */
bool snap_base_name_is_valid(const char *name);

/*
 * Checks everything that snap_open() did not: the checksum of each present
 * page, and that absent pages are zeros, as a guest that maps the file sees
 * them. Uses the processors that the calling thread may run on, up to 16. The
 * error is that of the lowest guest address with one, in any order of the
 * threads: -EBADMSG for a corrupt page or a truncated file, errors of pread(2).
 * @progress, which may be NULL, is called by the calling thread with the number
 * of present pages checked, which never decreases, up to present_count.
 */
int snap_verify(const struct snap_file *f,
		void (*progress)(void *ctx, uint64_t done), void *ctx);

/* Whether @st is the copy of a disk in the snapshot, whatever path led to it. */
bool snap_is_disk(const struct snap_file *f, const struct stat *st);

/*
 * Opens the regular file @path in the snapshot's directory, with open(2)'s
 * @flags. Returns the descriptor; -EXDEV if ".." or a link leads out of the
 * directory, or if it is not a regular file; -EPERM for one of the snapshot's
 * own files; else -errno, -ENOSYS before Linux 5.6. Silent.
 */
int snap_open_inside(const struct snap_file *f, const char *path, int flags);

/*
 * Opens the copy of disk @n, for reading, and checks its size.  The descriptor; -ENOENT
 * if the file is missing, -EBADMSG if it is not a regular file or has another size.
 */
int snap_open_disk(const struct snap_file *f, unsigned int n);

/* Checks that all copies of disks can be opened. */
int snap_check_disks(const struct snap_file *f);

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
