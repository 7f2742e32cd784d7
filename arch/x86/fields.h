/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structures of the kernel as rows of fields, so that one table both saves and
 * loads them, each field by itself.  One thread.
 */
#ifndef ARCH_X86_FIELDS_H
#define ARCH_X86_FIELDS_H

#include <stddef.h>
#include <stdint.h>

struct snap_writer;
struct snap_reader;

/* @count numbers of @size bytes (1, 2, 4 or 8), @stride bytes apart. */
struct field {
	uint16_t offset, size, count, stride;
};

/* A member, or an array that is a member, of numbers of one size. */
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
/* What is not in the table is left as it is in @to. */
void fields_get(struct snap_reader *r, const struct field *rows, size_t count,
		void *to);

#endif
