/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads and writes fields of a section. A writer owns its buffer and grows it
 * by doubling; a reader borrows its data. Both keep the first error, after
 * which calls have no effect, so a device checks once, at the end.
 *
 * One thread at a time for each struct; no lock.
 */
#include "vmm/snap/section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"

#define WRITER_FIRST_BYTES 256

/* Frees the buffer; the writer may be reused. */
void snap_writer_finish(struct snap_writer *w)
{
	free(w->data);
	memset(w, 0, sizeof(*w));
}

/*
 * Extends the buffer by @len bytes and returns their address; NULL on failure.
 */
static uint8_t *writer_extend(struct snap_writer *w, size_t len)
{
	size_t room = w->room ? w->room : WRITER_FIRST_BYTES;
	uint8_t *data, *at;

	if (w->error)
		return NULL;
	if (len > SIZE_MAX / 4 || w->len > SIZE_MAX / 4)
		goto no_memory;
	while (room < w->len + len)
		room *= 2;
	if (room != w->room) {
		data = realloc(w->data, room);
		if (!data)
			goto no_memory;
		w->data = data;
		w->room = room;
	}
	at = w->data + w->len;
	w->len += len;
	return at;

no_memory:
	w->error = -ENOMEM;
	return NULL;
}

void snap_put_u8(struct snap_writer *w, uint8_t v)
{
	snap_put_bytes(w, &v, 1);
}

void snap_put_u16(struct snap_writer *w, uint16_t v)
{
	uint8_t *at = writer_extend(w, 2);

	if (at)
		put_le16(at, v);
}

void snap_put_u32(struct snap_writer *w, uint32_t v)
{
	uint8_t *at = writer_extend(w, 4);

	if (at)
		put_le32(at, v);
}

void snap_put_u64(struct snap_writer *w, uint64_t v)
{
	uint8_t *at = writer_extend(w, 8);

	if (at)
		put_le64(at, v);
}

void snap_put_bytes(struct snap_writer *w, const void *p, size_t len)
{
	uint8_t *at;

	if (!len)
		return;
	at = writer_extend(w, len);
	if (at)
		memcpy(at, p, len);
}

void snap_put_blob(struct snap_writer *w, const void *p, size_t len)
{
	if (len > UINT32_MAX) {
		w->error = w->error ? w->error : -ENOMEM;
		return;
	}
	snap_put_u32(w, (uint32_t)len);
	snap_put_bytes(w, p, len);
}

/* Consumes @len bytes and returns their address; NULL if fewer are left. */
static const uint8_t *reader_take(struct snap_reader *r, size_t len)
{
	const uint8_t *at;

	if (r->error)
		return NULL;
	if (!range_within(r->at, len, r->len)) {
		r->error = -EBADMSG;
		return NULL;
	}
	at = r->data + r->at;
	r->at += len;
	return at;
}

uint8_t snap_get_u8(struct snap_reader *r)
{
	const uint8_t *at = reader_take(r, 1);

	return at ? *at : 0;
}

uint16_t snap_get_u16(struct snap_reader *r)
{
	const uint8_t *at = reader_take(r, 2);

	return at ? get_le16(at) : 0;
}

uint32_t snap_get_u32(struct snap_reader *r)
{
	const uint8_t *at = reader_take(r, 4);

	return at ? get_le32(at) : 0;
}

uint64_t snap_get_u64(struct snap_reader *r)
{
	const uint8_t *at = reader_take(r, 8);

	return at ? get_le64(at) : 0;
}

void snap_get_bytes(struct snap_reader *r, void *p, size_t len)
{
	const uint8_t *at;

	if (!len)
		return;
	at = reader_take(r, len);
	if (at)
		memcpy(p, at, len);
	else
		memset(p, 0, len);
}

/* The bytes stay the owner's; NULL on failure. */
const uint8_t *snap_get_blob(struct snap_reader *r, size_t max, size_t *len)
{
	uint32_t n = snap_get_u32(r);
	const uint8_t *at = NULL;

	if (n > max)
		snap_reader_fail(r);
	else
		at = reader_take(r, n);
	*len = at ? n : 0;
	return at;
}

void snap_reader_fail(struct snap_reader *r)
{
	r->error = -EBADMSG;
}

/* -EBADMSG also when bytes are left. */
int snap_reader_error(const struct snap_reader *r)
{
	if (r->error)
		return r->error;
	return r->at == r->len ? 0 : -EBADMSG;
}
