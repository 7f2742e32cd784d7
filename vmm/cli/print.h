/* SPDX-License-Identifier: BSD-2-Clause */
/* Text of a file or a guest on standard output; control characters become '?'. */
#ifndef VMM_CLI_PRINT_H
#define VMM_CLI_PRINT_H

#include <stddef.h>

void print_bytes(const char *text, size_t len);
void print_name(const char *text);

#endif
