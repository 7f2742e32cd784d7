/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/cli/id.h"

#include <errno.h>
#include <stdlib.h>

const char *id_parse(const char *text, char end, uint32_t *id)
{
	unsigned long value;
	char *rest;

	if (*text < '0' || *text > '9')
		return NULL;
	errno = 0;
	value = strtoul(text, &rest, 10);
	if (errno || value >= UINT32_MAX || *rest != end)
		return NULL;
	*id = (uint32_t)value;
	return end ? rest + 1 : rest;
}
