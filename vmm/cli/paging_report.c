/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The statistics of demand paging, on standard error so that they do not mix
 * with the guest's output.  Main thread.
 */
#include <inttypes.h>
#include <stdio.h>

#include "vmm/base/bytes.h"
#include "vmm/base/json.h"
#include "vmm/cli/paging.h"

/* The non-empty buckets of the stall histogram. */
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

static void write_causes(struct json *json, const struct pager_stats *s)
{
	json_object_begin(json, "by_cause");
	for (unsigned int i = 0; i < PAGER_CAUSES; i++) {
		json_object_begin(json, pager_cause_names[i]);
		json_uint(json, "faults", s->faults[i]);
		json_uint(json, "pages", s->pages[i]);
		json_uint(json, "already_present", s->already[i]);
		json_uint(json, "waited", s->waited[i]);
		json_object_end(json);
	}
	json_object_end(json);
}

static void write_json(const struct pager_choice *choice, const char *integrity,
		       const struct pager_stats *s, uint64_t entered_ns)
{
	struct json json;

	json_init(&json, stderr, true);
	json_object_begin(&json, NULL);
	json_string(&json, "pager", pager_mode_names[choice->mode]);
	json_string(&json, "why", choice->why);
	if (integrity)
		json_string(&json, "integrity", integrity);
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

/* One line for each non-empty bucket. */
static void print_stalls(const struct pager_stats *s)
{
	static const char bar[] = "########################################";
	uint64_t most = 1;

	for (unsigned int i = 0; i < PAGER_BUCKETS; i++)
		most = max_u64(most, s->stalls[i]);
	for (unsigned int i = 0; i < PAGER_BUCKETS; i++)
		if (s->stalls[i])
			fprintf(stderr,
				"  < %7" PRIu64 " us %8" PRIu64 " %.*s\n",
				UINT64_C(1) << i, s->stalls[i],
				(int)(s->stalls[i] * (sizeof(bar) - 1) / most),
				bar);
}

static void print_text(const struct pager_choice *choice, const char *integrity,
		       const struct pager_stats *s, uint64_t entered_ns)
{
	fprintf(stderr, "first vCPU entry: %.3f ms\n",
		(double)entered_ns / 1e6);
	fprintf(stderr, "pager: %s (%s)\n", pager_mode_names[choice->mode],
		choice->why);
	if (integrity)
		fprintf(stderr, "  integrity: %s\n", integrity);
	if (choice->mode == PAGER_MAP) {
		fprintf(stderr, "  no statistics: the host kernel pages guest "
				"memory\n");
		return;
	}
	fprintf(stderr,
		"  source: %" PRIu64 " KiB, %" PRIu64 " KiB not yet loaded\n",
		s->source_pages * PAGE_BYTES / KIB,
		s->absent_pages * PAGE_BYTES / KIB);
	for (unsigned int i = 0; i < PAGER_CAUSES; i++)
		if (s->faults[i] || s->already[i] || s->waited[i])
			fprintf(stderr,
				"  %-10s %8" PRIu64 " faults, %8" PRIu64
				" pages; %" PRIu64 " already present, %" PRIu64
				" waited\n",
				pager_cause_names[i], s->faults[i], s->pages[i],
				s->already[i], s->waited[i]);
	fprintf(stderr,
		"  read time: %.3f ms; %" PRIu64 " retries, %" PRIu64
		" failures\n",
		(double)s->read_ns / 1e6, s->retries, s->failures);
	if (s->last_ns)
		fprintf(stderr,
			"  first fault: %.3f ms; last: %.3f ms; longest stall: "
			"%.3f ms\n",
			(double)s->first_ns / 1e6, (double)s->last_ns / 1e6,
			(double)s->stall_max_ns / 1e6);
	if (s->done_ns)
		fprintf(stderr, "  last page loaded: %.3f ms\n",
			(double)s->done_ns / 1e6);
	print_stalls(s);
}

void paging_report(const struct paging_options *options, const struct vm *vm,
		   uint64_t start_ns)
{
	struct pager_stats stats = { 0 };
	uint64_t entered_ns = vm_entered_ns(vm);

	entered_ns = entered_ns ? entered_ns - start_ns : 0;
	vm_pager_stats(vm, &stats);
	if (options->stats == PAGING_STATS_JSON)
		write_json(vm_pager_choice(vm), vm_integrity(vm), &stats,
			   entered_ns);
	else if (options->stats == PAGING_STATS_TEXT)
		print_text(vm_pager_choice(vm), vm_integrity(vm), &stats,
			   entered_ns);
}
