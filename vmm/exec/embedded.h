/* SPDX-License-Identifier: BSD-2-Clause */
/* The init that is embedded in thaw (guest/init), for its own architecture. */
#ifndef VMM_EXEC_EMBEDDED_H
#define VMM_EXEC_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

/*
 * Returns the program, a static ELF file, and its size; NULL, logged: thaw was
 * built without it. Any thread.
 */
const uint8_t *exec_embedded_init(size_t *len_bytes);

#endif
