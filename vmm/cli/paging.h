/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command-line options about paging, which `thaw run` and `thaw restore`
 * share, and the report of its figures.  Main thread.
 */
#ifndef VMM_CLI_PAGING_H
#define VMM_CLI_PAGING_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/option.h"
#include "vmm/vm/vm.h"

enum paging_stats_format {
	PAGING_STATS_TEXT,
	PAGING_STATS_JSON,
	PAGING_STATS_NONE,
};

/* What the options say; paging_options_init() has the defaults. */
struct paging_options {
	enum pager_mode mode;
	enum pager_on_error on_error;
	const char *prefault, *trace, *inject;
	unsigned int deadline_s, run_pages;
	enum paging_stats_format stats;
};

void paging_options_init(struct paging_options *options, enum pager_mode mode);

extern const char *const paging_on_error_words[];
extern const char *const paging_stats_words[];

/* The rows, for a member at offset @o of the values. */
#define PAGING_OPTION_ROWS(o)                                                  \
	{ .kind = OPTION_HEADING,                                              \
	  .help = "Memory that arrives when touched" },                        \
		{ .kind = OPTION_CHOICE,                                       \
		  .name = "pager",                                             \
		  .offset = (o) + offsetof(struct paging_options, mode),       \
		  .help = "how absent pages are noticed, see thaw(1);\n"       \
			  "run: eager, restore: auto",                         \
		  .choices = pager_mode_names },                               \
		{ .kind = OPTION_STRING,                                       \
		  .name = "prefault",                                          \
		  .offset = (o) + offsetof(struct paging_options, prefault),   \
		  .metavar = "off|RATE|full",                                  \
		  .help = "fill ahead in the background: never, so\n"          \
			  "much a second, or as fast as it goes; off" },       \
		{ .kind = OPTION_CHOICE,                                       \
		  .name = "on-page-error",                                     \
		  .offset = (o) + offsetof(struct paging_options, on_error),   \
		  .help = "when a page cannot be had: end with status\n"       \
			  "81, or wait until told to go on",                   \
		  .choices = paging_on_error_words },                          \
		{ .kind = OPTION_UINT,                                         \
		  .name = "page-deadline",                                     \
		  .offset = (o) + offsetof(struct paging_options, deadline_s), \
		  .metavar = "SECONDS",                                        \
		  .help = "how long a page is tried for; 10",                  \
		  .min = 1,                                                    \
		  .max = 86400 },                                              \
		{ .kind = OPTION_UINT,                                         \
		  .name = "page-run",                                          \
		  .offset = (o) + offsetof(struct paging_options, run_pages),  \
		  .metavar = "PAGES",                                          \
		  .help = "at most so many neighbours are filled at\n"         \
			  "once, a power of two; 128",                         \
		  .min = 1,                                                    \
		  .max = PAGER_RUN_PAGES_MAX },                                \
		{ .kind = OPTION_CHOICE,                                       \
		  .name = "stats",                                             \
		  .offset = (o) + offsetof(struct paging_options, stats),      \
		  .help = "figures at the end, on standard error",             \
		  .choices = paging_stats_words,                               \
		  .optional = true },                                          \
		{ .kind = OPTION_STRING,                                       \
		  .name = "fault-trace",                                       \
		  .offset = (o) + offsetof(struct paging_options, trace),      \
		  .metavar = "FILE",                                           \
		  .help = "write a line for each fault; see thaw plot" },      \
	{                                                                      \
		.kind = OPTION_STRING, .name = "page-inject",                  \
		.offset = (o) + offsetof(struct paging_options, inject)        \
	}

/*
 * Fills *@paging; opens the trace, whose descriptor is the caller's
 * (paging->trace_fd, -1 without one).  -EINVAL for a bad --prefault, -errno for
 * a trace that cannot be written; logged.
 */
int paging_options_use(const struct paging_options *options,
		       struct vm_paging *paging);

/*
 * Writes the figures of a machine that has ended, as the options ask.
 * @start_ns: CLOCK_MONOTONIC when the command began.
 */
void paging_report(const struct paging_options *options, const struct vm *vm,
		   uint64_t start_ns);

#endif
