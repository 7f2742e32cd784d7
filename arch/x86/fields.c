/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of structure fields.  One thread.  The host is little-endian. */
#include "arch/x86/fields.h"

#include <string.h>

#include "vmm/snap/section.h"

static void put(struct snap_writer *w, const uint8_t *from, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, from, size);
	switch (size) {
	case 1:
		snap_put_u8(w, (uint8_t)v);
		break;
	case 2:
		snap_put_u16(w, (uint16_t)v);
		break;
	case 4:
		snap_put_u32(w, (uint32_t)v);
		break;
	default:
		snap_put_u64(w, v);
	}
}

static void get(struct snap_reader *r, uint8_t *to, unsigned int size)
{
	uint64_t v = size == 1 ? snap_get_u8(r) :
		     size == 2 ? snap_get_u16(r) :
		     size == 4 ? snap_get_u32(r) :
				 snap_get_u64(r);

	memcpy(to, &v, size);
}

void fields_put(struct snap_writer *w, const struct field *rows, size_t count,
		const void *from)
{
	for (size_t i = 0; i < count; i++)
		for (size_t n = 0; n < rows[i].count; n++)
			put(w,
			    (const uint8_t *)from + rows[i].offset +
				    n * rows[i].stride,
			    rows[i].size);
}

void fields_get(struct snap_reader *r, const struct field *rows, size_t count,
		void *to)
{
	for (size_t i = 0; i < count; i++)
		for (size_t n = 0; n < rows[i].count; n++)
			get(r,
			    (uint8_t *)to + rows[i].offset + n * rows[i].stride,
			    rows[i].size);
}
