/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sequential writer of a flattened device tree, over libfdt.
 *
 * Every function keeps the first error in the writer, so a caller checks once,
 * at the end.  One thread.
 */
#ifndef ARCH_ARM64_DT_WRITER_H
#define ARCH_ARM64_DT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/bytes.h"

/* @block is the caller's, and libfdt's fdt_create() was called on it. */
struct dt_writer {
	void *block;
	int err; /* first error, -FDT_ERR_*; 0: none */
};

/* Records a libfdt result: a negative one is an error. */
void dt_note(struct dt_writer *dt, int err);

/* Opens a node, "name" or "name@at"; dt_end() closes it. */
void dt_begin(struct dt_writer *dt, const char *name);
void dt_begin_at(struct dt_writer *dt, const char *name, uint64_t at);
void dt_end(struct dt_writer *dt);

/* Properties of the open node; all are written before its child nodes. */
void dt_bytes(struct dt_writer *dt, const char *name, const void *data,
	      size_t len);
void dt_flag(struct dt_writer *dt, const char *name);
void dt_string(struct dt_writer *dt, const char *name, const char *s);
void dt_u32(struct dt_writer *dt, const char *name, uint32_t v);
void dt_u64(struct dt_writer *dt, const char *name, uint64_t v);

/* Up to 64 cells, in host byte order. */
void dt_cell_array(struct dt_writer *dt, const char *name,
		   const uint32_t *cells, size_t count);

/* #address-cells and #size-cells of the child nodes. */
void dt_cell_sizes(struct dt_writer *dt, uint32_t address, uint32_t size);

#define dt_cells(dt, name, ...)                                    \
	dt_cell_array(dt, name, (const uint32_t[]){ __VA_ARGS__ }, \
		      ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

/* A list of strings: a char array with NULs between them. */
#define dt_strings(dt, name, s) dt_bytes(dt, name, s, sizeof(s))

/* The two cells of a 64-bit address or size. */
#define CELLS(x) (uint32_t)((uint64_t)(x) >> 32), (uint32_t)(x)

#endif
