/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The initramfs of a guest, made in memory:
 *
 *	/init             the program that becomes process 1
 *	/modules/list     one line for each module, in the order of insertion:
 *	                  "FILE plain" or "FILE compressed", which is loaded with
 *	                  MODULE_INIT_COMPRESSED_FILE; empty if there is none
 *	/modules/FILE     the modules
 *	/dev/console, /dev/null
 *	/proc, /sys       empty directories
 *
 * One thread: set-up.
 */
#ifndef VMM_EXEC_INITRAMFS_H
#define VMM_EXEC_INITRAMFS_H

#include <stddef.h>
#include <stdint.h>

struct module_set;

/*
 * Returns a memory file with the archive, which the caller closes, or -errno,
 * logged. The same input gives the same bytes.
 */
int initramfs_build(const struct module_set *modules, const uint8_t *init,
		    size_t init_bytes);

#endif
