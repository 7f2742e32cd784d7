/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A writer of ACPI machine language.
 *
 * An object with contents starts with its length in one to four bytes.  The
 * writer reserves no room for it: when the object ends, it moves the contents
 * behind the length.  One thread.
 */
#include "arch/x86/aml.h"

#include <string.h>

#include "vmm/base/bytes.h"

/* Opcodes (ACPI 6.5, 20.3). */
#define OP_ZERO	      0x00
#define OP_ONE	      0x01
#define OP_NAME	      0x08
#define OP_BYTE	      0x0a
#define OP_WORD	      0x0b
#define OP_DWORD      0x0c
#define OP_STRING     0x0d
#define OP_QWORD      0x0e
#define OP_SCOPE      0x10
#define OP_BUFFER     0x11
#define OP_PACKAGE    0x12
#define OP_METHOD     0x14
#define OP_DUAL_NAME  0x2e
#define OP_MULTI_NAME 0x2f
#define OP_EXT	      0x5b
#define OP_IF	      0xa0
#define EXT_REGION    0x80
#define EXT_FIELD     0x81
#define EXT_DEVICE    0x82

#define METHOD_SERIALIZED 0x08
#define REGION_PORTS	  1
#define FIELD_DWORD	  3

/* Room for @len more bytes, or NULL. */
static uint8_t *take(struct aml *aml, size_t len)
{
	uint8_t *p = aml->data + aml->len;

	if (aml->overflow || len > aml->room - aml->len) {
		aml->overflow = true;
		return NULL;
	}
	aml->len += len;
	return p;
}

static void bytes(struct aml *aml, const void *p, size_t len)
{
	uint8_t *to = take(aml, len);

	if (to && len)
		memcpy(to, p, len);
}

void aml_byte(struct aml *aml, uint8_t v)
{
	bytes(aml, &v, 1);
}

/* A number of @size bytes, little-endian. */
static void number(struct aml *aml, uint64_t v, unsigned int size)
{
	uint8_t b[8];

	put_le(b, v, size);
	bytes(aml, b, size);
}

/* One segment of a name, padded with underscores. */
static void segment(struct aml *aml, const char *s, size_t len)
{
	char padded[4] = { '_', '_', '_', '_' };

	memcpy(padded, s, min_u64(len, 4));
	bytes(aml, padded, 4);
}

/* A name of one or more segments. */
void aml_path(struct aml *aml, const char *path)
{
	unsigned int segments = 1;

	if (*path == '\\') {
		aml_byte(aml, '\\');
		path++;
	}
	for (const char *p = path; *p; p++)
		segments += *p == '.';
	if (segments == 2) {
		aml_byte(aml, OP_DUAL_NAME);
	} else if (segments > 2) {
		aml_byte(aml, OP_MULTI_NAME);
		aml_byte(aml, (uint8_t)segments);
	}
	while (segments--) {
		size_t len = strcspn(path, ".");

		segment(aml, path, len);
		path += len + (path[len] == '.');
	}
}

/* An integer in its shortest form. */
void aml_int(struct aml *aml, uint64_t v)
{
	if (v <= 1) {
		aml_byte(aml, v ? OP_ONE : OP_ZERO);
	} else if (v <= UINT8_MAX) {
		aml_byte(aml, OP_BYTE);
		number(aml, v, 1);
	} else if (v <= UINT16_MAX) {
		aml_byte(aml, OP_WORD);
		number(aml, v, 2);
	} else if (v <= UINT32_MAX) {
		aml_byte(aml, OP_DWORD);
		number(aml, v, 4);
	} else {
		aml_byte(aml, OP_QWORD);
		number(aml, v, 8);
	}
}

/* A string with its final zero. */
static void string(struct aml *aml, const char *s)
{
	aml_byte(aml, OP_STRING);
	bytes(aml, s, strlen(s) + 1);
}

/* The value of a hex digit in upper case. */
static uint32_t hex(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* A PNP id: letters in five bits each, big-endian (ACPI 6.5, 19.3.4). */
static void eisaid(struct aml *aml, const char *id)
{
	uint32_t v = (uint32_t)(id[0] - 0x40) << 26 |
		     (uint32_t)(id[1] - 0x40) << 21 |
		     (uint32_t)(id[2] - 0x40) << 16 | hex(id[3]) << 12 |
		     hex(id[4]) << 8 | hex(id[5]) << 4 | hex(id[6]);

	aml_byte(aml, OP_DWORD);
	number(aml, __builtin_bswap32(v), 4);
}

/* A package length (20.2.4), which counts itself; how many bytes it took. */
static size_t encode_length(uint8_t b[4], size_t len)
{
	size_t n = len + 1 <= 0x3f    ? 1 :
		   len + 2 <= 0xfff   ? 2 :
		   len + 3 <= 0xfffff ? 3 :
					4;

	len += n;
	if (n == 1) {
		b[0] = (uint8_t)len;
		return 1;
	}
	b[0] = (uint8_t)((n - 1) << 6 | (len & 0xf));
	for (size_t i = 1; i < n; i++)
		b[i] = (uint8_t)(len >> (8 * i - 4));
	return n;
}

/* Ends an object: its length goes before its contents. */
void aml_end(struct aml *aml, size_t mark)
{
	uint8_t length[4];
	size_t contents = aml->len - mark;
	size_t n = encode_length(length, contents);

	if (!take(aml, n))
		return;
	memmove(aml->data + mark + n, aml->data + mark, contents);
	memcpy(aml->data + mark, length, n);
}

/* A buffer that holds @p. */
static void buffer(struct aml *aml, const void *p, size_t len)
{
	size_t mark;

	aml_byte(aml, OP_BUFFER);
	mark = aml->len;
	aml_int(aml, len);
	bytes(aml, p, len);
	aml_end(aml, mark);
}

/* Scope (PATH) {...} */
size_t aml_scope(struct aml *aml, const char *path)
{
	size_t mark;

	aml_byte(aml, OP_SCOPE);
	mark = aml->len;
	aml_path(aml, path);
	return mark;
}

/* Device (NAME) {...} */
size_t aml_device(struct aml *aml, const char *name)
{
	size_t mark;

	aml_byte(aml, OP_EXT);
	aml_byte(aml, EXT_DEVICE);
	mark = aml->len;
	aml_path(aml, name);
	return mark;
}

/* Method (NAME, args, Serialized) {...} */
size_t aml_method(struct aml *aml, const char *name, unsigned int args)
{
	size_t mark;

	aml_byte(aml, OP_METHOD);
	mark = aml->len;
	aml_path(aml, name);
	aml_byte(aml, (uint8_t)(METHOD_SERIALIZED | (args & 7)));
	return mark;
}

/* Package (elements) {...} */
size_t aml_package(struct aml *aml, uint8_t elements)
{
	size_t mark;

	aml_byte(aml, OP_PACKAGE);
	mark = aml->len;
	aml_byte(aml, elements);
	return mark;
}

/* If (...) {...}: the predicate comes first. */
size_t aml_if(struct aml *aml)
{
	aml_byte(aml, OP_IF);
	return aml->len;
}

/* Name (NAME, ...) */
void aml_name(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_NAME);
	aml_path(aml, name);
}

/* Name (NAME, v) */
void aml_name_int(struct aml *aml, const char *name, uint64_t v)
{
	aml_name(aml, name);
	aml_int(aml, v);
}

/* Name (NAME, "s") */
void aml_name_string(struct aml *aml, const char *name, const char *s)
{
	aml_name(aml, name);
	string(aml, s);
}

/* Name (NAME, EisaId ("id")) */
void aml_name_eisaid(struct aml *aml, const char *name, const char *id)
{
	aml_name(aml, name);
	eisaid(aml, id);
}

/* OperationRegion (REGION, SystemIO, port, 4) and Field () {FIELD, 32} */
void aml_port_field(struct aml *aml, const char *region, const char *field,
		    uint16_t port)
{
	size_t mark;

	aml_byte(aml, OP_EXT);
	aml_byte(aml, EXT_REGION);
	aml_path(aml, region);
	aml_byte(aml, REGION_PORTS);
	aml_int(aml, port);
	aml_int(aml, 4);
	aml_byte(aml, OP_EXT);
	aml_byte(aml, EXT_FIELD);
	mark = aml->len;
	aml_path(aml, region);
	aml_byte(aml, FIELD_DWORD);
	aml_path(aml, field);
	aml_byte(aml, 32); /* bits, as a package length of one byte */
	aml_end(aml, mark);
}

void resources_begin(struct aml_resources *r)
{
	r->aml = (struct aml){ .data = r->data, .room = sizeof(r->data) };
}

/* I/O port descriptor (6.4.2.5), 16-bit decode. */
void resources_ports(struct aml_resources *r, uint16_t port, uint8_t count)
{
	number(&r->aml, 0x0147, 2);
	number(&r->aml, port, 2);
	number(&r->aml, port, 2);
	number(&r->aml, (uint32_t)count << 8 | 1, 2); /* alignment 1 */
}

/* 32-bit fixed memory descriptor (6.4.3.4), read and write. */
void resources_memory(struct aml_resources *r, uint32_t base, uint32_t len)
{
	aml_byte(&r->aml, 0x86);
	number(&r->aml, 9, 2);
	aml_byte(&r->aml, 1);
	number(&r->aml, base, 4);
	number(&r->aml, len, 4);
}

/* Address space flags: producer, both ends fixed (6.4.3.5). */
#define WINDOW_FIXED 0x0c

/* Word address space descriptor of bus numbers (6.4.3.5.3). */
void resources_bus_window(struct aml_resources *r, uint16_t first,
			  uint16_t last)
{
	aml_byte(&r->aml, 0x88);
	number(&r->aml, 13, 2);
	aml_byte(&r->aml, 2);
	aml_byte(&r->aml, WINDOW_FIXED);
	aml_byte(&r->aml, 0);
	number(&r->aml, 0, 2); /* granularity */
	number(&r->aml, first, 2);
	number(&r->aml, last, 2);
	number(&r->aml, 0, 2); /* translation */
	number(&r->aml, last - first + 1u, 2);
}

/* Dword address space descriptor of memory (6.4.3.5.2), not cached. */
void resources_memory_window(struct aml_resources *r, uint32_t base,
			     uint32_t len)
{
	aml_byte(&r->aml, 0x87);
	number(&r->aml, 23, 2);
	aml_byte(&r->aml, 0);
	aml_byte(&r->aml, WINDOW_FIXED);
	aml_byte(&r->aml, 1);
	number(&r->aml, 0, 4);
	number(&r->aml, base, 4);
	number(&r->aml, base + len - 1, 4);
	number(&r->aml, 0, 4);
	number(&r->aml, len, 4);
}

/* Extended interrupt descriptor (6.4.3.6): consumer, level, active high. */
void resources_interrupt(struct aml_resources *r, uint32_t gsi)
{
	aml_byte(&r->aml, 0x89);
	number(&r->aml, 6, 2);
	aml_byte(&r->aml, 0x01);
	aml_byte(&r->aml, 1);
	number(&r->aml, gsi, 4);
}

/* Name (_CRS, ...): the template with its end tag (6.4.2.9), no checksum. */
void aml_name_resources(struct aml *aml, struct aml_resources *r)
{
	number(&r->aml, 0x0079, 2);
	aml->overflow |= r->aml.overflow;
	aml_name(aml, "_CRS");
	buffer(aml, r->data, r->aml.len);
}
