/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options about paging, and the report of its figures on standard error,
 * where the guest's own output is not.
 */
#include "vmm/cli/paging.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"

const char *const paging_on_error_words[] = { "stop", "pause", NULL };
const char *const paging_stats_words[] = { "text", "json", NULL };

/* The defaults. */
void paging_options_init(struct paging_options *options, enum pager_mode mode)
{
	*options = (struct paging_options){
		.mode = mode,
		.stats = PAGING_STATS_NONE,
	};
}

/* Reads --prefault. */
static int parse_prefault(const char *text, uint64_t *bytes_s)
{
	*bytes_s = 0;
	if (!text || !strcmp(text, "off"))
		return 0;
	if (!strcmp(text, "full")) {
		*bytes_s = UINT64_MAX;
		return 0;
	}
	if (size_parse(text, bytes_s) < 0 || *bytes_s == 0)
		return log_fail(EINVAL,
				"--prefault: %s is not understood: use off, "
				"full, or an amount a second with K, M or G",
				text);
	return 0;
}

/* Fills what the machine wants to know. */
int paging_options_use(const struct paging_options *options,
		       struct vm_paging *paging)
{
	*paging = (struct vm_paging){
		.mode = options->mode,
		.on_error = options->on_error,
		.deadline_ns = options->deadline_s * UINT64_C(1000000000),
		.run_pages = options->run_pages,
		.trace_fd = -1,
		.inject = options->inject,
	};
	int r = parse_prefault(options->prefault, &paging->prefault_bytes_s);

	if (r < 0 || !options->trace)
		return r;
	paging->trace_fd = open(options->trace,
				O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (paging->trace_fd < 0)
		return log_errno(errno, "--fault-trace %s", options->trace);
	return 0;
}

/* Writes the histogram's filled buckets as JSON. */
static void write_stalls(struct json *json, const struct pager_stats *s)
{
	json_array_begin(json, "stalls");
	for (unsigned int i = 0; i < PAGER_BUCKETS; i++) {
		if (!s->stalls[i])
			continue;
		json_object_begin(json, NULL);
		json_uint(json, "below_us", UINT64_C(1) << i);
		json_uint(json, "count", s->stalls[i]);
		json_object_end(json);
	}
	json_array_end(json);
}

/* Writes the figures by who needed the page as JSON. */
static void write_causes(struct json *json, const struct pager_stats *s)
{
	json_object_begin(json, "by");
	for (unsigned int i = 0; i < PAGER_CAUSES; i++) {
		json_object_begin(json, pager_cause_names[i]);
		json_uint(json, "faults", s->faults[i]);
		json_uint(json, "pages", s->pages[i]);
		json_uint(json, "already_there", s->already[i]);
		json_uint(json, "waited", s->waited[i]);
		json_object_end(json);
	}
	json_object_end(json);
}

/* Writes all of it as JSON. */
static void write_json(const struct pager_choice *choice,
		       const struct pager_stats *s, uint64_t entered_ns)
{
	struct json json;

	json_init(&json, stderr, true);
	json_object_begin(&json, NULL);
	json_string(&json, "pager", pager_mode_names[choice->mode]);
	json_string(&json, "why", choice->why);
	json_uint(&json, "entered_ns", entered_ns);
	json_uint(&json, "source_bytes", s->source_pages * PAGE_BYTES);
	json_uint(&json, "filled_bytes",
		  (s->source_pages - s->absent_pages) * PAGE_BYTES);
	json_uint(&json, "absent_bytes", s->absent_pages * PAGE_BYTES);
	json_uint(&json, "read_ns", s->read_ns);
	json_uint(&json, "retries", s->retries);
	json_uint(&json, "failures", s->failures);
	json_uint(&json, "stall_max_ns", s->stall_max_ns);
	json_uint(&json, "first_fault_ns", s->first_ns);
	json_uint(&json, "last_fault_ns", s->last_ns);
	json_uint(&json, "done_ns", s->done_ns);
	write_causes(&json, s);
	write_stalls(&json, s);
	json_object_end(&json);
	json_finish(&json);
}

/* Writes the histogram as text, one line a filled bucket. */
static void print_stalls(const struct pager_stats *s)
{
	static const char bar[] = "########################################";
	uint64_t most = 1;

	for (unsigned int i = 0; i < PAGER_BUCKETS; i++)
		most = max_u64(most, s->stalls[i]);
	for (unsigned int i = 0; i < PAGER_BUCKETS; i++)
		if (s->stalls[i])
			fprintf(stderr,
				"  below %8" PRIu64 " us %8" PRIu64 " %.*s\n",
				UINT64_C(1) << i, s->stalls[i],
				(int)(s->stalls[i] * (sizeof(bar) - 1) / most),
				bar);
}

/* Writes all of it as text. */
static void print_text(const struct pager_choice *choice,
		       const struct pager_stats *s, uint64_t entered_ns)
{
	fprintf(stderr, "the guest was entered after %.3f ms\n",
		(double)entered_ns / 1e6);
	fprintf(stderr, "pager %s (%s)\n", pager_mode_names[choice->mode],
		choice->why);
	if (choice->mode == PAGER_MAP) {
		fprintf(stderr, "  the host kernel pages guest memory, and has "
				"no figures for it\n");
		return;
	}
	fprintf(stderr,
		"  source held %" PRIu64 " KiB, of which %" PRIu64
		" KiB are still absent\n",
		s->source_pages * PAGE_BYTES / KIB,
		s->absent_pages * PAGE_BYTES / KIB);
	for (unsigned int i = 0; i < PAGER_CAUSES; i++)
		if (s->faults[i] || s->already[i] || s->waited[i])
			fprintf(stderr,
				"  %-10s %8" PRIu64 " faults filled %8" PRIu64
				" pages; %" PRIu64 " found them there, %" PRIu64
				" waited for another\n",
				pager_cause_names[i], s->faults[i], s->pages[i],
				s->already[i], s->waited[i]);
	fprintf(stderr,
		"  reading took %.3f ms; %" PRIu64 " retries, %" PRIu64
		" failures\n",
		(double)s->read_ns / 1e6, s->retries, s->failures);
	if (s->last_ns)
		fprintf(stderr,
			"  first fault at %.3f ms, last at %.3f ms; the longest "
			"stall was %.3f ms\n",
			(double)s->first_ns / 1e6, (double)s->last_ns / 1e6,
			(double)s->stall_max_ns / 1e6);
	if (s->done_ns)
		fprintf(stderr, "  the last page was in at %.3f ms\n",
			(double)s->done_ns / 1e6);
	print_stalls(s);
}

/* Writes the figures. */
void paging_report(const struct paging_options *options, const struct vm *vm,
		   uint64_t start_ns)
{
	struct pager_stats stats = { 0 };
	uint64_t entered_ns = vm_entered_ns(vm);

	entered_ns = entered_ns ? entered_ns - start_ns : 0;
	vm_pager_stats(vm, &stats);
	if (options->stats == PAGING_STATS_JSON)
		write_json(vm_pager_choice(vm), &stats, entered_ns);
	else if (options->stats == PAGING_STATS_TEXT)
		print_text(vm_pager_choice(vm), &stats, entered_ns);
}
