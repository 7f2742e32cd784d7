/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The demand paging options of `thaw run` and `thaw restore`.  Main thread.
 */
#ifndef VMM_CLI_PAGING_H
#define VMM_CLI_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/option.h"
#include "vmm/vm/vm.h"

enum paging_stats_format {
	PAGING_STATS_TEXT,
	PAGING_STATS_JSON,
	PAGING_STATS_NONE,
};

struct paging_options {
	enum pager_mode mode;
	enum pager_on_error on_error;
	const char *prefault, *trace, *inject, *hugepages;
	struct memory_huge huge;
	uint64_t prefault_bytes_s; /* 0: off, UINT64_MAX: full speed */
	unsigned int deadline_s, run_pages;
	enum paging_stats_format stats;
};

void paging_options_init(struct paging_options *options, enum pager_mode mode);

extern const char *const paging_on_error_names[];
extern const char *const paging_stats_names[];

/* The rows, for a member at offset @o of the values; @pager: the default. */
#define PAGING_OPTION_ROWS(o, pager)                                           \
	{ .kind = OPTION_HEADING, .help = "Demand paging" },                   \
		{ .kind = OPTION_CHOICE,                                       \
		  .name = "pager",                                             \
		  .offset = (o) + offsetof(struct paging_options, mode),       \
		  .help = "page-fault mechanism, see thaw(1) (default: " pager \
			  ")",                                                 \
		  .choices = pager_mode_names },                               \
		{ .kind = OPTION_STRING,                                       \
		  .name = "hugepages",                                         \
		  .offset = (o) + offsetof(struct paging_options, hugepages),  \
		  .metavar = "KIND",                                           \
		  .help = "large pages of the host: auto, always, never, or\n" \
			  "hugetlb[=SIZE], from its pool (default: auto)" },   \
		{ .kind = OPTION_STRING,                                       \
		  .name = "prefault",                                          \
		  .offset = (o) + offsetof(struct paging_options, prefault),   \
		  .metavar = "off|RATE|full",                                  \
		  .help = "background fill: off, RATE in MiB/s or with a\n"    \
			  "suffix K, M or G, or full speed (default: off)" },  \
		{ .kind = OPTION_CHOICE,                                       \
		  .name = "on-page-error",                                     \
		  .offset = (o) + offsetof(struct paging_options, on_error),   \
		  .help = "if a page is unavailable: exit with status 81\n"    \
			  "(exec: 125), or pause until `thaw ctl retry`\n"     \
			  "(default: stop)",                                   \
		  .choices = paging_on_error_names },                          \
		{ .kind = OPTION_UINT,                                         \
		  .name = "page-deadline",                                     \
		  .offset = (o) + offsetof(struct paging_options, deadline_s), \
		  .metavar = "SECONDS",                                        \
		  .help = "page read timeout in seconds (default: 10)",        \
		  .min = 1,                                                    \
		  .max = 86400 },                                              \
		{ .kind = OPTION_UINT,                                         \
		  .name = "page-run",                                          \
		  .offset = (o) + offsetof(struct paging_options, run_pages),  \
		  .metavar = "PAGES",                                          \
		  .help = "maximum fault-around in pages (default: 128)",      \
		  .min = 1,                                                    \
		  .max = PAGER_RUN_PAGES_MAX },                                \
		{ .kind = OPTION_CHOICE,                                       \
		  .name = "stats",                                             \
		  .offset = (o) + offsetof(struct paging_options, stats),      \
		  .help = "print statistics to standard error at exit",        \
		  .choices = paging_stats_names,                               \
		  .optional = true },                                          \
		{ .kind = OPTION_STRING,                                       \
		  .name = "fault-trace",                                       \
		  .offset = (o) + offsetof(struct paging_options, trace),      \
		  .metavar = "FILE",                                           \
		  .help = "write a fault trace for thaw plot" },               \
	{                                                                      \
		.kind = OPTION_STRING, .name = "page-inject",                  \
		.offset = (o) + offsetof(struct paging_options, inject)        \
	}

/*
 * Sets prefault_bytes_s and huge from --prefault and --hugepages; -EINVAL,
 * logged, if one is invalid.
 */
int paging_options_parse(struct paging_options *options);

/*
 * Fills *@paging; opens the trace, whose descriptor is the caller's
 * (paging->trace_fd, -1 without one).  -errno, logged, for a trace that cannot be
 * opened.
 */
int paging_options_use(const struct paging_options *options,
		       struct vm_paging *paging);

/* Warns that @option, which is @unused, has no effect with @mode. */
void paging_warn_if(bool unused, const char *option, enum pager_mode mode);

/*
 * Warns of each option that has no effect with @mode, the mode in use.
 * @is_restore: of `thaw restore`, otherwise of `thaw run`.
 */
void paging_warn_unused(const struct paging_options *options,
			enum pager_mode mode, bool is_restore);

/*
 * Prints the statistics of a VM that has ended, in the format of --stats.
 * @start_ns: CLOCK_MONOTONIC when the command began.
 */
void paging_report(const struct paging_options *options, const struct vm *vm,
		   uint64_t start_ns);

#endif
