/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One machine: made from a description, booted or loaded, run, paused, ended.
 *
 * Threads: one caller (the control thread) makes, starts, pauses and destroys
 * it; vm_end() is for any thread.  Errors are 0 or -errno, logged.
 */
#ifndef VMM_VM_VM_H
#define VMM_VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/arch.h"
#include "vmm/pager/choose.h"

struct disk;
struct snap_file;
struct terminal;
struct vm;

/* Which device the user's terminal is connected to. */
enum vm_console {
	VM_CONSOLE_SERIAL,
	VM_CONSOLE_VIRTIO,
};

/* What a guest's clocks do while it does not run, paused or in a snapshot. */
enum vm_clock {
	VM_CLOCK_CONTINUE, /* they stand still: guest time goes on from there */
	VM_CLOCK_FOLLOW, /* they go on, so that they jump for the guest */
};

/* How guest memory is filled; zeroed is "all of it before the guest runs". */
struct vm_paging {
	enum pager_mode mode; /* AUTO is decided when the machine is made */
	enum pager_on_error on_error;
	uint64_t prefault_bytes_s; /* see struct pager_config */
	uint64_t deadline_ns;
	uint32_t run_pages;
	int trace_fd; /* -1: none */
	/* The working set to fill first; the caller's. */
	const uint64_t *workingset;
	size_t workingset_count;
	bool record; /* the working set; see vm_workingset() */
	const char *inject; /* see source_inject_create(); NULL: nothing */
};

struct vm_end;

/* A machine in words; everything that it points to outlives the machine. */
struct vm_config {
	const char *kvm_path; /* NULL: /dev/kvm */
	uint64_t memory_bytes; /* a multiple of the page size */
	enum memory_backing backing; /* ANON or GUEST_MEMFD */
	unsigned int cpu_count;
	enum vm_console console;
	enum vm_clock clock;
	struct terminal *terminal; /* NULL: no input, output dropped */
	struct disk *disks;
	unsigned int disk_count;
	struct vm_paging paging;
	/*
	 * Called when the machine ends, once, by the thread that ends it; must
	 * not wait.  NULL: nothing is.
	 */
	void (*ended)(void *ctx, struct vm_end end);
	void *ended_ctx;
	/* What it is loaded from, by vm_restore(); NULL: vm_boot() is called. */
	const struct snap_file *snapshot;
};

/* How a machine ended. */
enum vm_end_kind {
	VM_END_NONE, /* it runs */
	VM_END_POWER_OFF, /* by the guest */
	VM_END_RESET, /* by the guest */
	VM_END_CRASH, /* the guest is beyond help */
	VM_END_LEAVE, /* by the user */
	VM_END_STOPPED, /* by the control side */
	VM_END_SIGNAL, /* thaw was signalled; the number is in detail */
	VM_END_HOST, /* the host failed us */
	VM_END_SOURCE, /* a page of memory cannot be had */
};

struct vm_end {
	enum vm_end_kind kind;
	int detail;
};

/* Makes the machine with its devices; no vCPU runs. */
int vm_create(struct vm **vm, const struct vm_config *config);

/* Ends what runs and frees it all.  NULL is fine. */
void vm_destroy(struct vm *vm);

/* Tells the guest that its power button was pressed.  Any thread. */
int vm_power_button(struct vm *vm);

/* Lets vCPUs try again that wait for a page.  Any thread. */
void vm_retry_pages(struct vm *vm);

/* Loads kernel, initrd and tables. */
int vm_boot(struct vm *vm, const struct boot_config *boot);

/* Starts the event loop and the vCPUs. */
int vm_start(struct vm *vm);

/* Waits until the machine ends; tells how. */
struct vm_end vm_wait(struct vm *vm);

/*
 * Ends it where it has not ended, and joins its threads.  A thread in a read
 * that the kernel does not return from is waited for.
 */
void vm_stop(struct vm *vm);

/*
 * Ends the devices of a machine that has ended, so that what the guest printed
 * is written, as far as its reader takes it.  After vm_stop(); optional.
 */
void vm_finish_devices(struct vm *vm);

/*
 * Asks the machine to end; any thread (a vCPU's and the loop's included),
 * returns at once.  The first reason wins.
 */
void vm_end(struct vm *vm, enum vm_end_kind kind, int detail);

/*
 * Pauses: no vCPU runs, no device touches guest memory, until vm_resume().
 * Control side, one thread at a time.  -ETIMEDOUT when a vCPU or a device waits
 * for a page, -EBUSY when a device waits for a disk's file, -ECANCELED when the
 * machine has ended: it is not paused then.  A guest's clocks
 * stand still meanwhile, unless its config says otherwise; a machine whose
 * clocks cannot be set is not resumed.
 */
int vm_pause(struct vm *vm);
int vm_resume(struct vm *vm);
bool vm_is_paused(const struct vm *vm);

/* What the machine was made from; good for as long as the machine. */
const struct vm_config *vm_get_config(const struct vm *vm);
/* Whether a vCPU stands still for a page that could not be had. */
bool vm_is_stalled(const struct vm *vm);

/*
 * How memory is paged: what was chosen and why, and the figures so far.  Under
 * EAGER they are those of the filling; under MAP the kernel has them, and all
 * are zero.
 */
const struct pager_choice *vm_pager_choice(const struct vm *vm);
void vm_pager_stats(const struct vm *vm, struct pager_stats *stats);

/* How the machine has ended; kind NONE: it has not.  Any thread. */
struct vm_end vm_get_end(struct vm *vm);

/* CLOCK_MONOTONIC when a vCPU first entered the guest, in ns; 0: not yet. */
uint64_t vm_entered_ns(const struct vm *vm);

/*
 * The pages that the guest asked for, in order; how many.  The array is the
 * machine's.  After vm_stop().
 */
size_t vm_workingset(const struct vm *vm, const uint64_t **pages);

/*
 * Makes SIGTERM, SIGINT and SIGHUP end the machine, in vm_wait().  The caller
 * has blocked them (vm_block_signals(true)) before vm_start(); while it is made
 * and loaded they may do what they do to any process.
 */
void vm_block_signals(bool block);
int vm_catch_signals(struct vm *vm);

#endif
