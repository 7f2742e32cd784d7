/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device tree traversal (Devicetree Specification 0.4, 5).  The block is from
 * the VMM and trusted.
 */
#include "guest/lib/string.h"
#include "guest/lib/arm64/arm64.h"

#define MAGIC	   0xd00dfeed
#define BEGIN_NODE 1
#define END_NODE   2
#define PROPERTY   3
#define NOP	   4

#define DEPTH_MAX 16

/* State of the traversal: cells[d] applies to nodes at depth d. */
struct walk {
	const uint8_t *at;
	const char *strings;
	struct fdt_node node;
	unsigned int depth;
	struct {
		unsigned int address, size;
	} cells[DEPTH_MAX];
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* Reads a number of @cells cells. */
static uint64_t be_cells(const uint8_t *p, unsigned int cells)
{
	uint64_t value = 0;

	while (cells--) {
		value = value << 32 | be32(p);
		p += 4;
	}
	return value;
}

static uint32_t take32(struct walk *w)
{
	w->at += 4;
	return be32(w->at - 4);
}

/* Skips @bytes and their padding. */
static void skip(struct walk *w, uint32_t bytes)
{
	w->at += (bytes + 3) & ~3u;
}

/* Stores a property of the open node. */
static void read_property(struct walk *w)
{
	uint32_t len = take32(w);
	const char *name = w->strings + take32(w);
	const uint8_t *data = w->at;
	struct fdt_node *n = &w->node;

	skip(w, len);
	if (!strcmp(name, "compatible")) {
		n->compatible = (const char *)data;
		n->compatible_bytes = len;
	} else if (!strcmp(name, "reg")) {
		n->reg = data;
		n->reg_bytes = len;
	} else if (!strcmp(name, "device_type")) {
		n->device_type = (const char *)data;
	} else if (!strcmp(name, "bootargs")) {
		n->bootargs = (const char *)data;
	} else if (!strcmp(name, "linux,initrd-start")) {
		n->initrd.start = be_cells(data, len / 4);
	} else if (!strcmp(name, "linux,initrd-end")) {
		n->initrd.end = be_cells(data, len / 4);
	} else if (!strcmp(name, "bus-range")) {
		n->bus_range = data;
	} else if (!strcmp(name, "#address-cells") && w->depth < DEPTH_MAX) {
		w->cells[w->depth].address = be32(data);
	} else if (!strcmp(name, "#size-cells") && w->depth < DEPTH_MAX) {
		w->cells[w->depth].size = be32(data);
	}
}

/* Opens a node; the defaults for its children are 2 and 1 cells. */
static void open_node(struct walk *w)
{
	w->node = (struct fdt_node){ .name = (const char *)w->at,
				     .device_type = "" };
	if (w->depth < DEPTH_MAX) {
		w->node.address_cells = w->cells[w->depth].address;
		w->node.size_cells = w->cells[w->depth].size;
	}
	skip(w, (uint32_t)strlen((const char *)w->at) + 1);
	if (++w->depth < DEPTH_MAX) {
		w->cells[w->depth].address = 2;
		w->cells[w->depth].size = 1;
	}
}

/* Visits the open node, once. */
static void hand_out(struct walk *w,
		     void (*visit)(const struct fdt_node *node, void *ctx),
		     void *ctx)
{
	if (w->node.name)
		visit(&w->node, ctx);
	w->node.name = NULL;
}

uint32_t fdt_bytes(const void *fdt)
{
	return fdt && be32(fdt) == MAGIC ? be32((const uint8_t *)fdt + 4) : 0;
}

void fdt_walk(const void *fdt,
	      void (*visit)(const struct fdt_node *node, void *ctx), void *ctx)
{
	const uint8_t *block = fdt;
	struct walk w = { 0 };

	if (!fdt_bytes(fdt))
		return;
	w.at = block + be32(block + 8);
	w.strings = (const char *)block + be32(block + 12);
	for (;;) {
		uint32_t token = take32(&w);

		if (token == PROPERTY) {
			read_property(&w);
			continue;
		}
		if (token == NOP)
			continue;
		hand_out(&w, visit, ctx);
		if (token == BEGIN_NODE)
			open_node(&w);
		else if (token == END_NODE)
			w.depth--;
		else
			return;
	}
}

bool fdt_is(const struct fdt_node *node, const char *what)
{
	uint32_t i = 0;

	while (i < node->compatible_bytes) {
		if (!strcmp(node->compatible + i, what))
			return true;
		i += (uint32_t)strlen(node->compatible + i) + 1;
	}
	return false;
}

bool fdt_reg(const struct fdt_node *node, unsigned int index, uint64_t *address,
	     uint64_t *size)
{
	unsigned int cells = node->address_cells + node->size_cells;
	const uint8_t *p = node->reg + index * cells * 4;

	if (!node->reg || !cells || (index + 1) * cells * 4 > node->reg_bytes)
		return false;
	*address = be_cells(p, node->address_cells);
	*size = be_cells(p + node->address_cells * 4, node->size_cells);
	return true;
}
