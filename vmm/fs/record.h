/* SPDX-License-Identifier: BSD-2-Clause */
/* What saving and restoring agree on; the record is described in save.c. */
#ifndef VMM_FS_RECORD_H
#define VMM_FS_RECORD_H

#include <stdint.h>

#define RECORD_VERSION 1

/* The longest section: a snapshot has 64 MiB for all state. */
#define RECORD_BYTES_MAX (UINT32_C(32) << 20)

#endif
