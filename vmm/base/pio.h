/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pread(2) and pwrite(2) of all @len bytes, however many calls that takes.  Any thread;
 * silent: 0 or -errno.
 */
#ifndef VMM_BASE_PIO_H
#define VMM_BASE_PIO_H

#include <stdint.h>

/* -ENODATA: the file ends before. */
int pread_all(int fd, void *to, uint64_t len, uint64_t offset);

/* The same, but -EINTR if a signal interrupts a blocked read. */
int pread_until_signal(int fd, void *to, uint64_t len, uint64_t offset);

int pwrite_all(int fd, const void *from, uint64_t len, uint64_t offset);

#endif
