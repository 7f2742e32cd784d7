/* SPDX-License-Identifier: BSD-2-Clause */
/* A page source over a snapshot: its runs, checked as they are read. */
#ifndef VMM_VM_SOURCE_SNAPSHOT_H
#define VMM_VM_SOURCE_SNAPSHOT_H

struct page_source;
struct snap_file;

/* @file stays the caller's and outlives the source.  -ENOMEM, logged. */
int source_snapshot_create(struct page_source **source,
			   const struct snap_file *file);

#endif
