/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses `pages`: the header and the runs. Runs are read and checked in pieces,
 * so a file that claims more runs than it contains costs no more than its real
 * size.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/crc32c.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"

#define PAGES SNAP_PAGES_NAME

#define RUNS_AT_ONCE 4096

static int read_pages_file(const struct snap_file *f, void *to, uint64_t len,
			   uint64_t offset)
{
	int err = pread_all(f->pages_fd, to, len, offset);

	if (err == -ENODATA)
		return snap_bad(f, PAGES, "truncated");
	return err ? log_errno(-err, "%s/%s: read", f->path, PAGES) : 0;
}

/* Checks the header at @h and stores its fields. */
static int take_header(struct snap_file *f, const uint8_t *h, uint64_t size)
{
	uint64_t page_count = get_le64(h + 32), sums_end;
	uint32_t version = get_le32(h + 8);

	if (memcmp(h, SNAP_PAGES_MAGIC, SNAP_MAGIC_BYTES) != 0)
		return snap_bad(f, PAGES,
				"not a snapshot page index (bad "
				"magic)");
	if (version > SNAP_VERSION_BASE)
		return log_fail(EPROTONOSUPPORT,
				"%s/%s: made by a newer thaw (format version "
				"%u, maximum supported: %d)",
				f->path, PAGES, version, SNAP_VERSION_BASE);
	if (crc32c(0, h, SNAP_PAGES_HEADER_BYTES - SNAP_SUM_BYTES) !=
	    get_le32(h + SNAP_PAGES_HEADER_BYTES - SNAP_SUM_BYTES))
		return snap_bad(f, PAGES, "corrupt header");
	if (memcmp(h + 16, f->id, SNAP_ID_BYTES) != 0)
		return snap_bad(f, PAGES, "belongs to another snapshot");
	f->present_count = get_le64(h + 40);
	f->run_count = get_le64(h + 48);
	f->sums_offset = get_le64(h + 56);
	if (version != f->version || page_count != f->page_count ||
	    get_le32(h + 12) != SNAP_PAGES_HEADER_BYTES ||
	    get_le32(h + 72) != SNAP_PAGE_BYTES ||
	    f->present_count > page_count || f->run_count > SNAP_RUNS_MAX ||
	    f->run_count > f->present_count)
		return snap_bad(f, PAGES, "malformed header");
	/* No overflow below: runs and pages are bounded. */
	sums_end = align_up(SNAP_PAGES_HEADER_BYTES +
				    f->run_count * SNAP_RUN_BYTES,
			    SNAP_PAGE_BYTES);
	if (f->sums_offset != sums_end ||
	    get_le64(h + 64) != sums_end + page_count * SNAP_SUM_BYTES)
		return snap_bad(f, PAGES, "malformed header");
	if (size != get_le64(h + 64))
		return snap_bad(f, PAGES,
				size < get_le64(h + 64) ?
					"truncated" :
					"larger than its header specifies");
	return 0;
}

/* Doubles the array of runs, up to run_count. */
static int grow_runs(struct snap_file *f, uint64_t *room)
{
	uint64_t more = min_u64(*room ? *room * 2 : RUNS_AT_ONCE, f->run_count);
	struct page_run *runs;

	runs = realloc(f->runs, (more + 1) * sizeof(runs[0]));
	if (!runs)
		return log_errno(ENOMEM, "%s/%s", f->path, PAGES);
	f->runs = runs;
	*room = more;
	return 0;
}

bool snap_take_run(const struct snap_file *f, const uint8_t *bytes,
		   struct page_run *run, uint64_t *next)
{
	run->first = get_le64(bytes);
	run->count = get_le64(bytes + 8);
	if (run->first < *next || !run->count ||
	    !range_within(run->first, run->count, f->page_count))
		return false;
	*next = run->first + run->count + 1;
	return true;
}

/* Reads all runs and checks them against @sum and present_count. */
static int take_runs(struct snap_file *f, uint32_t expected)
{
	uint8_t bytes[RUNS_AT_ONCE * SNAP_RUN_BYTES];
	uint64_t next = 0, present = 0, room = 0;
	uint32_t sum = 0;
	int err = 0;

	for (uint64_t at = 0; at < f->run_count && !err;) {
		uint64_t n = min_u64(f->run_count - at, RUNS_AT_ONCE);

		err = read_pages_file(f, bytes, n * SNAP_RUN_BYTES,
				      SNAP_PAGES_HEADER_BYTES +
					      at * SNAP_RUN_BYTES);
		if (!err && at + n > room)
			err = grow_runs(f, &room);
		sum = crc32c(sum, bytes, n * SNAP_RUN_BYTES);
		for (uint64_t i = 0; i < n && !err; i++, at++) {
			if (!snap_take_run(f, bytes + i * SNAP_RUN_BYTES,
					   &f->runs[at], &next))
				err = snap_bad(f, PAGES, "corrupt page runs");
			present += f->runs[at].count;
		}
	}
	if (!err && (sum != expected || present != f->present_count))
		err = snap_bad(f, PAGES, "corrupt page runs");
	return err;
}

int snap_parse_pages(struct snap_file *f, uint64_t size)
{
	uint8_t header[SNAP_PAGES_HEADER_BYTES];
	int err;

	if (size < sizeof(header))
		return snap_bad(f, PAGES, "truncated");
	err = read_pages_file(f, header, sizeof(header), 0);
	if (!err)
		err = take_header(f, header, size);
	return err ? err : take_runs(f, get_le32(header + 80));
}
