/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is recorded of each fill: the counters, the working set, and a line of
 * the fault trace, a text file that is written under the pager's lock.
 *
 *	# thaw fault trace 1
 *	# memory 536870912
 *	# time_us vcpu gpa pages cause stall_us
 *	1234.5 0 0x1f3000 16 vcpu 12.3
 *
 * memory is the size of RAM in bytes; time_us is since the pager was created,
 * to the end of the stall; vcpu is "-" for other needs.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/pager/private.h"

/* Opens the trace on a copy of the caller's descriptor. */
static int open_trace(struct pager *pager)
{
	int fd;

	if (pager->config.trace_fd < 0)
		return 0;
	fd = dup(pager->config.trace_fd);
	if (fd < 0)
		return log_errno(errno, "fault trace");
	pager->trace = fdopen(fd, "w");
	if (!pager->trace) {
		close(fd);
		return log_errno(ENOMEM, "fault trace");
	}
	fprintf(pager->trace,
		"# thaw fault trace 1\n"
		"# memory %llu\n"
		"# time_us vcpu gpa pages cause stall_us\n",
		(unsigned long long)pager->memory->size_bytes);
	return 0;
}

int record_open(struct pager *pager)
{
	if (pager->config.record) {
		pager->recorded = calloc(pager->source_pages + 1,
					 sizeof(pager->recorded[0]));
		if (!pager->recorded)
			return log_errno(ENOMEM, "working set");
	}
	return open_trace(pager);
}

/* Writes a line of the trace. */
static void trace_fill(struct pager *pager, const struct pager_need *need,
		       uint64_t page, uint64_t count, uint64_t now_ns)
{
	unsigned long long gpa = memory_page_gpa(pager->memory, page);
	char vcpu[12] = "-";

	if (need->vcpu >= 0)
		snprintf(vcpu, sizeof(vcpu), "%d", need->vcpu);
	pthread_mutex_lock(&pager->lock);
	fprintf(pager->trace, "%.1f %s 0x%llx %llu %s %.1f\n",
		(double)(now_ns - pager->start_ns) / 1000, vcpu, gpa,
		(unsigned long long)count, pager_cause_names[need->cause],
		(double)(now_ns - need->since_ns) / 1000);
	pthread_mutex_unlock(&pager->lock);
}

/*
 * Appends the pages of a fill that the source has to the working set, so that a
 * later run fills the same at once; each is filled once, so there is room.
 */
static void add_to_workingset(struct pager *pager, uint64_t first,
			      uint64_t count)
{
	const struct page_source *source = pager->config.source;
	uint64_t at = first;
	struct page_run part;

	while (run_next(source->runs, source->run_count, at, first + count,
			&part)) {
		uint64_t to =
			atomic_fetch_add(&pager->recorded_count, part.count);

		at = part.first + part.count;
		for (uint64_t n = part.first; n < at; n++)
			pager->recorded[to++] = n;
	}
}

void record_fill(struct pager *pager, const struct pager_need *need,
		 uint64_t first, uint64_t count)
{
	struct pager_counters *c = &need->lane->counters;
	bool demand = need->cause != PAGER_CAUSE_BACKGROUND;
	uint64_t now = clock_now_ns();

	if (pager->recorded && demand)
		add_to_workingset(pager, first, count);
	count_add(&c->faults[need->cause], 1);
	count_add(&c->pages[need->cause], count);
	if (demand)
		counters_stall(c, now - need->since_ns, now - pager->start_ns);
	if (pager->trace)
		trace_fill(pager, need, first, count, now);
}

void record_close(struct pager *pager)
{
	free(pager->recorded);
	if (!pager->trace)
		return;
	if (fflush(pager->trace) || ferror(pager->trace))
		log_errno(errno, "fault trace");
	fclose(pager->trace);
	pager->trace = NULL;
}
