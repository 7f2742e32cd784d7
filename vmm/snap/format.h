/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Constants of the snapshot format, version 1, for both the writer and the
 * reader. doc/snapshot-format.md specifies the format.
 */
#ifndef VMM_SNAP_FORMAT_H
#define VMM_SNAP_FORMAT_H

#include <stdint.h>

#define SNAP_VERSION 1

#define SNAP_STATE_NAME	     "state"
#define SNAP_MEMORY_NAME     "memory"
#define SNAP_PAGES_NAME	     "pages"
#define SNAP_WORKINGSET_NAME "workingset"
/* Temporary name of a working set until it replaces the old one. */
#define SNAP_WORKINGSET_TEMPORARY ".workingset.tmp"

/* The first eight bytes of each file with a header. */
#define SNAP_STATE_MAGIC      "THAWSNAP"
#define SNAP_PAGES_MAGIC      "THAWPAGE"
#define SNAP_WORKINGSET_MAGIC "THAWWSET"
#define SNAP_MAGIC_BYTES      8

#define SNAP_PAGE_BYTES 4096
#define SNAP_TAG_BYTES	16
#define SNAP_ARCH_BYTES 16
#define SNAP_ID_BYTES	16

/* state: the header before its ranges, each range, the checksum after them. */
#define SNAP_STATE_FIXED_BYTES	  88
#define SNAP_RANGE_BYTES	  24
#define SNAP_SUM_BYTES		  4
#define SNAP_SECTION_HEADER_BYTES 32

/* pages and workingset: their headers. */
#define SNAP_PAGES_HEADER_BYTES	     88
#define SNAP_RUN_BYTES		     16
#define SNAP_WORKINGSET_HEADER_BYTES 56

/* Limits of the reader, which the writer observes. */
#define SNAP_SECTIONS_MAX     4096
#define SNAP_RANGES_MAX	      64
#define SNAP_STATE_BYTES_MAX  (UINT64_C(64) << 20)
#define SNAP_MEMORY_BYTES_MAX (UINT64_C(16) << 40)
#define SNAP_RUNS_MAX	      (UINT64_C(1) << 22)
#define SNAP_WORKINGSET_MAX   (UINT64_C(1) << 24)

/* A range of RAM: its guest physical address and its offset in `memory`. */
struct snap_range {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t offset_bytes;
};

/* Pages [first, first + count) of the file `memory`. */
struct snap_run {
	uint64_t first, count;
};

#endif
