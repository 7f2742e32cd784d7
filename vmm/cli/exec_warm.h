/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The saved guests of `thaw exec': one for each kernel and machine, saved by the
 * first run when the guest's init has said HELLO.  No share is mounted then, so
 * nothing of the host's files is in it, and nothing of a run: later runs restore
 * it and go on from there, whatever their directories and their command are.
 *
 * A run goes on without a saved guest when anything here fails: nothing returns
 * an error.  Errors of the snapshot itself are logged as errors.
 *
 * Main thread, except where a function says otherwise.
 */
#ifndef VMM_CLI_EXEC_WARM_H
#define VMM_CLI_EXEC_WARM_H

#include <pthread.h>
#include <semaphore.h>

#include "vmm/cli/exec_options.h"
#include "vmm/exec/cache.h"
#include "vmm/exec/cache_key.h"
#include "vmm/exec/kernel.h"
#include "vmm/exec/modules.h"
#include "vmm/snap/file.h"

struct exec_outcome;

/* What the saved guest depends on.  All of it outlives the struct exec_warm. */
struct exec_warm_config {
	const struct exec_options *options;
	const struct guest_kernel *kernel;
	const struct module_set *modules;
	const char *cmdline;
	const struct shares *shares;
	const struct nets *nets; /* open */
};

/* Zeroed: neither. */
struct exec_warm {
	struct exec_warm_config config;
	struct cache cache;
	struct cache_key key;
	char key_text[CACHE_KEY_TEXT_BYTES];
	int program_fd; /* this program's file; a part of the key */
	struct cache_entry entry;
	bool found; /* entry has a guest, and file is open */
	bool making; /* entry is to be filled by exec_warm_save() */
	bool saving; /* the thread runs, and fills entry */
	pthread_t thread;
	struct vm *vm; /* of the thread, until vm_unused is posted */
	sem_t vm_unused;
	void (*written)(void *ctx);
	void *written_ctx;
	struct snap_file file;
	uint64_t *workingset; /* page numbers, to be filled first; owned */
	uint64_t workingset_count;
};

/* Looks for a saved guest, and if there is none prepares to save one. */
void exec_warm_open(struct exec_warm *warm,
		    const struct exec_warm_config *config);

/*
 * A zeroed struct is fine.  After the end of the VM.  Waits until a snapshot is
 * complete; signals have their default actions meanwhile.
 */
void exec_warm_close(struct exec_warm *warm);

/* Sets the mode and the working set of @paging for the guest of this run. */
void exec_warm_choose_paging(const struct exec_warm *warm,
			     struct vm_paging *paging);

/*
 * Begins to save the guest if there is an entry to be filled; false if not.  A
 * thread, `save', writes it while it is paused, calls @written, and then syncs
 * the files; a guest that cannot be resumed is ended.  Any thread, while the VM
 * runs.
 */
bool exec_warm_save(struct exec_warm *warm, struct vm *vm,
		    void (*written)(void *ctx), void *ctx);

/*
 * Waits until the thread does not use the VM any more.  After the VM's end, and
 * before its devices are destroyed.
 */
void exec_warm_leave_vm(struct exec_warm *warm);

/* Writes the working set of a guest whose pager has recorded it. */
void exec_warm_keep_workingset(const struct exec_warm *warm,
			       const struct vm *vm);

/*
 * Removes the saved guest, which was not restored, or did not get as far as to
 * run a command: found is false then.
 */
void exec_warm_remove(struct exec_warm *warm);

#endif
