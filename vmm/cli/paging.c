/* SPDX-License-Identifier: BSD-2-Clause */
/* The demand paging options.  Main thread. */
#include "vmm/cli/paging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"

const char *const paging_on_error_names[] = { "stop", "pause", NULL };
const char *const paging_stats_names[] = { "text", "json", NULL };

void paging_options_init(struct paging_options *options, enum pager_mode mode)
{
	*options = (struct paging_options){
		.mode = mode,
		.stats = PAGING_STATS_NONE,
	};
}

int paging_options_parse(struct paging_options *options)
{
	const char *text = options->prefault;
	uint64_t *bytes_s = &options->prefault_bytes_s;

	*bytes_s = 0;
	if (!text || !strcmp(text, "off"))
		return 0;
	if (!strcmp(text, "full")) {
		*bytes_s = UINT64_MAX;
		return 0;
	}
	if (size_parse(text, bytes_s) < 0 || *bytes_s == 0)
		return log_fail(EINVAL,
				"--prefault: %s is not a rate: use off, full, "
				"or a number with K, M or G",
				*text ? text : "\"\"");
	return 0;
}

int paging_options_use(const struct paging_options *options,
		       struct vm_paging *paging)
{
	*paging = (struct vm_paging){
		.mode = options->mode,
		.on_error = options->on_error,
		.deadline_ns = options->deadline_s * UINT64_C(1000000000),
		.run_pages = options->run_pages,
		.trace_fd = -1,
		.prefault_bytes_s = options->prefault_bytes_s,
		.inject = options->inject,
	};
	if (!options->trace)
		return 0;
	paging->trace_fd = open(options->trace,
				O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (paging->trace_fd < 0)
		return log_errno(errno, "--fault-trace %s", options->trace);
	return 0;
}

/* Whether @mode uses the time limit of reads: a loader of `run` cannot fail. */
static bool has_deadline(enum pager_mode mode, bool is_restore)
{
	return mode == PAGER_USERFAULT || mode == PAGER_UFFD ||
	       (mode == PAGER_EAGER && is_restore);
}

void paging_warn_unused(const struct paging_options *options,
			enum pager_mode mode, bool is_restore)
{
	bool on_demand = mode == PAGER_USERFAULT || mode == PAGER_UFFD;
	const struct {
		const char *name;
		bool unused;
	} rows[] = {
		{ "prefault", options->prefault &&
				      strcmp(options->prefault, "off") != 0 &&
				      !on_demand },
		{ "on-page-error",
		  options->on_error == PAGER_PAUSE && !on_demand },
		{ "page-deadline",
		  options->deadline_s && !has_deadline(mode, is_restore) },
		{ "page-run", options->run_pages && !on_demand },
		{ "fault-trace", options->trace && !on_demand },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].unused)
			log_warn("--%s has no effect with pager %s",
				 rows[i].name, pager_mode_names[mode]);
}
