/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault trace: a text file, one line a fault, under the pager's lock.
 *
 *	# thaw fault trace 1
 *	# time_us who gpa pages cause stall_us
 *	1234.5 0 0x1f3000 16 vcpu 12.3
 *
 * time_us is since the pager was made, to the end of the stall; who is the
 * vCPU's number or "-".
 */
#include <errno.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/pager/private.h"

/* Starts the trace on a copy of the caller's descriptor. */
int trace_open(struct pager *pager)
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
		"# time_us who gpa pages cause stall_us\n",
		(unsigned long long)pager->memory->size_bytes);
	return 0;
}

/* Tells one fault. */
void trace_fault(struct pager *pager, const struct pager_need *need,
		 uint64_t page, uint64_t count, uint64_t now_ns)
{
	const struct memory_region *region =
		memory_region_of_page(pager->memory, page);
	unsigned long long gpa =
		region->gpa + (page * PAGE_BYTES - region->offset_bytes);
	char who[12] = "-";

	if (need->vcpu >= 0)
		snprintf(who, sizeof(who), "%d", need->vcpu);
	pthread_mutex_lock(&pager->lock);
	fprintf(pager->trace, "%.1f %s 0x%llx %llu %s %.1f\n",
		(double)(now_ns - pager->start_ns) / 1000, who, gpa,
		(unsigned long long)count, pager_cause_names[need->cause],
		(double)(now_ns - need->since_ns) / 1000);
	pthread_mutex_unlock(&pager->lock);
}

/* Ends it; says when it could not all be written. */
void trace_close(struct pager *pager)
{
	if (!pager->trace)
		return;
	if (fflush(pager->trace) || ferror(pager->trace))
		log_errno(errno, "fault trace");
	fclose(pager->trace);
	pager->trace = NULL;
}
