/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `thaw inspect` found in a snapshot, and its two output formats.  Main
 * thread.
 */
#ifndef VMM_CLI_INSPECTION_H
#define VMM_CLI_INSPECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/snap/file.h"
#include "vmm/vm/snapshot.h"

struct inspection {
	struct snap_file file;
	struct vm_description machine;
	bool has_cpu; /* false: another architecture, no model and features */
	char model[ARCH_MODEL_BYTES];
	char *features; /* a line each; owned */
	bool has_workingset;
	uint64_t workingset_pages;
	uint64_t disk_bytes; /* allocated to the memory file */
	bool verified;
};

/* Prints it as text; control characters in names are replaced. */
void inspection_print(const struct inspection *in);

/* Writes it as one JSON object. */
void inspection_write_json(const struct inspection *in);

/* "serial" or "virtio". */
static inline const char *
inspection_console(const struct vm_description *machine)
{
	return machine->console == VM_CONSOLE_VIRTIO ? "virtio" : "serial";
}

#endif
