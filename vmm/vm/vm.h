/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One VM: created from a config, booted or restored, run, paused, ended.
 *
 * Threads: the main thread creates, loads, starts, waits for, stops and destroys
 * it.  While it runs, one thread (of the control socket) pauses, resumes and
 * saves it.  Functions for any thread say so.  Errors are 0 or -errno, logged.
 */
#ifndef VMM_VM_VM_H
#define VMM_VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch.h"
#include "vmm/pager/choose.h"

struct disk;
struct fs_usage;
struct snap_file;
struct terminal;
struct virtio_fs_share;
struct virtio_net_link;
struct virtio_ports;
struct vm;

#define VM_SHARES_MAX 8
#define VM_NETS_MAX   8

/* The device that the user's terminal is connected to. */
enum vm_console {
	VM_CONSOLE_SERIAL,
	VM_CONSOLE_VIRTIO,
};

/* Guest clocks while the guest is paused or in a snapshot. */
enum vm_clock {
	VM_CLOCK_CONTINUE, /* stopped: guest time continues from there */
	VM_CLOCK_FOLLOW, /* running: they jump, as the guest sees it */
};

/* How guest memory is populated. */
struct vm_paging {
	enum pager_mode mode; /* AUTO is resolved by vm_create() */
	enum pager_on_error on_error;
	uint64_t prefault_bytes_s; /* see struct pager_config */
	uint64_t deadline_ns;
	uint32_t run_pages;
	int trace_fd; /* -1: none */
	/* The working set to fill first; the caller's, outlives the VM. */
	const uint64_t *workingset;
	size_t workingset_count;
	bool record; /* the working set; see vm_workingset() */
	const char *inject; /* see source_inject_create(); NULL: none */
};

struct vm_end;

/* Everything that it points to outlives the VM. */
struct vm_config {
	const char *kvm_path; /* NULL: /dev/kvm */
	uint64_t memory_bytes; /* a multiple of the page size */
	enum memory_backing backing; /* ANON or GUEST_MEMFD */
	struct memory_huge huge;
	unsigned int cpu_count;
	enum vm_console console;
	enum vm_clock clock;
	struct terminal *terminal; /* NULL: no input, output dropped */
	struct disk *disks;
	unsigned int disk_count;
	/* Of each disk; 0: one for each vCPU, at most VIRTIO_BLK_QUEUES_MAX. */
	unsigned int disk_queues;
	const struct virtio_fs_share *shares;
	unsigned int share_count; /* at most VM_SHARES_MAX */
	const struct virtio_ports *ports; /* NULL: no such device */
	const struct virtio_net_link *nets;
	unsigned int net_count; /* at most VM_NETS_MAX */
	struct vm_paging paging;
	/*
	 * Called once, when the VM ends, on the thread that ends it and with the
	 * VM's lock held: must not wait, or call a function below.  May be NULL.
	 */
	void (*ended)(void *ctx, struct vm_end end);
	void *ended_ctx;
	/* For vm_restore(); NULL: the guest is booted. */
	const struct snap_file *snapshot;
	bool track; /* its writes from then on, for a save with it as the base */
};

/* How a VM ended. */
enum vm_end_kind {
	VM_END_NONE, /* it runs */
	VM_END_POWER_OFF, /* by the guest */
	VM_END_RESET, /* by the guest */
	VM_END_CRASH, /* the guest crashed */
	VM_END_LEAVE, /* by the user */
	VM_END_STOPPED, /* by `thaw ctl quit`, or after a snapshot */
	VM_END_SIGNAL, /* thaw received the signal in detail */
	VM_END_HOST, /* an error of the host */
	VM_END_SOURCE, /* a page is unavailable */
};

struct vm_end {
	enum vm_end_kind kind;
	int detail;
};

/* Creates the VM with its devices; no vCPU runs. */
int vm_create(struct vm **vm, const struct vm_config *config);

/* Stops it and frees it.  NULL is fine. */
void vm_destroy(struct vm *vm);

/* Presses the guest's power button.  Any thread. */
int vm_power_button(struct vm *vm);

/* Retries the pages that are unavailable; see pager_retry().  Any thread. */
void vm_retry_pages(struct vm *vm);

/* Loads kernel, initrd and tables into guest memory, or its page source. */
int vm_boot(struct vm *vm, const struct boot_config *boot);

/*
 * Starts the event loop, the pager's background and the vCPUs; after a restore,
 * the clocks and the devices first.
 */
int vm_start(struct vm *vm);

/* Waits until the VM ends; vm_get_end() says how. */
void vm_wait(struct vm *vm);

/*
 * Ends the VM, unless it has ended, and joins its threads.  Blocks for as
 * long as a thread is in a system call that a signal does not interrupt.
 */
void vm_stop(struct vm *vm);

/*
 * Destroys the devices that access files and networks of the host, after vm_stop().
 * Blocks for as long as a request does that cannot be interrupted.  Optional;
 * vm_finish_devices() does it as well.
 */
void vm_finish_requests(struct vm *vm);

/*
 * Destroys the other devices after vm_stop(), so that the guest's output is written, as
 * far as its reader accepts it.  Optional; vm_destroy() does it as well.
 */
void vm_finish_devices(struct vm *vm);

/*
 * Makes the VM end.  Any thread (a vCPU's and the loop's included), does not wait.
 * The first reason counts, but for vm_end_asked().
 */
void vm_end(struct vm *vm, enum vm_end_kind kind, int detail);
/*
 * The same at a user's request, which replaces a reset by the guest: after a reset
 * the guest may boot again, and the request would be lost.
 */
void vm_end_asked(struct vm *vm, enum vm_end_kind kind, int detail);

/*
 * Pauses: no vCPU runs, no device touches guest memory, until vm_resume().
 * -ETIMEDOUT when a vCPU or a device waits for a page, -EBUSY when a device waits
 * for a disk's file, -ECANCELED when the VM has ended: it is not paused then.  The
 * guest's clocks stop meanwhile, or not (enum vm_clock); a VM whose clocks cannot
 * be set is not resumed.  One that has ended is not resumed either: 0.
 */
int vm_pause(struct vm *vm);
int vm_resume(struct vm *vm);
bool vm_is_paused(const struct vm *vm);

/* The config of vm_create(); valid as long as the VM. */
const struct vm_config *vm_get_config(const struct vm *vm);
/* Whether a thread waits for an unavailable page.  Any thread. */
bool vm_is_stalled(const struct vm *vm);

/*
 * How memory is paged: what was chosen and why, and the figures so far.  Under
 * EAGER they are those of the filling; under MAP the kernel has them, and all
 * are zero.
 */
const struct pager_choice *vm_pager_choice(const struct vm *vm);
/*
 * What is known about the pages of a restored guest, as a phrase: "each page is
 * verified before a vCPU sees it".  NULL: not restored.
 */
const char *vm_integrity(const struct vm *vm);
void vm_pager_stats(const struct vm *vm, struct pager_stats *stats);

/*
 * Whether all that the guest has sent to its ports is written, or dropped because it
 * has no reader; false also if the event loop is busy.  Any thread, until vm_stop();
 * does not wait long.
 */
bool vm_ports_drained(const struct vm *vm);

/* The figures of share @n of the config.  Control thread. */
void vm_share_usage(const struct vm *vm, unsigned int n,
		    struct fs_usage *usage);

/* How the VM has ended; kind NONE: it has not.  Any thread. */
struct vm_end vm_get_end(struct vm *vm);

/* CLOCK_MONOTONIC when a vCPU first entered the guest, in ns; 0: not yet. */
uint64_t vm_entered_ns(const struct vm *vm);

/*
 * The pages that the guest accessed, in order; how many.  The array is the VM's.
 * After vm_stop().
 */
size_t vm_workingset(const struct vm *vm, const uint64_t **pages);

/*
 * Makes SIGTERM, SIGINT and SIGHUP end the VM, in vm_wait().  The caller has
 * blocked them (vm_block_signals(true)) before vm_start(); while the VM is created
 * and loaded they have their default actions.
 */
void vm_block_signals(bool block);
int vm_catch_signals(struct vm *vm);

#endif
