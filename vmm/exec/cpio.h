/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing of a cpio archive in the "newc" format
 * (Documentation/driver-api/early-userspace/buffer-format.rst), which Linux
 * unpacks into its initramfs. Owner 0, time 0 and inode numbers in sequence: the
 * same calls give the same bytes. One thread.
 */
#ifndef VMM_EXEC_CPIO_H
#define VMM_EXEC_CPIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * An archive in the making. A failed write is kept in @err: later calls do
 * nothing, and cpio_end() returns it.
 */
struct cpio {
	int fd; /* the caller's; written from its offset */
	uint32_t entries;
	uint64_t written_bytes;
	int err; /* -errno, logged */
};

/* Names are relative paths; a directory comes before what it contains. */
void cpio_dir(struct cpio *cpio, const char *name, mode_t mode);
void cpio_node(struct cpio *cpio, const char *name, mode_t mode, dev_t device);
void cpio_file(struct cpio *cpio, const char *name, mode_t mode,
	       const void *data, size_t len);

/* Copies @len bytes from the start of @fd; -ENODATA if it has fewer. */
void cpio_file_fd(struct cpio *cpio, const char *name, mode_t mode, int fd,
		  uint64_t len);

/* Writes the trailer; 0 or the first error, logged. */
int cpio_end(struct cpio *cpio);

#endif
