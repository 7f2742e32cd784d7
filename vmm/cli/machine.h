/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows of the options that describe a machine, for the commands that create one. */
#ifndef VMM_CLI_MACHINE_H
#define VMM_CLI_MACHINE_H

#include "vmm/base/option.h"
#include "vmm/vm/vm.h"

/* -m at offset @mem and -c at @cpu; @least bytes, and the default as text. */
#define MACHINE_OPTION_ROWS(mem, cpu, least, usual)                 \
	{ .kind = OPTION_SIZE,                                      \
	  .letter = 'm',                                            \
	  .name = "mem",                                            \
	  .offset = (mem),                                          \
	  .metavar = "SIZE",                                        \
	  .help = "guest memory in MiB, or with a suffix K, M, G\n" \
		  "or T (default: " usual ")",                      \
	  .min = (least) },                                         \
	{                                                           \
		.kind = OPTION_UINT, .letter = 'c', .name = "cpus", \
		.offset = (cpu), .metavar = "N",                    \
		.help = "number of vCPUs (default: 1)", .min = 1,   \
		.max = MACHINE_CPUS_MAX                             \
	}

/* --memory at offset @o. */
#define MEMORY_BACKING_ROW(o)                                           \
	{                                                               \
		.kind = OPTION_CHOICE, .name = "memory", .offset = (o), \
		.help = "backing of guest memory (default: anon)",      \
		.choices = memory_backing_names                         \
	}

#endif
