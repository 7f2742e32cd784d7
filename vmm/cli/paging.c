/* SPDX-License-Identifier: BSD-2-Clause */
/* The demand paging options.  Main thread. */
#include "vmm/cli/paging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

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

/* Sets options->huge from the text of --hugepages; -EINVAL, logged. */
static int parse_hugepages(struct paging_options *options)
{
	const char *text = options->hugepages;
	struct memory_huge *huge = &options->huge;

	if (!text)
		return 0;
	for (int i = 0; memory_huge_names[i]; i++) {
		size_t len = strlen(memory_huge_names[i]);

		if (strncmp(text, memory_huge_names[i], len) != 0)
			continue;
		huge->kind = (enum memory_huge_kind)i;
		if (!text[len])
			return 0;
		if (huge->kind == MEMORY_HUGE_HUGETLB && text[len] == '=' &&
		    size_parse(text + len + 1, &huge->page_bytes) == 0 &&
		    is_power_of_two(huge->page_bytes))
			return 0;
	}
	return log_fail(EINVAL,
			"--hugepages: %s is not a kind: use auto, always, "
			"never, hugetlb, or hugetlb=SIZE, for example 2M",
			*text ? text : "\"\"");
}

/* Sets the rate from the text of --prefault; -EINVAL, logged. */
static int parse_prefault(struct paging_options *options)
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

int paging_options_parse(struct paging_options *options)
{
	int r = parse_hugepages(options);

	return r < 0 ? r : parse_prefault(options);
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

void paging_warn_if(bool unused, const char *option, enum pager_mode mode)
{
	if (unused)
		log_warn("--%s has no effect with pager %s", option,
			 pager_mode_names[mode]);
}

void paging_warn_unused(const struct paging_options *options,
			enum pager_mode mode, bool is_restore)
{
	bool prefault =
		options->prefault && strcmp(options->prefault, "off") != 0;

	if (mode == PAGER_USERFAULT || mode == PAGER_UFFD)
		return;
	paging_warn_if(prefault && mode != PAGER_MAP, "prefault", mode);
	paging_warn_if(options->on_error == PAGER_PAUSE, "on-page-error", mode);
	/* Only `restore` reads all memory with retries. */
	paging_warn_if(options->deadline_s &&
			       !(mode == PAGER_EAGER && is_restore),
		       "page-deadline", mode);
	paging_warn_if(options->run_pages, "page-run", mode);
	paging_warn_if(options->trace, "fault-trace", mode);
}
