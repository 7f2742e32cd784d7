/* SPDX-License-Identifier: BSD-2-Clause */
/* The values of --disk.  Main thread. */
#ifndef VMM_CLI_DISK_H
#define VMM_CLI_DISK_H

#include <stdbool.h>

#include "vmm/io/disk.h"

#define DISK_OPTION_METAVAR "PATH[,ro][,direct][,aio=...]"

struct disk_options {
	char *path; /* owned */
	bool read_only, direct;
	enum disk_aio_kind aio;
};

/*
 * Parses PATH[,ro][,direct][,aio=auto|io_uring|threads].  The options are taken from
 * the end, each once; what is left is the path, which may contain commas.  -ENOMEM,
 * logged.
 */
int disk_options_parse(struct disk_options *options, const char *arg);
void disk_options_finish(struct disk_options *options);

#endif
