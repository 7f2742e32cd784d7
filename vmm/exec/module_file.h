/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a module: opened, and decompressed unless the guest's kernel does
 * that itself. One thread.
 */
#ifndef VMM_EXEC_MODULE_FILE_H
#define VMM_EXEC_MODULE_FILE_H

#include "vmm/exec/module_tree.h"
#include "vmm/exec/modules.h"

/*
 * Opens the module at @path of the tree @dir. A path of modules.order names no
 * suffix of compression, and in a build tree an object file: the module beside
 * it is opened. @config is the text of the kernel's configuration; NULL:
 * unknown, or to decompress on the host in any case. -errno, logged.
 */
int module_file_open(struct guest_module *module, const char *dir,
		     struct span path, const char *config);

/* A zeroed module is fine. */
void module_file_close(struct guest_module *module);

#endif
