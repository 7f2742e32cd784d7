/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables of structure fields: one table saves and loads a kernel structure,
 * field by field.  One thread.
 */
#ifndef ARCH_X86_FIELDS_H
#define ARCH_X86_FIELDS_H

#include <stddef.h>
#include <stdint.h>

struct snap_writer;
struct snap_reader;

/* @count integers of @size bytes (1, 2, 4 or 8), @stride bytes apart. */
struct field {
	uint16_t offset, size, count, stride;
};

/* An integer member, or an array of integers. */
#define FIELD(type, member)                                               \
	{                                                                 \
		offsetof(type, member), sizeof(((type *)0)->member), 1, 0 \
	}
#define FIELDS(type, member)                                            \
	{                                                               \
		offsetof(type, member), sizeof(((type *)0)->member[0]), \
			sizeof(((type *)0)->member) /                   \
				sizeof(((type *)0)->member[0]),         \
			sizeof(((type *)0)->member[0])                  \
	}

void fields_put(struct snap_writer *w, const struct field *rows, size_t count,
		const void *from);
/* Bytes of @to outside the table do not change. */
void fields_get(struct snap_reader *r, const struct field *rows, size_t count,
		void *to);

#endif
