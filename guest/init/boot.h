/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first steps of process 1, in the initramfs: the kernel's file systems, and
 * the modules of /modules/list, of which each line is "FILE plain" or "FILE
 * compressed".
 */
#ifndef GUEST_INIT_BOOT_H
#define GUEST_INIT_BOOT_H

struct failure;

/*
 * Mounts /proc, /sys and /dev, opens descriptors 0 to 2 if the kernel did not,
 * and inserts the modules. 0 or -errno, with @f.
 */
int boot(struct failure *f);

#endif
