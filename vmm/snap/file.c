/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens a snapshot directory, and reads and checks its pages. An open snapshot
 * is immutable, so there is no lock.
 */
#include "vmm/snap/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/crc32c.h"
#include "vmm/base/log.h"
#include "vmm/snap/parse.h"

/* Checksums per read, and pages per read of snap_verify(). */
#define SUMS_AT_ONCE  1024
#define PAGES_AT_ONCE 256

/*
 * Opens one file and stores its size; the descriptor, or -errno, logged.
 * O_NONBLOCK: opening a FIFO must not block before it is refused.
 */
static int open_file(const struct snap_file *f, const char *name,
		     uint64_t *size)
{
	CLEANUP_CLOSE int fd =
		openat(f->dir_fd, name,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return snap_bad(f, name, "not a regular file");
	if (fd < 0 || fstat(fd, &st) < 0)
		return log_errno(errno, "%s/%s", f->path, name);
	if (!S_ISREG(st.st_mode))
		return snap_bad(f, name, "not a regular file");
	*size = (uint64_t)st.st_size;
	return take_fd(&fd);
}

static int open_state(struct snap_file *f, const char *arch)
{
	CLEANUP_CLOSE int fd = -1;
	uint64_t size = 0;
	int err;

	fd = open_file(f, SNAP_STATE_NAME, &size);
	if (fd < 0)
		return fd;
	if (size > SNAP_STATE_BYTES_MAX)
		return snap_bad(f, SNAP_STATE_NAME, "too large");
	f->state = malloc(size + 1);
	if (!f->state)
		return log_errno(ENOMEM, "%s/%s", f->path, SNAP_STATE_NAME);
	err = snap_read_at(fd, f->state, size, 0);
	if (err == -ENODATA)
		return snap_bad(f, SNAP_STATE_NAME, "truncated");
	if (err)
		return log_errno(-err, "%s/%s: read", f->path, SNAP_STATE_NAME);
	f->state_bytes = size;
	return snap_parse_state(f, arch);
}

static int open_memory(struct snap_file *f)
{
	uint64_t size = 0;

	f->memory_fd = open_file(f, SNAP_MEMORY_NAME, &size);
	if (f->memory_fd < 0)
		return f->memory_fd;
	if (size != f->memory_bytes)
		return snap_bad(f, SNAP_MEMORY_NAME,
				size < f->memory_bytes ?
					"truncated" :
					"larger than guest memory");
	f->pages_fd = open_file(f, SNAP_PAGES_NAME, &size);
	return f->pages_fd < 0 ? f->pages_fd : snap_parse_pages(f, size);
}

static int open_dir(struct snap_file *f)
{
	f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir_fd >= 0)
		return 0;
	if (errno == ENOTDIR)
		return log_fail(ENOTDIR, "%s: not a snapshot: not a directory",
				f->path);
	return log_errno(errno, "%s", f->path);
}

int snap_open(struct snap_file *f, const char *path, const char *arch)
{
	int err;

	*f = (struct snap_file){
		.dir_fd = -1, .memory_fd = -1, .pages_fd = -1, .sum = crc32c
	};
	f->path = strdup(path);
	if (!f->path)
		return log_errno(ENOMEM, "%s", path);
	err = open_dir(f);
	if (!err)
		err = open_state(f, arch);
	if (!err)
		err = open_memory(f);
	if (err)
		snap_close(f);
	return err;
}

void snap_close(struct snap_file *f)
{
	const int fds[] = { f->dir_fd, f->memory_fd, f->pages_fd };

	for (size_t i = 0; f->path && i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(f->path);
	free(f->sections);
	free(f->state);
	free(f->runs);
	*f = (struct snap_file){ .dir_fd = -1,
				 .memory_fd = -1,
				 .pages_fd = -1 };
}

/* The guest physical address of @page of `memory`. */
static uint64_t page_gpa(const struct snap_file *f, uint64_t page)
{
	uint64_t offset = page * SNAP_PAGE_BYTES;
	unsigned int i = f->range_count;

	while (--i > 0 && f->ranges[i].offset_bytes > offset)
		;
	return f->ranges[i].gpa + (offset - f->ranges[i].offset_bytes);
}

/*
 * Checks pages against their checksums. Silent; -EBADMSG with the first corrupt
 * page in *@bad, or the error of reading the checksums.
 */
static int check_pages(const struct snap_file *f, uint64_t first,
		       uint64_t count, const void *data, uint64_t *bad)
{
	const uint8_t *page = data;
	uint8_t sums[SUMS_AT_ONCE * SNAP_SUM_BYTES];

	for (uint64_t i = 0; i < count; i++, page += SNAP_PAGE_BYTES) {
		uint64_t k = i % SUMS_AT_ONCE;
		uint64_t n = min_u64(count - i, SUMS_AT_ONCE);
		int err = 0;

		if (!k)
			err = snap_read_until_signal(
				f->pages_fd, sums, n * SNAP_SUM_BYTES,
				f->sums_offset + (first + i) * SNAP_SUM_BYTES);
		if (err)
			return err;
		*bad = first + i;
		if (f->sum(0, page, SNAP_PAGE_BYTES) !=
		    get_le32(sums + k * SNAP_SUM_BYTES))
			return -EBADMSG;
	}
	return 0;
}

int snap_read_pages(const struct snap_file *f, uint64_t first, uint64_t count,
		    void *to)
{
	uint64_t bad;
	int err = snap_read_until_signal(f->memory_fd, to,
					 count * SNAP_PAGE_BYTES,
					 first * SNAP_PAGE_BYTES);

	return err ? err : check_pages(f, first, count, to, &bad);
}

/* Logs a corrupt page; -EBADMSG. */
static int page_bad(const struct snap_file *f, uint64_t page)
{
	return log_fail(EBADMSG, "%s/%s: corrupt page at guest address %#llx",
			f->path, SNAP_MEMORY_NAME,
			(unsigned long long)page_gpa(f, page));
}

/* Reads and checks pages of one run; logs the first error. */
static int verify_pages(const struct snap_file *f, uint64_t first,
			uint64_t count, void *to)
{
	uint64_t bad = first;
	int err = snap_read_at(f->memory_fd, to, count * SNAP_PAGE_BYTES,
			       first * SNAP_PAGE_BYTES);

	if (err)
		return log_errno(err == -ENODATA ? EIO : -err,
				 "%s/%s: read guest address %#llx", f->path,
				 SNAP_MEMORY_NAME,
				 (unsigned long long)page_gpa(f, first));
	do
		err = check_pages(f, first, count, to, &bad);
	while (err == -EINTR);
	if (err == -EBADMSG)
		return page_bad(f, bad);
	return err ? log_errno(err == -ENODATA ? EIO : -err, "%s/%s: read",
			       f->path, SNAP_PAGES_NAME) :
		     0;
}

/* Checks that the absent pages [first, end) of `memory` read as zeros. */
static int verify_absent(const struct snap_file *f, uint64_t first,
			 uint64_t end, uint8_t *buf)
{
	static const uint8_t zeros[SNAP_PAGE_BYTES];
	off_t end_at = (off_t)(end * SNAP_PAGE_BYTES), at;

	for (uint64_t page = first; page < end; page++) {
		/* Skip holes: only data must be compared. */
		at = lseek(f->memory_fd, (off_t)(page * SNAP_PAGE_BYTES),
			   SEEK_DATA);
		if ((at < 0 && errno == ENXIO) || at >= end_at)
			return 0;
		if (at > 0)
			page = (uint64_t)at / SNAP_PAGE_BYTES;
		if (snap_read_at(f->memory_fd, buf, SNAP_PAGE_BYTES,
				 page * SNAP_PAGE_BYTES))
			return log_fail(EIO, "%s/%s: read failed", f->path,
					SNAP_MEMORY_NAME);
		if (memcmp(buf, zeros, sizeof(zeros)) != 0)
			return page_bad(f, page);
	}
	return 0;
}

/* Checks one run, and the gap before it, which begins at @from. */
static int verify_run(const struct snap_file *f, const struct snap_run *run,
		      uint64_t from, uint8_t *buf)
{
	int err = verify_absent(f, from, run->first, buf);

	for (uint64_t i = 0; i < run->count && !err; i += PAGES_AT_ONCE)
		err = verify_pages(f, run->first + i,
				   min_u64(run->count - i, PAGES_AT_ONCE), buf);
	return err;
}

int snap_verify(const struct snap_file *f,
		void (*progress)(void *ctx, uint64_t done), void *ctx)
{
	CLEANUP_FREE uint8_t *buf = malloc(PAGES_AT_ONCE * SNAP_PAGE_BYTES);
	uint64_t from = 0, done = 0;
	int err = 0;

	if (!buf)
		return log_errno(ENOMEM, "%s", f->path);
	for (uint64_t i = 0; i < f->run_count && !err; i++) {
		err = verify_run(f, &f->runs[i], from, buf);
		from = f->runs[i].first + f->runs[i].count;
		done += f->runs[i].count;
		if (progress)
			progress(ctx, done);
	}
	return err ? err : verify_absent(f, from, f->page_count, buf);
}
