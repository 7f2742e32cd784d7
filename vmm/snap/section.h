/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fields of a snapshot section, little-endian: the interface of the devices'
 * save and load callbacks. Independent of devices and files.
 *
 * A writer grows as needed. A reader covers a byte range of the caller's; the
 * first short or malformed field makes it fail, later reads return zeros, and
 * snap_reader_error() reports it, so a load callback reads all fields and
 * checks once. The input is hostile: bound every count.
 */
#ifndef VMM_SNAP_SECTION_H
#define VMM_SNAP_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snap_writer {
	uint8_t *data; /* owned */
	size_t len, room;
	int error; /* 0, -ENOMEM, or -errno of the section's owner; sticky */
	/* Files that a restore cannot find are saved as stale, see fs_save(). */
	bool accept_stale;
};

void snap_writer_finish(struct snap_writer *w);
void snap_put_u8(struct snap_writer *w, uint8_t v);
void snap_put_u16(struct snap_writer *w, uint16_t v);
void snap_put_u32(struct snap_writer *w, uint32_t v);
void snap_put_u64(struct snap_writer *w, uint64_t v);
void snap_put_bytes(struct snap_writer *w, const void *p, size_t len);
/* A u32 length and the bytes. */
void snap_put_blob(struct snap_writer *w, const void *p, size_t len);

struct snap_reader {
	const uint8_t *data; /* not owned */
	size_t len, at;
	uint32_t version; /* of the section; 0: the data is not from a file */
	int error; /* 0 or -EBADMSG, sticky */
};

uint8_t snap_get_u8(struct snap_reader *r);
uint16_t snap_get_u16(struct snap_reader *r);
uint32_t snap_get_u32(struct snap_reader *r);
uint64_t snap_get_u64(struct snap_reader *r);
void snap_get_bytes(struct snap_reader *r, void *p, size_t len);
/* A blob of at most @max bytes, within the reader's data. */
const uint8_t *snap_get_blob(struct snap_reader *r, size_t max, size_t *len);
/* Marks the reader as failed: a field is malformed. */
void snap_reader_fail(struct snap_reader *r);
/* 0, or -EBADMSG if a field was missing or malformed, or bytes are left. */
int snap_reader_error(const struct snap_reader *r);

#endif
