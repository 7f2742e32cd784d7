/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Constants of the snapshot format, version 1, for both the writer and the
 * reader. doc/snapshot-format.md specifies the format.
 */
#ifndef VMM_SNAP_FORMAT_H
#define VMM_SNAP_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SNAP_VERSION 1
/* Of a snapshot with a base: older readers would misread it. */
#define SNAP_VERSION_BASE 2

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

/* The copy of disk N, and the section that says of which disks there are copies. */
#define SNAP_DISK_NAME	     "disk-%u"
#define SNAP_DISK_NAME_BYTES 8 /* "disk-31" */
#define SNAP_DISK_TAG	     "disks"
#define SNAP_DISKS_MAX	     32
#define SNAP_SECTOR_BYTES    512

/* The section of a snapshot that has a base; the name of that, in bytes. */
#define SNAP_BASE_TAG	     "base"
#define SNAP_BASE_NAME_BYTES 255
/* Snapshots in a chain of bases, at most. */
#define SNAP_CHAIN_MAX 64

/* A range of RAM: its guest physical address and its offset in `memory`. */
struct snap_range {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t offset_bytes;
};

/* Whether page numbers mean the same guest addresses. */
static inline bool snap_ranges_agree(const struct snap_range *a,
				     unsigned int a_count,
				     const struct snap_range *b,
				     unsigned int b_count)
{
	return a_count == b_count && !memcmp(a, b, a_count * sizeof(*a));
}

#endif
