/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parsers behind file.h, separate from opening files so that a fuzzer can
 * call them. For this room and its tests only.
 */
#ifndef VMM_SNAP_PARSE_H
#define VMM_SNAP_PARSE_H

#include <stddef.h>
#include <stdint.h>

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

/* Logs "path/name: reason"; -EBADMSG. */
int snap_bad(const struct snap_file *f, const char *name, const char *reason);

/* pread(2) of all @len bytes; -ENODATA if the file ends before. */
int snap_read_at(int fd, void *to, uint64_t len, uint64_t offset);
/* The same, but -EINTR if a signal interrupts a blocked read. */
int snap_read_until_signal(int fd, void *to, uint64_t len, uint64_t offset);

#endif
