/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verifies all pages of a snapshot, on several processors.
 *
 * `memory` is checked in pieces of up to 1 MiB. A piece is one read and covers
 * runs and the small gaps between them, so a snapshot of many short runs costs
 * no more reads than one of few; a large gap is not read where it is a hole.
 * Reading into a buffer is at least as fast as mapping the file, whose page
 * faults cost more than the copy, and a truncated file is an error of the read,
 * not a signal.
 *
 * Threads take pieces in the order of their addresses, and no piece after one
 * has found an error. So every piece below an error has been taken, and is
 * checked to its end: the lowest error is the same in every run.
 *
 * Threads: the calling thread and helpers, which it joins. The lock guards the
 * fields of struct verify below it; it is not held during a read.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/base/thread.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"

#define PIECE_PAGES 256
#define PIECE_BYTES (PIECE_PAGES * SNAP_PAGE_BYTES)
#define THREADS_MAX 16
/* A thread is started for this many pieces; below it costs more than it saves. */
#define PIECES_PER_THREAD 4
/* Longer gaps are not read if they are holes. */
#define GAP_PAGES 16

/* An error, at @page of `memory`. */
struct finding {
	enum {
		FOUND_NOTHING,
		FOUND_CORRUPT,
		FOUND_UNREADABLE,
		FOUND_NO_SUMS
	} what;
	uint64_t page;
	int err; /* of the read, where it failed */
};

struct verify {
	const struct snap_file *f;
	pthread_mutex_t lock;
	/* The next piece begins at @next; runs before @run end before it. */
	uint64_t next, run;
	uint64_t done; /* present pages checked */
	struct finding found; /* the lowest */
};

/* Pages [first, end); runs before @run end before them. */
struct piece {
	uint64_t first, end, run;
};

/* What one thread reads a piece into. */
struct buffer {
	uint8_t pages[PIECE_BYTES];
	uint8_t sums[PIECE_PAGES * SNAP_SUM_BYTES];
};

/* A buffer for one piece, or NULL without memory. */
static struct buffer *buffer_create(void)
{
	void *buffer = NULL;

	/* Aligned, because the kernel then copies faster. */
	return posix_memalign(&buffer, SNAP_PAGE_BYTES, sizeof(struct buffer)) ?
		       NULL :
		       buffer;
}

/* The guest physical address of @page of `memory`. */
static unsigned long long page_gpa(const struct snap_file *f, uint64_t page)
{
	uint64_t offset = page * SNAP_PAGE_BYTES;
	unsigned int i = f->range_count;

	while (--i > 0 && f->ranges[i].offset_bytes > offset)
		;
	return f->ranges[i].gpa + (offset - f->ranges[i].offset_bytes);
}

/* The first page of run @run, or the end of `memory`. */
static uint64_t run_first(const struct snap_file *f, uint64_t run)
{
	return run < f->run_count ? f->runs[run].first : f->page_count;
}

/*
 * Moves @next over the hole that it is in, if that is part of a large gap.
 * Where the file system cannot tell, the gap is read.
 */
static void skip_hole(struct verify *v)
{
	uint64_t end = run_first(v->f, v->run);
	off_t from = (off_t)(v->next * SNAP_PAGE_BYTES), at;

	if (end <= v->next + GAP_PAGES)
		return;
	if (v->f->base) {
		v->next = end;
		return;
	}
	at = lseek(v->f->memory_fd, from, SEEK_DATA);
	if ((at < 0 && errno == ENXIO) || at >= (off_t)(end * SNAP_PAGE_BYTES))
		v->next = end;
	else if (at > from)
		v->next = (uint64_t)at / SNAP_PAGE_BYTES;
}

/* Moves @next to the end of the piece that begins there. */
static void skip_piece(struct verify *v)
{
	const struct snap_file *f = v->f;
	uint64_t first = v->next;
	uint64_t limit = min_u64(first + PIECE_PAGES, f->page_count);

	while (v->next < limit) {
		uint64_t end = run_first(f, v->run);

		if (v->next < end) {
			if (v->next > first && end - v->next > GAP_PAGES)
				return;
			v->next = min_u64(end, limit);
			continue;
		}
		end += f->runs[v->run].count;
		v->next = min_u64(end, limit);
		v->run += v->next == end;
	}
}

/* Takes the next piece; false: there is none, or an error below it. */
static bool take_piece(struct verify *v, struct piece *piece)
{
	bool more;

	pthread_mutex_lock(&v->lock);
	more = v->found.what == FOUND_NOTHING;
	if (more) {
		skip_hole(v);
		*piece = (struct piece){ .first = v->next, .run = v->run };
		skip_piece(v);
		piece->end = v->next;
		more = piece->first < piece->end;
	}
	pthread_mutex_unlock(&v->lock);
	return more;
}

/* Notes the result of a piece; returns the number of present pages checked. */
static uint64_t finish_piece(struct verify *v, const struct finding *found,
			     uint64_t present)
{
	uint64_t done;

	pthread_mutex_lock(&v->lock);
	if (found->what != FOUND_NOTHING &&
	    (v->found.what == FOUND_NOTHING || found->page < v->found.page))
		v->found = *found;
	v->done += present;
	done = v->done;
	pthread_mutex_unlock(&v->lock);
	return done;
}

/*
 * Reads up to @count pages; returns how many were read, with the error after them in
 * *@err.
 */
static uint64_t read_pages(const struct snap_file *f, uint64_t first,
			   uint64_t count, uint8_t *to, int *err)
{
	uint64_t got = 0;

	do
		*err = snap_read_unchecked(f, first, count, to);
	while (*err == -EINTR);
	if (!*err)
		return count;
	/* Page by page, up to the one that cannot be read. */
	while (got < count) {
		*err = snap_read_unchecked(f, first + got, 1,
					   to + got * SNAP_PAGE_BYTES);
		if (*err && *err != -EINTR)
			break;
		got += !*err;
	}
	return got;
}

/*
 * Whether the page at @data has the checksum @sum, or is absent and zero, where a
 * guest could see it: not what a base has there.
 */
static bool page_is_good(const struct snap_file *f, bool present,
			 const uint8_t *data, const uint8_t *sum)
{
	static const uint8_t zeros[SNAP_PAGE_BYTES];

	return present ? f->sum(0, data, SNAP_PAGE_BYTES) == get_le32(sum) :
			 f->base || !memcmp(data, zeros, SNAP_PAGE_BYTES);
}

/*
 * Reads and checks one piece, up to its first error. Adds the present pages to
 * *@present.
 */
static struct finding check_piece(const struct snap_file *f,
				  const struct piece *piece,
				  struct buffer *buffer, uint64_t *present)
{
	uint64_t count = piece->end - piece->first, run = piece->run, got;
	int err = pread_all(f->pages_fd, buffer->sums, count * SNAP_SUM_BYTES,
			    f->sums_offset + piece->first * SNAP_SUM_BYTES);

	if (err)
		return (struct finding){ FOUND_NO_SUMS, piece->first, err };
	got = read_pages(f, piece->first, count, buffer->pages, &err);
	for (uint64_t i = 0; i < got; i++) {
		uint64_t page = piece->first + i;
		bool is_present = page >= run_first(f, run);

		if (!page_is_good(f, is_present,
				  buffer->pages + i * SNAP_PAGE_BYTES,
				  buffer->sums + i * SNAP_SUM_BYTES))
			return (struct finding){ FOUND_CORRUPT, page, 0 };
		*present += is_present;
		run += is_present &&
		       page + 1 == f->runs[run].first + f->runs[run].count;
	}
	if (err)
		return (struct finding){ FOUND_UNREADABLE, piece->first + got,
					 err };
	return (struct finding){ FOUND_NOTHING, 0, 0 };
}

/* Takes and checks one piece; false: no more. */
static bool check_next(struct verify *v, struct buffer *buffer, uint64_t *done)
{
	struct piece piece;
	struct finding found;
	uint64_t present = 0;

	if (!take_piece(v, &piece))
		return false;
	found = check_piece(v->f, &piece, buffer, &present);
	*done = finish_piece(v, &found, present);
	return true;
}

/* A helper; without memory, the others do its work. */
static void *help(void *arg)
{
	CLEANUP_FREE struct buffer *buffer = buffer_create();
	uint64_t done;

	while (buffer && check_next(arg, buffer, &done))
		;
	return NULL;
}

/* How many threads to use, with the calling one. */
static unsigned int choose_threads(const struct snap_file *f)
{
	uint64_t work = f->present_count / (PIECE_PAGES * PIECES_PER_THREAD);

	return (unsigned int)min_u64(threads_useful(THREADS_MAX), work + 1);
}

int snap_corrupt(const struct snap_file *f, uint64_t page)
{
	return log_fail(EBADMSG, "%s/%s: corrupt page at guest address %#llx",
			snap_owner(f, page)->path, SNAP_MEMORY_NAME,
			page_gpa(f, page));
}

/* Logs the error that was found; its -errno, or 0. */
static int report(const struct snap_file *f, const struct finding *found)
{
	unsigned long long gpa;

	if (found->what == FOUND_NOTHING)
		return 0;
	if (found->what == FOUND_NO_SUMS)
		return found->err == -ENODATA ?
			       snap_bad(f, SNAP_PAGES_NAME, "truncated") :
			       log_errno(-found->err, "%s/%s: read", f->path,
					 SNAP_PAGES_NAME);
	if (found->what == FOUND_CORRUPT)
		return snap_corrupt(f, found->page);
	gpa = page_gpa(f, found->page);
	f = snap_owner(f, found->page);
	if (found->err == -ENODATA)
		return log_fail(EBADMSG,
				"%s/%s: truncated at guest address %#llx",
				f->path, SNAP_MEMORY_NAME, gpa);
	if (found->err == -EIO && f->fsverity)
		return log_fail(EIO,
				"%s/%s: read guest address %#llx: "
				"Input/output error: fs-verity found a corrupt "
				"block, or the disk failed; see the kernel's "
				"log",
				f->path, SNAP_MEMORY_NAME, gpa);
	return log_errno(-found->err, "%s/%s: read guest address %#llx",
			 f->path, SNAP_MEMORY_NAME, gpa);
}

int snap_verify(const struct snap_file *f,
		void (*progress)(void *ctx, uint64_t done), void *ctx)
{
	struct verify v = { .f = f, .lock = PTHREAD_MUTEX_INITIALIZER };
	CLEANUP_FREE struct buffer *buffer = buffer_create();
	unsigned int count = choose_threads(f) - 1, started = 0;
	pthread_t helpers[THREADS_MAX];
	uint64_t done = 0;

	if (!buffer)
		return log_errno(ENOMEM, "%s", f->path);
	/* Where no thread can be started, this one does all the work. */
	while (started < count &&
	       !thread_start(&helpers[started], "verify", help, &v))
		started++;
	while (check_next(&v, buffer, &done))
		if (progress)
			progress(ctx, done);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(helpers[i], NULL);
	if (progress && v.done > done)
		progress(ctx, v.done);
	return report(f, &v.found);
}
