/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving a VM to a snapshot and restoring it, and the description that a restore
 * needs before it creates the VM.
 *
 * Main thread; the functions that save: as they say, or the control thread.  0 or
 * -errno, logged.
 */
#ifndef VMM_VM_SNAPSHOT_H
#define VMM_VM_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/virtio/virtio.h"
#include "vmm/vm/vm.h"

struct snap_file;
struct snap_save;

#define VM_DISKS_MAX   32
#define VM_PATH_BYTES  4096
#define VM_DEVICES_MAX 48

/*
 * The VM in a snapshot.  @thaw (the version that saved it, "" if unknown)
 * and @devices are for display only.
 */
struct vm_description {
	char thaw[32];
	unsigned int device_count;
	struct vm_device_names {
		char name[32], kind[32]; /* "disk0", "virtio-blk" */
	} devices[VM_DEVICES_MAX];
	uint64_t memory_bytes;
	unsigned int cpu_count;
	enum vm_console console;
	unsigned int disk_count, disk_queues;
	struct vm_disk {
		uint64_t size_bytes;
		bool read_only;
		bool copied; /* the snapshot has a copy: snap_open_disk() */
		char path[VM_PATH_BYTES]; /* where it was */
	} disks[VM_DISKS_MAX];
	unsigned int share_count;
	struct vm_share {
		struct virtio_fs_share share; /* share.fs.path: the one below */
		char path[VM_PATH_BYTES]; /* where it was */
	} shares[VM_SHARES_MAX];
	/*
	 * With the names below and without descriptors, which a restore may set;
	 * count 0: no such device.
	 */
	struct virtio_ports ports;
	char port_names[VIRTIO_PORTS_MAX][VIRTIO_PORT_NAME_BYTES + 1];
	unsigned int net_count;
	struct vm_net {
		char host[64]; /* its host side, for display: "tap tap0" */
		uint8_t mac[NET_MAC_BYTES];
		uint16_t mtu;
		bool offloads; /* the guest may use those of the host side */
	} nets[VM_NETS_MAX];
};

/*
 * Called with the number of pages done, and of all; false cancels the save.  The
 * pages of each disk that is copied are counted first, then those of memory.
 */
struct vm_progress {
	bool (*tell)(void *ctx, uint64_t done, uint64_t of);
	void *ctx;
};

/* How to save. */
struct vm_save_options {
	/*
	 * Save only what was written since the snapshot of this name, in the same
	 * directory, that the VM was last saved to or restored from with tracking;
	 * NULL: everything.
	 */
	const char *base;
	bool copy_disks; /* the writable ones become part of the snapshot */
	bool accept_stale; /* see fs_save() */
	bool fsverity; /* see snap_save_begin(); -ENOTTY: not supported */
	/*
	 * Of a VM that runs: write at most so much a second in the first pass, over
	 * its memory and the copies of its disks; 0: no limit.
	 */
	uint64_t rate_bytes_s;
	const struct vm_progress *progress; /* NULL: not reported */
};

/*
 * Saves the VM, which is paused, to the directory @path.  Syncs its writable disks
 * first, and fails if that does.  Fills absent pages.  -ESTALE: a file of a share
 * is open in the guest and could not be found after a restore.  -ENOMEDIUM: a disk
 * is this process's own, and is not copied.  -ECANCELED: the VM has ended.  One
 * thread at a time: the control thread, or the thread `save'.
 */
int vm_save(struct vm *vm, const char *path,
	    const struct vm_save_options *options);

/* What a live save has cost the guest. */
struct vm_save_live {
	uint64_t pause_ns; /* the time in which no vCPU ran */
	uint64_t paused_pages; /* copied or saved in it, after the passes */
	uint64_t held_pages; /* saved after it, while writers waited for them */
	uint64_t held_waits; /* how often one did */
	unsigned int passes; /* over memory, before the pause */
};

/* Whether writes to this VM's memory can be tracked (track.h). */
bool vm_is_trackable(const struct vm *vm);

/*
 * The same for a VM that runs and is trackable: memory is saved meanwhile, and the
 * VM is paused only for its other state and the pages that it has written last.  The
 * snapshot is as of that pause.  The guest's writes are tracked from then on, and
 * the VM runs again in any case but that of vm_resume(), or where it has ended.
 */
int vm_save_while_running(struct vm *vm, const char *path,
			  const struct vm_save_options *options,
			  struct vm_save_live *live);

/* The same for a VM that is paused, and stays so; it need not be trackable. */
int vm_save_paused(struct vm *vm, const char *path,
		   const struct vm_save_options *options);

/*
 * The part of vm_save() that uses the VM, without the syncs of the snapshot's files:
 * snap_save_commit(@save) or snap_save_abort() follows, when the VM may run, or has
 * been destroyed.
 */
int vm_save_begin(struct vm *vm, const char *path,
		  const struct vm_save_options *options,
		  struct snap_save **save);

/* Reads and validates the description. */
int vm_describe(const struct snap_file *file,
		struct vm_description *description);

/*
 * The path of disk @n relative to the snapshot's directory: the path in the
 * snapshot, if it is inside, else the disk's file name.  NULL: there is no such
 * file, and the user must name it.  The string is the description's.
 */
const char *vm_disk_inside(const struct snap_file *file,
			   const struct vm_description *description,
			   unsigned int n);

/*
 * The CPU model of the snapshot as text, and to @features the name of each CPU
 * feature on a line.  -ENOEXEC, not logged, for another architecture.
 */
int vm_describe_cpu(const struct snap_file *file, char model[ARCH_MODEL_BYTES],
		    FILE *features);

/*
 * Restores the VM from vm_config's snapshot, instead of vm_boot().  It is paused
 * then.
 */
int vm_restore(struct vm *vm);

#endif
