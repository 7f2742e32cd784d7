/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshots that have another one as their base: directories beside it, which
 * cannot be restored without it. For this room only. One thread.
 */
#ifndef VMM_SNAP_DEPENDENTS_H
#define VMM_SNAP_DEPENDENTS_H

#include <stdint.h>

#include "vmm/snap/format.h"

struct snap_staging;

/*
 * Refuses to replace a snapshot that others depend on: -EMLINK, logged with the name
 * of one of them. One with the id @id may replace it, as it has the same contents.
 */
int snap_check_dependents(const struct snap_staging *staging,
			  const uint8_t id[SNAP_ID_BYTES]);

#endif
