/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parsers behind file.h, separate from opening files so that a fuzzer can
 * call them. For this room and its tests only.
 */
#ifndef VMM_SNAP_PARSE_H
#define VMM_SNAP_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/snap/format.h"

struct snap_file;

/*
 * Parses f->state, of f->state_bytes bytes, for @arch (NULL: any). Fills the
 * fields of `state`; snap_close() frees them.
 */
int snap_parse_state(struct snap_file *f, const char *arch);

/*
 * Parses the header and the runs of f->pages_fd, of @size bytes. Call after
 * snap_parse_state().
 */
int snap_parse_pages(struct snap_file *f, uint64_t size);

/*
 * Decodes a run of SNAP_RUN_BYTES that begins at or after *@next, and sets *@next to
 * the first page at which another one may begin; false: it is malformed.
 */
bool snap_take_run(const struct snap_file *f, const uint8_t *bytes,
		   struct page_run *run, uint64_t *next);

/*
 * disk_list.c: parses the section of the copies of disks, which is optional; after
 * snap_parse_state().
 */
int snap_disks_parse(struct snap_file *f);

/* disk_list.c: stores the file name of the copy of disk @n, and returns it. */
const char *snap_disk_name(char name[SNAP_DISK_NAME_BYTES], unsigned int n);

/* disk_list.c: the number of the disk whose copy has this file name; -1: none has. */
int snap_disk_number(const struct snap_file *f, const char *name);

/*
 * file.c: opens the file @name of the snapshot, which is a regular one; its size.  The
 * descriptor.
 */
int snap_open_file(const struct snap_file *f, const char *name, uint64_t *size);

/*
 * file.c: reads `state' only, of the directory @name below @at, or @path where that
 * is AT_FDCWD; @path is for messages.  snap_close() follows in any case.
 */
int snap_open_state(struct snap_file *f, const char *path, int at,
		    const char *name, const char *arch);

/*
 * base.c: parses the section that names the base and its id, and what is not in the
 * base. 1, or 0: there is none.
 */
int snap_base_parse(struct snap_file *f, uint8_t id[SNAP_ID_BYTES]);
/* -ESTALE, logged, unless the open base of @f has this id and its memory. */
int snap_base_check(const struct snap_file *f, const uint8_t id[SNAP_ID_BYTES]);

/* verify.c: logs a page whose checksum is wrong; -EBADMSG. */
int snap_corrupt(const struct snap_file *f, uint64_t page);

/* base.c: reads pages, from the base what is there; errors as snap_read_pages(). */
int snap_read_unchecked(const struct snap_file *f, uint64_t first,
			uint64_t count, void *to);

/* Logs "path/name: reason"; -EBADMSG. */
int snap_bad(const struct snap_file *f, const char *name, const char *reason);

/*
 * Checks pages against their checksums. Silent; -EBADMSG with the first corrupt
 * page in *@bad, or the error of reading the checksums.
 */
int snap_check_pages(const struct snap_file *f, uint64_t first, uint64_t count,
		     const void *data, uint64_t *bad);

#endif
