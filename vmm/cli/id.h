/* SPDX-License-Identifier: BSD-2-Clause */
/* User and group ids in the values of options. */
#ifndef VMM_CLI_ID_H
#define VMM_CLI_ID_H

#include <stdint.h>

/*
 * Parses a decimal id that ends at @end, a character or '\0'. Returns what
 * follows, or NULL if there is no id: chown(2) has another meaning for UINT32_MAX.
 */
const char *id_parse(const char *text, char end, uint32_t *id);

#endif
