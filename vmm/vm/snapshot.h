/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine in a snapshot: how it is saved, and what of its description a
 * restore needs before there is a machine.
 *
 * Control side; 0 or -errno, logged.
 */
#ifndef VMM_VM_SNAPSHOT_H
#define VMM_VM_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/vm/vm.h"

struct snap_file;

#define VM_DISKS_MAX	   32
#define VM_DISK_PATH_BYTES 4096
#define VM_DEVICES_MAX	   40

/*
 * What a snapshot says about the machine that it is of.  Nothing is restored
 * from the words about it: the version of the thaw that saved it, "" where it
 * says none, and its devices.
 */
struct vm_description {
	char thaw[32];
	unsigned int device_count;
	struct vm_device_words {
		char name[32], kind[32]; /* "disk0", "virtio-blk" */
	} devices[VM_DEVICES_MAX];
	uint64_t memory_bytes;
	unsigned int cpu_count;
	enum vm_console console;
	unsigned int disk_count;
	struct vm_disk {
		uint64_t size_bytes;
		bool read_only;
		char path[VM_DISK_PATH_BYTES]; /* where it was */
	} disks[VM_DISKS_MAX];
};

/* Hears how many pages of how many have been looked at. */
struct vm_progress {
	void (*tell)(void *ctx, uint64_t done, uint64_t of);
	void *ctx;
};

/*
 * Saves the machine, which is paused, to the directory @path.  Its writable
 * disks are synced first, and one that cannot be fails the save.  Pages that are
 * absent are filled on the way.  @progress may be NULL.
 */
int vm_save(struct vm *vm, const char *path,
	    const struct vm_progress *progress);

/* Reads the description; everything in it is bounded. */
int vm_describe(const struct snap_file *file,
		struct vm_description *description);

/*
 * Where in the directory of the snapshot disk @n is kept, relative to it: where
 * the snapshot says, when that is inside, else under the file name that the
 * disk had.  NULL when it is not there, so that only the user can say where it
 * is.  The string is the description's.
 */
const char *vm_disk_inside(const struct snap_file *file,
			   const struct vm_description *description,
			   unsigned int n);

/*
 * What processors the snapshot's are, in words: the model, and the name of each
 * feature, each ended by a newline.  -ENOEXEC, not logged, for those of another
 * architecture.
 */
int vm_describe_cpu(const struct snap_file *file, char model[ARCH_MODEL_BYTES],
		    FILE *features);

/*
 * Loads the machine's state from the snapshot that it was made for
 * (vm_config's), instead of vm_boot().
 */
int vm_restore(struct vm *vm);

#endif
