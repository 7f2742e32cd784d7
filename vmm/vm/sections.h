/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sections of a VM's snapshot: their tags and their versions.  A
 * device's fields are its own; see its save callback.
 */
#ifndef VMM_VM_SECTIONS_H
#define VMM_VM_SECTIONS_H

#include <stdio.h>

#include "vmm/bus/device.h"
#include "vmm/snap/format.h"

#define VM_SECTION_VERSION 1 /* of sections without another version */
#define VM_MACHINE_VERSION 2 /* 1: without the queues of disks */
#define VM_TAG_BYTES	   (SNAP_TAG_BYTES + 1)

#define VM_TAG_ABOUT   "about" /* for display; see vm_describe() */
#define VM_TAG_MACHINE "machine" /* struct vm_description */
#define VM_TAG_SHARES  "shares" /* of them, in the same; only with shares */
#define VM_TAG_PORTS   "ports" /* likewise; only with ports */
#define VM_TAG_NETS    "nets" /* likewise; only with networks */
#define VM_TAG_ARCH    "arch" /* what arch_machine_save() writes */

/* What arch_vcpu_save() writes: "cpu0" and on. */
static inline void vm_tag_cpu(char tag[VM_TAG_BYTES], unsigned int id)
{
	snprintf(tag, VM_TAG_BYTES, "cpu%u", id);
}

/* What a device's save callback writes: "dev.disk0". */
static inline void vm_tag_device(char tag[VM_TAG_BYTES], const char *name)
{
	snprintf(tag, VM_TAG_BYTES, "dev.%.12s", name);
}

/* The version of that section. */
static inline uint32_t vm_device_version(const struct device *device)
{
	return device->ops->version ? device->ops->version : VM_SECTION_VERSION;
}

#endif
