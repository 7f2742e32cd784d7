/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saves pages after the pause of a live save with the contents that they had in it.
 * They are protected from writes; a write waits until the page is saved or copied.  For
 * a guest that writes faster than passes can save.
 *
 *	control thread	saves the pages in order, and the copies first
 *	thread `held'	copies a page when a writer waits for it
 *
 * All functions are the control thread's.
 */
#ifndef VMM_VM_HELD_H
#define VMM_VM_HELD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/run.h"
#include "vmm/mem/protect.h"

struct snap_save;
struct vm;
struct vm_save_options;

struct held {
	struct vm *vm;
	struct snap_save *save;
	bool on; /* prepared, and not ended */
	struct protect protect;
	int wake_fd; /* an eventfd: the thread ends */
	pthread_t thread;
	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	uint64_t *bits; /* the pages that are not saved, one each */
	struct page_run piece; /* the control thread saves it; count 0: none */
	uint8_t *copies; /* mapped */
	uint64_t *copied; /* the pages that the copies are of */
	uint64_t copy_count;
	int error; /* of lifting the protection */
	uint64_t waits; /* pages that a writer has waited for */
	bool ends; /* no more copies are made */
};

/*
 * Prepares for pages of @vm's memory, which runs.  -errno, silent, where that cannot be
 * (protect_open()): then held_end() need not follow.
 */
int held_prepare(struct held *held, struct vm *vm, struct snap_save *save);

/*
 * The pages of @bits, which are present, are held from now on; @bits belongs to @held
 * until held_save() returns.  The VM is paused.  Until held_save() writers wait as soon
 * as there is no room for copies, so what resumes the VM must not wait for a device to
 * write to memory.  -errno, silent: held_end() must follow, as a part may be protected.
 */
int held_protect(struct held *held, uint64_t *bits);

/* Saves them all, while the VM runs, and clears their bits.  -errno, logged. */
int held_save(struct held *held, const struct vm_save_options *options);

/* Ends the protection of all pages.  Without effect after a failed held_prepare(). */
void held_end(struct held *held);

#endif
