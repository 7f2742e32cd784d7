/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's file systems: the root share becomes the root directory, with a
 * tmpfs over it that takes all writes unless SETUP_READONLY is set, and the other
 * shares are mounted in it.
 */
#ifndef GUEST_INIT_SETUP_H
#define GUEST_INIT_SETUP_H

#include <stdbool.h>

struct failure;
struct setup;

/*
 * Mounts the file systems that need no share, outside the root. 0 or -errno, with @f.
 */
int setup_prepare(struct failure *f);

/*
 * Mounts the shares, moves the kernel's file systems to them and makes them the root.
 * Also the hostname and the network. After setup_prepare(). 0 or -errno, with @f.
 */
int setup_mount(const struct setup *s, struct failure *f);

/* Whether there are writable shares. */
bool setup_is_writable(const struct setup *s);

/* Writes what the guest has not yet written to its writable shares; waits. */
void setup_sync(const struct setup *s);

/* Unmounts the writable shares, also if they are in use. */
void setup_unmount(const struct setup *s);

#endif
