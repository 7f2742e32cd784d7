/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a snapshot directory.  All of it is hostile: every count is bounded
 * before it is used, every length checked against the file it is in.
 *
 * Opening reads `state` and the runs of `pages`; of `memory` and of the
 * checksums only the sizes are looked at, so the cost is that of the runs and
 * not of the guest's size.
 *
 * Threads: open, close and verify by one; everything else from any number at
 * once, a snapshot does not change.
 *
 * Errors, logged once with the path and the reason: -EBADMSG for what is
 * damaged or makes no sense, -EPROTONOSUPPORT for a newer version, -ENOEXEC for
 * another architecture, and what open(2) and pread(2) say.
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

/* An open snapshot.  Callers read the fields; the descriptors are its own. */
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
	struct snap_run *runs; /* sorted, apart by at least one page */
	uint64_t run_count, present_count;
	uint64_t sums_offset;
	/* How pages are summed: crc32c(), or what the caller has put there. */
	crc32c_function *sum;
};

/*
 * Opens the snapshot at @path.  @arch: the architecture that it must be of, or
 * NULL for any.
 */
int snap_open(struct snap_file *f, const char *path, const char *arch);

/* Closes it; a zeroed struct or one that failed to open is fine. */
void snap_close(struct snap_file *f);

/* The section of that tag, or NULL. */
const struct snap_section *snap_find(const struct snap_file *f,
				     const char *tag);

/*
 * Points a reader at the section of that tag, whose version must be at most
 * @version; the version, 1 or more, or -errno.
 */
int snap_read_section(const struct snap_file *f, const char *tag,
		      uint32_t version, struct snap_reader *r);

/* Logs that a section's fields make no sense; -EBADMSG. */
int snap_section_bad(const struct snap_file *f, const char *tag);

/*
 * Reads pages of one run and checks them.  Silent: -EBADMSG when one of them is
 * damaged, -ENODATA when the file has become shorter, -EINTR when a signal ends
 * a read that waits, and what pread(2) says.
 */
int snap_read_pages(const struct snap_file *f, uint64_t first, uint64_t count,
		    void *to);

/*
 * Checks everything that snap_open() did not: each page that is present, and
 * that the others are zeros, as a guest whose memory maps the file sees them.
 * @progress, which may be NULL, hears of pages done out of present_count.
 */
int snap_verify(const struct snap_file *f,
		void (*progress)(void *ctx, uint64_t done), void *ctx);

/*
 * Opens the regular file @path that is kept in the snapshot's directory, by
 * open(2)'s @flags.  The descriptor; -EXDEV when ".." or a link leads out of
 * the directory, or when it is not a regular file; -EPERM for one of the
 * snapshot's own files; else -errno, -ENOSYS before Linux 5.6.  Silent.
 */
int snap_open_inside(const struct snap_file *f, const char *path, int flags);

/*
 * The working set: pages in the order in which a restored guest first touched
 * them.  Writing replaces what is there at once; where a newer snapshot has
 * taken the place of @f it goes into that, if RAM lies where it did.  Reading
 * gives an array that the caller frees; -ENOENT, silent, where there is none.
 */
int snap_workingset_write(const struct snap_file *f, const uint64_t *pages,
			  uint64_t count);
int snap_workingset_read(const struct snap_file *f, uint64_t **pages,
			 uint64_t *count);

#endif
