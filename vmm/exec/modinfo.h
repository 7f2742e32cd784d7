/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The .modinfo section of a kernel module (an ELF file): "key=value" strings,
 * each with its zero. One thread. The file is hostile.
 */
#ifndef VMM_EXEC_MODINFO_H
#define VMM_EXEC_MODINFO_H

struct image;

/*
 * Returns the value of @key, which the caller frees, or NULL with *@err set:
 * 0 if there is none, or -errno, logged: -EINVAL: not a module of a 64-bit
 * little-endian machine; -ENODATA: truncated.
 */
char *modinfo_get(const struct image *module, const char *key, int *err);

#endif
