/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshots that have another one as their base: directories beside it, which
 * cannot be restored without it. For this room only. One thread.
 *
 * A save with a base holds a shared lock (flock) on the base's `state` until it has
 * been renamed; one that replaces a snapshot takes an exclusive lock on that one's
 * `state`, looks for dependents, and holds it until the exchange. So neither misses the
 * other. Where the file system has no such locks, dependents are looked for without.
 */
#ifndef VMM_SNAP_DEPENDENTS_H
#define VMM_SNAP_DEPENDENTS_H

#include <stdint.h>

#include "vmm/snap/format.h"

struct snap_file;
struct snap_staging;

/*
 * Refuses to replace a snapshot that others depend on: -EMLINK, logged with the name
 * of one of them, or the error of reading one. A snapshot with the id @id may replace
 * it, as it has the same contents.
 */
int snap_check_dependents(const struct snap_staging *staging,
			  const uint8_t id[SNAP_ID_BYTES]);

/*
 * The same before the rename; also refuses, whatever the id, while a save depends on
 * the target, and waits a few seconds for another save that replaces it, then -EINVAL,
 * logged. *@lock: a descriptor, to be closed after the rename, which keeps new
 * dependents away; -1: none is needed, or there are no locks.
 */
int snap_lock_target(const struct snap_staging *staging,
		     const uint8_t id[SNAP_ID_BYTES], int *lock);

/*
 * Keeps the open base @base, which is named @name beside the target, from being
 * replaced until the descriptor *@lock is closed (-1: none). -EINVAL, logged: it has
 * been, or is being.
 */
int snap_lock_base(const struct snap_staging *staging, const char *name,
		   const struct snap_file *base, int *lock);

/* -EINVAL, logged: @name beside the target is not the open base @base any more. */
int snap_recheck_base(const struct snap_staging *staging, const char *name,
		      const struct snap_file *base);

#endif
