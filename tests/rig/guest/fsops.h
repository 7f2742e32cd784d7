/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsops.h - how the groups of operations of fsops report what they saw.  One line
 * per observation on standard output; nothing in it depends on the time, on the
 * order of a directory or on a number that the file system chose.
 */
#ifndef TESTS_RIG_GUEST_FSOPS_H
#define TESTS_RIG_GUEST_FSOPS_H

#include <stddef.h>
#include <stdint.h>

/* Reports result, or the name of errno if it is negative; returns it. */
long tell(const char *what, long result);

/* The same for a descriptor, whose number is not reported. */
int tell_fd(const char *what, int fd);

/* Reports the descriptor, and closes it. */
void tell_open(const char *what, int fd);

/* Reports type, mode, links, owner and, but for a directory, the size. */
void show(const char *path);

/* Reports size and a hash of the contents of a file. */
void show_contents(const char *path);

/* Writes a string to a file, which is created or truncated first. */
void put(const char *path, const char *text);

/* n bytes that depend on seed only. */
void fill(uint8_t *bytes, size_t n, unsigned int seed);

/* FNV-1a, continued from hash (0: from the start). */
uint64_t hash_of(uint64_t hash, const void *bytes, size_t n);

/* Runs fn in a child; reports its exit status, or the signal that killed it. */
void in_child(const char *what, int (*fn)(void));

/* The groups; the working directory is an empty one. */
void ops_names(void);
void ops_open(void);
void ops_attr(void);
void ops_links(void);
void ops_nodes(void);
void ops_rename(void);
void ops_dirs(void);
void ops_users(void);
void ops_io(void);
void ops_space(void);
void ops_xattr(void);
void ops_locks(void);
void ops_mmap(void);
void ops_exec(void);
void ops_statfs(void);
void ops_many(void);

#endif
