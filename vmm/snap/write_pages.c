/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file `pages`: runs of present pages, and checksums.
 *
 * The index has one byte per page for presence and one word per page for the
 * checksum, in mapped memory that is populated as it is used. Threads that save
 * different pages write different bytes, so there is no lock; the page count is
 * atomic, relaxed, because it orders nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/base/run.h"
#include "vmm/base/zeros.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/write.h"

/* Checksums per write. */
#define SUMS_AT_ONCE 4096

int snap_index_init(struct snap_index *index, uint64_t page_count,
		    crc32c_function *sum)
{
	index->page_count = page_count;
	index->sum = sum ? sum : crc32c;
	index->present = zeros_map(page_count);
	index->sums = zeros_map(page_count * sizeof(index->sums[0]));
	return index->present && index->sums ? 0 : -ENOMEM;
}

void snap_index_finish(struct snap_index *index)
{
	zeros_unmap(index->present, index->page_count);
	zeros_unmap(index->own, index->page_count);
	zeros_unmap(index->sums, index->page_count * sizeof(index->sums[0]));
}

/* Takes the checksums of a run of the base. */
static int take_sums(struct snap_index *index, const struct snap_file *base,
		     const struct page_run *run)
{
	uint8_t bytes[SUMS_AT_ONCE * SNAP_SUM_BYTES];
	int err = 0;

	for (uint64_t i = 0; i < run->count && !err; i += SUMS_AT_ONCE) {
		uint64_t n = min_u64(run->count - i, SUMS_AT_ONCE);

		err = pread_all(base->pages_fd, bytes, n * SNAP_SUM_BYTES,
				base->sums_offset +
					(run->first + i) * SNAP_SUM_BYTES);
		for (uint64_t k = 0; k < n && !err; k++)
			index->sums[run->first + i + k] =
				get_le32(bytes + k * SNAP_SUM_BYTES);
	}
	return err;
}

int snap_index_take_base(struct snap_index *index, const struct snap_file *base)
{
	int err = 0;

	index->own = zeros_map(index->page_count);
	if (!index->own)
		return log_errno(ENOMEM, "%s", base->path);
	for (uint64_t i = 0; i < base->run_count && !err; i++) {
		const struct page_run *run = &base->runs[i];

		memset(index->present + run->first, 1, run->count);
		err = take_sums(index, base, run);
	}
	index->present_count = base->present_count;
	return err ? log_errno(-err, "%s/%s: read", base->path,
			       SNAP_PAGES_NAME) :
		     0;
}

/* Compares the start first: the first bytes of most pages are not zero. */
static bool page_is_zero(const uint8_t *page)
{
	static const uint8_t zeros[SNAP_PAGE_BYTES];

	return !memcmp(page, zeros, 16) &&
	       !memcmp(page, zeros, SNAP_PAGE_BYTES);
}

bool snap_index_note(struct snap_index *index, uint64_t page,
		     const uint8_t *data)
{
	if (page_is_zero(data)) {
		/* Untouched pages of the index cost no memory. */
		if (index->present[page])
			index->present[page] = 0;
		return false;
	}
	index->sums[page] = index->sum(0, data, SNAP_PAGE_BYTES);
	index->present[page] = 1;
	return true;
}

/*
 * Stores the next run at or after *@at and moves *@at past it; false: no more.
 */
static bool next_of(const uint8_t *map, uint64_t page_count, uint64_t *at,
		    struct page_run *run)
{
	const uint8_t *p;
	uint64_t i = *at;

	p = i < page_count ? memchr(map + i, 1, page_count - i) : NULL;
	if (!p)
		return false;
	run->first = (uint64_t)(p - map);
	p = memchr(p, 0, page_count - run->first);
	*at = p ? (uint64_t)(p - map) : page_count;
	run->count = *at - run->first;
	return true;
}

static bool next_run(const struct snap_index *index, uint64_t *at,
		     struct page_run *run)
{
	return next_of(index->present, index->page_count, at, run);
}

void snap_index_put_own(const struct snap_index *index, struct snap_writer *w)
{
	struct page_run run;
	uint64_t at = 0, count = 0;

	while (next_of(index->own, index->page_count, &at, &run))
		count++;
	snap_put_u64(w, count);
	at = 0;
	while (next_of(index->own, index->page_count, &at, &run)) {
		snap_put_u64(w, run.first);
		snap_put_u64(w, run.count);
	}
}

static uint64_t count_runs(const struct snap_index *index)
{
	struct page_run run;
	uint64_t at = 0, n = 0;

	while (next_run(index, &at, &run))
		n++;
	return n;
}

/* Marks gaps of up to @gap zero pages between runs present. */
static void fill_gaps(struct snap_index *index, uint64_t gap)
{
	static const uint8_t zeros[SNAP_PAGE_BYTES];
	uint32_t sum = crc32c(0, zeros, sizeof(zeros));
	struct page_run run;
	uint64_t at = 0, end = 0;

	while (next_run(index, &at, &run)) {
		if (end && run.first - end <= gap) {
			for (uint64_t i = end; i < run.first; i++) {
				index->present[i] = 1;
				index->sums[i] = sum;
				if (index->own)
					index->own[i] = 1;
			}
			index->present_count += run.first - end;
		}
		end = at;
	}
}

/* Encodes all runs, at most SNAP_RUNS_MAX. */
static void put_runs(struct snap_index *index, struct snap_writer *w,
		     uint64_t *count)
{
	struct page_run run;
	uint64_t at = 0;

	*count = count_runs(index);
	for (uint64_t gap = 1; *count > SNAP_RUNS_MAX; gap *= 2) {
		fill_gaps(index, gap);
		*count = count_runs(index);
	}
	while (next_run(index, &at, &run)) {
		snap_put_u64(w, run.first);
		snap_put_u64(w, run.count);
	}
}

/*
 * Writes the checksums of one run, whose array begins at @offset; 0 or -errno.
 */
static int write_sums(const struct snap_index *index, int fd, uint64_t offset,
		      const struct page_run *run)
{
	uint8_t bytes[SUMS_AT_ONCE * SNAP_SUM_BYTES];
	int err = 0;

	for (uint64_t i = 0; i < run->count && !err; i += SUMS_AT_ONCE) {
		uint64_t n = min_u64(run->count - i, SUMS_AT_ONCE);

		for (uint64_t k = 0; k < n; k++)
			put_le32(bytes + k * SNAP_SUM_BYTES,
				 index->sums[run->first + i + k]);
		err = pwrite_all(fd, bytes, n * SNAP_SUM_BYTES,
				 offset + (run->first + i) * SNAP_SUM_BYTES);
	}
	return err;
}

/* Encodes the header of `pages` for the encoded @runs. */
static void pages_header(const struct snap_index *index,
			 const uint8_t id[SNAP_ID_BYTES], uint64_t run_count,
			 const struct snap_writer *runs, uint64_t sums_offset,
			 uint8_t header[SNAP_PAGES_HEADER_BYTES])
{
	memset(header, 0, SNAP_PAGES_HEADER_BYTES);
	memcpy(header, SNAP_PAGES_MAGIC, SNAP_MAGIC_BYTES);
	put_le32(header + 8, index->own ? SNAP_VERSION_BASE : SNAP_VERSION);
	put_le32(header + 12, SNAP_PAGES_HEADER_BYTES);
	memcpy(header + 16, id, SNAP_ID_BYTES);
	put_le64(header + 32, index->page_count);
	put_le64(header + 40, index->present_count);
	put_le64(header + 48, run_count);
	put_le64(header + 56, sums_offset);
	put_le64(header + 64, sums_offset + index->page_count * SNAP_SUM_BYTES);
	put_le32(header + 72, SNAP_PAGE_BYTES);
	put_le32(header + 80, crc32c(0, runs->data, runs->len));
	put_le32(header + 84, crc32c(0, header, 84));
}

int snap_index_write(struct snap_index *index, const uint8_t id[SNAP_ID_BYTES],
		     int fd)
{
	uint8_t header[SNAP_PAGES_HEADER_BYTES];
	struct snap_writer runs = { 0 };
	struct page_run run;
	uint64_t count, at = 0, sums_offset;
	int err;

	put_runs(index, &runs, &count);
	sums_offset = align_up(sizeof(header) + runs.len, SNAP_PAGE_BYTES);
	pages_header(index, id, count, &runs, sums_offset, header);
	err = runs.error;
	if (!err)
		err = pwrite_all(fd, header, sizeof(header), 0);
	if (!err)
		err = pwrite_all(fd, runs.data, runs.len, sizeof(header));
	snap_writer_finish(&runs);
	if (!err && ftruncate(fd, (off_t)(sums_offset +
					  index->page_count * SNAP_SUM_BYTES)))
		err = -errno;
	while (!err && next_run(index, &at, &run))
		err = write_sums(index, fd, sums_offset, &run);
	return err;
}
