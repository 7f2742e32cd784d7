/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/cli/print.h"

#include <stdio.h>
#include <string.h>

void print_bytes(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		putchar(c < ' ' || c == 0x7f ? '?' : c);
	}
}

void print_name(const char *text)
{
	print_bytes(text, strlen(text));
}
