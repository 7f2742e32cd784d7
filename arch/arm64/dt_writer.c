/* SPDX-License-Identifier: BSD-2-Clause */
/* Device tree nodes and properties, with the first error kept. */
#include <endian.h>
#include <libfdt.h>
#include <stdio.h>

#include "arch/arm64/dt_writer.h"

void dt_note(struct dt_writer *dt, int err)
{
	if (dt->err == 0 && err < 0)
		dt->err = err;
}

void dt_begin(struct dt_writer *dt, const char *name)
{
	dt_note(dt, fdt_begin_node(dt->block, name));
}

void dt_begin_at(struct dt_writer *dt, const char *name, uint64_t at)
{
	char full[64];

	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)at);
	dt_begin(dt, full);
}

void dt_end(struct dt_writer *dt)
{
	dt_note(dt, fdt_end_node(dt->block));
}

void dt_bytes(struct dt_writer *dt, const char *name, const void *data,
	      size_t len)
{
	if (len > INT32_MAX)
		dt_note(dt, -FDT_ERR_NOSPACE);
	else
		dt_note(dt, fdt_property(dt->block, name, data, (int)len));
}

void dt_flag(struct dt_writer *dt, const char *name)
{
	dt_bytes(dt, name, NULL, 0);
}

void dt_string(struct dt_writer *dt, const char *name, const char *s)
{
	dt_bytes(dt, name, s, strlen(s) + 1);
}

void dt_u32(struct dt_writer *dt, const char *name, uint32_t v)
{
	dt_note(dt, fdt_property_u32(dt->block, name, v));
}

void dt_u64(struct dt_writer *dt, const char *name, uint64_t v)
{
	dt_note(dt, fdt_property_u64(dt->block, name, v));
}

void dt_cell_array(struct dt_writer *dt, const char *name,
		   const uint32_t *cells, size_t count)
{
	uint32_t big[64];

	if (count > ARRAY_SIZE(big)) {
		dt_note(dt, -FDT_ERR_INTERNAL);
		return;
	}
	for (size_t i = 0; i < count; i++)
		big[i] = htobe32(cells[i]);
	dt_bytes(dt, name, big, count * sizeof(big[0]));
}

void dt_cell_sizes(struct dt_writer *dt, uint32_t address, uint32_t size)
{
	dt_u32(dt, "#address-cells", address);
	dt_u32(dt, "#size-cells", size);
}
