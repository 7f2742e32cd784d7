/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A writer of ACPI machine language (ACPI 6.5, chapter 20) and resource
 * templates (6.4), limited to what the DSDT uses.
 *
 * It writes to the caller's buffer.  When the buffer is full it sets @overflow
 * and drops the rest; check @overflow once, at the end.  One thread.
 */
#ifndef ARCH_X86_AML_H
#define ARCH_X86_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *data; /* not owned */
	size_t room, len;
	bool overflow;
};

/* Appends one byte, such as an AML_ opcode. */
void aml_byte(struct aml *aml, uint8_t v);

/*
 * A name: segments of up to four characters, separated by dots, with an
 * optional leading backslash: "\\_SB", "PCI0", "_SB.PCI0".
 */
void aml_path(struct aml *aml, const char *path);

/* An integer, in the shortest encoding. */
void aml_int(struct aml *aml, uint64_t v);

/*
 * Objects with contents: begin, write the contents, and end with the mark that
 * begin returned.
 */
size_t aml_scope(struct aml *aml, const char *path);
size_t aml_device(struct aml *aml, const char *name);
size_t aml_method(struct aml *aml, const char *name, unsigned int args);
size_t aml_package(struct aml *aml, uint8_t elements);
size_t aml_if(struct aml *aml);
void aml_end(struct aml *aml, size_t mark);

/*
 * Name (NAME, ...): the value is an argument, or written next.  A PNP id has
 * three letters and four hex digits ("PNP0A08") and is encoded as an integer.
 */
void aml_name(struct aml *aml, const char *name);
void aml_name_int(struct aml *aml, const char *name, uint64_t v);
void aml_name_string(struct aml *aml, const char *name, const char *s);
void aml_name_eisaid(struct aml *aml, const char *name, const char *id);

/* An operation region of I/O ports with one 32-bit field. */
void aml_port_field(struct aml *aml, const char *region, const char *field,
		    uint16_t port);

/* Opcodes without a package (20.3). */
#define AML_LOCAL0    0x60
#define AML_STORE     0x70
#define AML_AND	      0x7b
#define AML_NOTIFY    0x86
#define AML_NULL_NAME 0x00

/* A resource template: descriptors, then aml_name_resources(). */
struct aml_resources {
	uint8_t data[128];
	struct aml aml;
};

void resources_begin(struct aml_resources *r);
void resources_ports(struct aml_resources *r, uint16_t port, uint8_t count);
void resources_memory(struct aml_resources *r, uint32_t base, uint32_t len);
/* Bridge windows: bus numbers, memory. */
void resources_bus_window(struct aml_resources *r, uint16_t first,
			  uint16_t last);
void resources_memory_window(struct aml_resources *r, uint32_t base,
			     uint32_t len);
/* One interrupt by GSI: level-triggered, active high, consumer. */
void resources_interrupt(struct aml_resources *r, uint32_t gsi);
/* Name (_CRS, ResourceTemplate () {...}); ends the template. */
void aml_name_resources(struct aml *aml, struct aml_resources *r);

#endif
