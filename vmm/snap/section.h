/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fields of a snapshot, one by one, little-endian: what a device's save and
 * load callbacks speak.  Knows no device and no file.
 *
 * A writer grows as needed.  A reader is over a byte range of the caller's; the
 * first short or bad field makes it fail, later reads give zeros, and
 * snap_reader_error() reports it, so that a load callback reads all its fields
 * and checks once.  The input is hostile: bound every count.
 */
#ifndef VMM_SNAP_SECTION_H
#define VMM_SNAP_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snap_writer {
	uint8_t *data; /* owned */
	size_t len, room;
	int error; /* 0 or -ENOMEM, sticky */
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
	uint32_t version; /* of the section; 0: not one of a file */
	int error; /* 0 or -EBADMSG, sticky */
};

uint8_t snap_get_u8(struct snap_reader *r);
uint16_t snap_get_u16(struct snap_reader *r);
uint32_t snap_get_u32(struct snap_reader *r);
uint64_t snap_get_u64(struct snap_reader *r);
void snap_get_bytes(struct snap_reader *r, void *p, size_t len);
/* The blob's bytes within the reader's data, at most @max of them. */
const uint8_t *snap_get_blob(struct snap_reader *r, size_t max, size_t *len);
/* Marks the reader as failed: a field was read but makes no sense. */
void snap_reader_fail(struct snap_reader *r);
/* 0, or -EBADMSG when a field was missing or bad, or bytes are left over. */
int snap_reader_error(const struct snap_reader *r);

#endif
