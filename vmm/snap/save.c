/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a snapshot directory.
 *
 * `memory` is written as pages are given, `pages` and `state` at the commit,
 * when the runs are known.  What pages are present is kept as one byte a page,
 * and their checksums as one word a page, in memory that is mapped and not
 * touched until it is used.  Threads that save different pages touch different
 * bytes of both, so there is no lock; the count of pages is atomic, relaxed,
 * because it is only looked at.
 */
#include "vmm/snap/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/crc32c.h"
#include "vmm/base/log.h"
#include "vmm/snap/staging.h"
#include "vmm/snap/section.h"

/* Sections in all, so that with the header a reader takes the file. */
#define SNAP_SECTIONS_BYTES_MAX (SNAP_STATE_BYTES_MAX - 65536)

/* Checksums are written so many at a time. */
#define SUMS_AT_ONCE 4096

struct snap_save {
	struct snap_staging staging;
	int memory_fd;
	char arch[SNAP_ARCH_BYTES];
	uint8_t id[SNAP_ID_BYTES];
	struct snap_range ranges[SNAP_RANGES_MAX];
	unsigned int range_count;
	uint64_t memory_bytes, page_count;
	uint8_t *present; /* page_count of them, mapped */
	uint32_t *sums; /* the same */
	crc32c_function *sum;
	_Atomic uint64_t present_count;
	struct snap_writer sections;
	unsigned int section_count;
	char (*tags)[SNAP_TAG_BYTES]; /* section_count of them */
};

/* Frees it; the temporary directory goes unless it was put in staging. */
static void save_free(struct snap_save *s)
{
	if (s->memory_fd >= 0)
		close(s->memory_fd);
	if (s->present)
		munmap(s->present, s->page_count);
	if (s->sums)
		munmap(s->sums, s->page_count * sizeof(s->sums[0]));
	snap_writer_finish(&s->sections);
	free(s->tags);
	snap_staging_close(&s->staging);
	free(s);
}

/* Maps @bytes zeros that cost nothing until touched; NULL on failure. */
static void *map_zeros(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Takes the ranges over; they must be as the header says. */
static int take_ranges(struct snap_save *s,
		       const struct snap_save_config *config)
{
	uint64_t offset = 0;

	if (!config->range_count || config->range_count > SNAP_RANGES_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < config->range_count; i++) {
		const struct snap_range *r = &config->ranges[i];

		if (!r->size_bytes || r->offset_bytes != offset ||
		    (r->gpa | r->size_bytes) % SNAP_PAGE_BYTES ||
		    r->size_bytes > SNAP_MEMORY_BYTES_MAX - offset)
			return -EINVAL;
		offset += r->size_bytes;
		s->ranges[i] = *r;
	}
	s->range_count = config->range_count;
	s->memory_bytes = offset;
	s->page_count = offset / SNAP_PAGE_BYTES;
	return 0;
}

/* Fills the struct from its configuration; 0 or -errno. */
static int save_init(struct snap_save *s, const struct snap_save_config *config)
{
	int err = take_ranges(s, config);

	if (err || strlen(config->arch) > SNAP_ARCH_BYTES)
		return -EINVAL;
	memcpy(s->arch, config->arch, strlen(config->arch));
	s->sum = config->sum ? config->sum : crc32c;
	if (getrandom(s->id, sizeof(s->id), 0) != sizeof(s->id))
		return -EIO;
	s->present = map_zeros(s->page_count);
	s->sums = map_zeros(s->page_count * sizeof(s->sums[0]));
	return s->present && s->sums ? 0 : -ENOMEM;
}

/* Makes one file of the snapshot; the descriptor, or -errno, logged. */
static int make_file(struct snap_save *s, const char *name)
{
	int fd = openat(s->staging.dir_fd, name,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);

	return fd < 0 ? log_errno(errno, "%s/%s: create", s->staging.path,
				  name) :
			fd;
}

/* Starts a snapshot. */
int snap_save_begin(struct snap_save **out,
		    const struct snap_save_config *config)
{
	struct snap_save *s = calloc(1, sizeof(*s));
	int err;

	*out = NULL;
	if (!s)
		return log_errno(ENOMEM, "snapshot %s", config->path);
	s->memory_fd = -1;
	err = snap_staging_open(&s->staging, config->path);
	if (err)
		goto fail;
	err = save_init(s, config);
	if (err) {
		log_errno(-err, "snapshot %s", config->path);
		goto fail;
	}
	s->memory_fd = make_file(s, SNAP_MEMORY_NAME);
	err = s->memory_fd < 0 ? s->memory_fd : 0;
	if (!err && ftruncate(s->memory_fd, (off_t)s->memory_bytes))
		err = log_errno(errno, "%s/%s", config->path, SNAP_MEMORY_NAME);
	if (err)
		goto fail;
	*out = s;
	return 0;

fail:
	save_free(s);
	return err;
}

/* Keeps a tag, once; 0 or -errno. */
static int take_tag(struct snap_save *s, const char *tag)
{
	char padded[SNAP_TAG_BYTES] = { 0 };
	char(*tags)[SNAP_TAG_BYTES];
	size_t len = strlen(tag);

	if (!len || len > SNAP_TAG_BYTES)
		return -EINVAL;
	memcpy(padded, tag, len);
	for (unsigned int i = 0; i < s->section_count; i++) {
		if (!memcmp(s->tags[i], padded, sizeof(padded)))
			return -EEXIST;
	}
	if (s->section_count == SNAP_SECTIONS_MAX)
		return -E2BIG;
	tags = realloc(s->tags, (s->section_count + 1) * sizeof(tags[0]));
	if (!tags)
		return -ENOMEM;
	s->tags = tags;
	memcpy(tags[s->section_count++], padded, sizeof(padded));
	return 0;
}

/* Adds a section. */
int snap_save_section(struct snap_save *s, const char *tag, uint32_t version,
		      const struct snap_writer *w)
{
	uint8_t header[SNAP_SECTION_HEADER_BYTES] = { 0 };
	uint32_t sum;
	int err = w->error ? w->error : take_tag(s, tag);

	if (!err && (w->len > SNAP_SECTIONS_BYTES_MAX ||
		     s->sections.len > SNAP_SECTIONS_BYTES_MAX - w->len))
		err = -EFBIG;
	if (err)
		return log_errno(-err, "%s/%s: section %s", s->staging.path,
				 SNAP_STATE_NAME, tag);
	memcpy(header, s->tags[s->section_count - 1], SNAP_TAG_BYTES);
	put_le64(header + 16, w->len);
	put_le32(header + 24, version);
	sum = crc32c(0, header, 28);
	put_le32(header + 28, crc32c(sum, w->data, w->len));
	snap_put_bytes(&s->sections, header, sizeof(header));
	snap_put_bytes(&s->sections, w->data, w->len);
	if (s->sections.error)
		return log_errno(ENOMEM, "%s/%s", s->staging.path,
				 SNAP_STATE_NAME);
	return 0;
}

/* Writes all of it at @offset; 0 or -errno. */
static int write_at(int fd, const void *data, uint64_t len, uint64_t offset)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Whether the page is all zeros: its start first, for nearly all are not. */
static bool page_is_zero(const uint8_t *page)
{
	static const uint8_t zeros[SNAP_PAGE_BYTES];

	return !memcmp(page, zeros, 16) &&
	       !memcmp(page, zeros, SNAP_PAGE_BYTES);
}

/* Notes what the page is; whether it is present. */
static bool note_page(struct snap_save *s, uint64_t page, const uint8_t *data)
{
	if (page_is_zero(data))
		return false;
	s->sums[page] = s->sum(0, data, SNAP_PAGE_BYTES);
	s->present[page] = 1;
	return true;
}

/* Saves pages: each run that is not zero by one write. */
int snap_save_pages(struct snap_save *s, uint64_t first, uint64_t count,
		    const void *data)
{
	const uint8_t *bytes = data;
	uint64_t from = 0, present = 0;
	int err = 0;

	if (!range_within(first, count, s->page_count))
		return log_errno(EINVAL, "%s/%s", s->staging.path,
				 SNAP_MEMORY_NAME);
	for (uint64_t i = 0; i <= count && !err; i++) {
		if (i < count &&
		    note_page(s, first + i, bytes + i * SNAP_PAGE_BYTES))
			continue;
		if (i > from)
			err = write_at(s->memory_fd,
				       bytes + from * SNAP_PAGE_BYTES,
				       (i - from) * SNAP_PAGE_BYTES,
				       (first + from) * SNAP_PAGE_BYTES);
		present += i - from;
		from = i + 1;
	}
	atomic_fetch_add_explicit(&s->present_count, present,
				  memory_order_relaxed);
	return err ? log_errno(-err, "%s/%s: write", s->staging.path,
			       SNAP_MEMORY_NAME) :
		     0;
}

/* The next run at or after *@at, *@at then behind it; false: no more. */
static bool next_run(const struct snap_save *s, uint64_t *at,
		     struct snap_run *run)
{
	const uint8_t *p;
	uint64_t i = *at;

	p = i < s->page_count ? memchr(s->present + i, 1, s->page_count - i) :
				NULL;
	if (!p)
		return false;
	run->first = (uint64_t)(p - s->present);
	p = memchr(p, 0, s->page_count - run->first);
	*at = p ? (uint64_t)(p - s->present) : s->page_count;
	run->count = *at - run->first;
	return true;
}

/* How many runs there are. */
static uint64_t count_runs(const struct snap_save *s)
{
	struct snap_run run;
	uint64_t at = 0, n = 0;

	while (next_run(s, &at, &run))
		n++;
	return n;
}

/* Makes gaps of up to @gap pages between runs present, as the zeros they are. */
static void fill_gaps(struct snap_save *s, uint64_t gap)
{
	static const uint8_t zeros[SNAP_PAGE_BYTES];
	uint32_t sum = crc32c(0, zeros, sizeof(zeros));
	struct snap_run run;
	uint64_t at = 0, end = 0;

	while (next_run(s, &at, &run)) {
		if (end && run.first - end <= gap) {
			for (uint64_t i = end; i < run.first; i++) {
				s->present[i] = 1;
				s->sums[i] = sum;
			}
			s->present_count += run.first - end;
		}
		end = at;
	}
}

/* Collects all runs, at most SNAP_RUNS_MAX, as they are written. */
static void put_runs(struct snap_save *s, struct snap_writer *w,
		     uint64_t *count)
{
	struct snap_run run;
	uint64_t at = 0;

	*count = count_runs(s);
	for (uint64_t gap = 1; *count > SNAP_RUNS_MAX; gap *= 2) {
		fill_gaps(s, gap);
		*count = count_runs(s);
	}
	while (next_run(s, &at, &run)) {
		snap_put_u64(w, run.first);
		snap_put_u64(w, run.count);
	}
}

/* Writes the checksums of one run at @offset of the file; 0 or -errno. */
static int write_sums(const struct snap_save *s, int fd, uint64_t offset,
		      const struct snap_run *run)
{
	uint8_t bytes[SUMS_AT_ONCE * SNAP_SUM_BYTES];
	int err = 0;

	for (uint64_t i = 0; i < run->count && !err; i += SUMS_AT_ONCE) {
		uint64_t n = min_u64(run->count - i, SUMS_AT_ONCE);

		for (uint64_t k = 0; k < n; k++)
			put_le32(bytes + k * SNAP_SUM_BYTES,
				 s->sums[run->first + i + k]);
		err = write_at(fd, bytes, n * SNAP_SUM_BYTES,
			       offset + (run->first + i) * SNAP_SUM_BYTES);
	}
	return err;
}

/* The header of `pages`, for runs that are in @runs. */
static void pages_header(const struct snap_save *s, uint64_t run_count,
			 const struct snap_writer *runs, uint64_t sums_offset,
			 uint8_t header[SNAP_PAGES_HEADER_BYTES])
{
	memset(header, 0, SNAP_PAGES_HEADER_BYTES);
	memcpy(header, SNAP_PAGES_MAGIC, SNAP_MAGIC_BYTES);
	put_le32(header + 8, SNAP_VERSION);
	put_le32(header + 12, SNAP_PAGES_HEADER_BYTES);
	memcpy(header + 16, s->id, SNAP_ID_BYTES);
	put_le64(header + 32, s->page_count);
	put_le64(header + 40, s->present_count);
	put_le64(header + 48, run_count);
	put_le64(header + 56, sums_offset);
	put_le64(header + 64, sums_offset + s->page_count * SNAP_SUM_BYTES);
	put_le32(header + 72, SNAP_PAGE_BYTES);
	put_le32(header + 80, crc32c(0, runs->data, runs->len));
	put_le32(header + 84, crc32c(0, header, 84));
}

/* Writes all of `pages` to @fd; 0 or -errno. */
static int write_pages_to(struct snap_save *s, int fd)
{
	uint8_t header[SNAP_PAGES_HEADER_BYTES];
	struct snap_writer runs = { 0 };
	struct snap_run run;
	uint64_t count, at = 0, sums_offset;
	int err;

	put_runs(s, &runs, &count);
	sums_offset = align_up(sizeof(header) + runs.len, SNAP_PAGE_BYTES);
	pages_header(s, count, &runs, sums_offset, header);
	err = runs.error;
	if (!err)
		err = write_at(fd, header, sizeof(header), 0);
	if (!err)
		err = write_at(fd, runs.data, runs.len, sizeof(header));
	snap_writer_finish(&runs);
	if (!err && ftruncate(fd, (off_t)(sums_offset +
					  s->page_count * SNAP_SUM_BYTES)))
		err = -errno;
	while (!err && next_run(s, &at, &run))
		err = write_sums(s, fd, sums_offset, &run);
	return err;
}

/* The header of `state`, its ranges and checksum included. */
static void put_state_header(const struct snap_save *s, struct snap_writer *w)
{
	size_t bytes = SNAP_STATE_FIXED_BYTES +
		       s->range_count * SNAP_RANGE_BYTES + SNAP_SUM_BYTES;

	snap_put_bytes(w, SNAP_STATE_MAGIC, SNAP_MAGIC_BYTES);
	snap_put_u32(w, SNAP_VERSION);
	snap_put_u32(w, (uint32_t)bytes);
	snap_put_bytes(w, s->arch, SNAP_ARCH_BYTES);
	snap_put_bytes(w, s->id, SNAP_ID_BYTES);
	snap_put_u64(w, (uint64_t)time(NULL));
	snap_put_u64(w, bytes + s->sections.len);
	snap_put_u64(w, s->memory_bytes);
	snap_put_u32(w, SNAP_PAGE_BYTES);
	snap_put_u32(w, s->section_count);
	snap_put_u32(w, s->range_count);
	snap_put_u32(w, 0);
	for (unsigned int i = 0; i < s->range_count; i++) {
		snap_put_u64(w, s->ranges[i].gpa);
		snap_put_u64(w, s->ranges[i].size_bytes);
		snap_put_u64(w, s->ranges[i].offset_bytes);
	}
	if (!w->error)
		snap_put_u32(w, crc32c(0, w->data, w->len));
}

/* Writes all of `state` to @fd; 0 or -errno. */
static int write_state_to(struct snap_save *s, int fd)
{
	struct snap_writer header = { 0 };
	int err;

	put_state_header(s, &header);
	err = header.error;
	if (!err)
		err = write_at(fd, header.data, header.len, 0);
	if (!err)
		err = write_at(fd, s->sections.data, s->sections.len,
			       header.len);
	snap_writer_finish(&header);
	return err;
}

/* Makes, fills and syncs one file; -errno, logged. */
static int write_file(struct snap_save *s, const char *name,
		      int (*write_to)(struct snap_save *s, int fd))
{
	int fd = make_file(s, name), err;

	if (fd < 0)
		return fd;
	err = write_to(s, fd);
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	return err ? log_errno(-err, "%s/%s: write", s->staging.path, name) : 0;
}

/* Writes what is left, syncs, puts it in staging. */
int snap_save_commit(struct snap_save *s)
{
	int err = 0;

	if (fsync(s->memory_fd))
		err = log_errno(errno, "%s/%s: sync", s->staging.path,
				SNAP_MEMORY_NAME);
	if (!err)
		err = write_file(s, SNAP_PAGES_NAME, write_pages_to);
	if (!err)
		err = write_file(s, SNAP_STATE_NAME, write_state_to);
	if (!err)
		err = snap_staging_commit(&s->staging);
	save_free(s);
	return err;
}

/* Gives it up. */
void snap_save_abort(struct snap_save *s)
{
	if (s)
		save_free(s);
}
