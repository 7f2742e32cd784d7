/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The working set of a snapshot: an optional file of page numbers, written by
 * one restore and read by the next. It is a hint; a snapshot is complete
 * without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/crc32c.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/section.h"

#define NAME	  SNAP_WORKINGSET_NAME
#define TEMPORARY SNAP_WORKINGSET_TEMPORARY

/* Writes the header for the pages in @body. */
static void put_header(const struct snap_file *f, struct snap_writer *w,
		       uint64_t count, const struct snap_writer *body)
{
	snap_put_bytes(w, SNAP_WORKINGSET_MAGIC, SNAP_MAGIC_BYTES);
	snap_put_u32(w, SNAP_VERSION);
	snap_put_u32(w, SNAP_WORKINGSET_HEADER_BYTES);
	snap_put_bytes(w, f->id, SNAP_ID_BYTES);
	snap_put_u64(w, count);
	snap_put_u64(w, 0);
	snap_put_u32(w, crc32c(0, body->data, body->len));
	if (!w->error)
		snap_put_u32(w, crc32c(0, w->data, w->len));
}

/* Writes the contents of @w to a new file and syncs it; 0 or -errno. */
static int write_new(int dir, const char *name, const struct snap_writer *head,
		     const struct snap_writer *body)
{
	CLEANUP_CLOSE int fd = -1;

	unlinkat(dir, name, 0);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = ENOSPC;
	if (write(fd, head->data, head->len) != (ssize_t)head->len ||
	    (body->len &&
	     write(fd, body->data, body->len) != (ssize_t)body->len) ||
	    fsync(fd))
		return -errno;
	return 0;
}

/*
 * Writes it into the directory of @f; 0 or -errno, -ENOENT if the directory was
 * removed. The lock keeps concurrent restores from renaming each other's
 * incomplete file.
 */
static int write_into(const struct snap_file *f, const uint64_t *pages,
		      uint64_t count)
{
	struct snap_writer head = { 0 }, body = { 0 };
	/* A separate open file description, because flock() locks those. */
	CLEANUP_CLOSE int dir =
		openat(f->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = dir < 0 || flock(dir, LOCK_EX) ? -errno : 0;

	count = min_u64(count, SNAP_WORKINGSET_MAX);
	for (uint64_t i = 0; i < count; i++)
		snap_put_u64(&body, pages[i]);
	put_header(f, &head, count, &body);
	if (!err)
		err = head.error ? head.error : body.error;
	if (!err)
		err = write_new(dir, TEMPORARY, &head, &body);
	if (!err && renameat(dir, TEMPORARY, dir, NAME))
		err = -errno;
	if (err && dir >= 0)
		unlinkat(dir, TEMPORARY, 0);
	snap_writer_finish(&head);
	snap_writer_finish(&body);
	return err;
}

/* Whether page numbers of @a and @b mean the same guest addresses. */
static bool same_layout(const struct snap_file *a, const struct snap_file *b)
{
	return !strcmp(a->arch, b->arch) &&
	       snap_ranges_agree(a->ranges, a->range_count, b->ranges,
				 b->range_count);
}

/*
 * Writes it into the snapshot that has replaced @f, usually a later one of the
 * same guest. For another guest it is a poor hint, but harmless.
 */
static int write_into_newer(const struct snap_file *f, const uint64_t *pages,
			    uint64_t count)
{
	struct snap_file newer;
	int err;

	if (access(f->path, F_OK))
		return log_fail(ENOENT,
				"%s: snapshot was removed while the guest "
				"ran; working set not saved",
				f->path);
	err = snap_open(&newer, f->path, NULL);
	if (err < 0)
		return err;
	if (same_layout(f, &newer))
		err = write_into(&newer, pages, count);
	else
		err = log_fail(ESTALE,
			       "%s: snapshot was replaced by one with another "
			       "memory layout while the guest ran; working "
			       "set not saved",
			       f->path);
	if (err && err != -ESTALE)
		log_errno(-err, "%s/%s: write", f->path, NAME);
	snap_close(&newer);
	return err;
}

int snap_workingset_write(const struct snap_file *f, const uint64_t *pages,
			  uint64_t count)
{
	int err = write_into(f, pages, count);

	if (err == -ENOENT)
		return write_into_newer(f, pages, count);
	return err ? log_errno(-err, "%s/%s: write", f->path, NAME) : 0;
}

/*
 * Checks the header at @h of a file of @size bytes; stores the number of pages.
 */
static int check_header(const struct snap_file *f, const uint8_t *h,
			uint64_t size, uint64_t *count)
{
	*count = get_le64(h + 32);
	if (memcmp(h, SNAP_WORKINGSET_MAGIC, SNAP_MAGIC_BYTES) != 0 ||
	    get_le32(h + 8) != SNAP_VERSION ||
	    get_le32(h + 12) != SNAP_WORKINGSET_HEADER_BYTES ||
	    crc32c(0, h, SNAP_WORKINGSET_HEADER_BYTES - SNAP_SUM_BYTES) !=
		    get_le32(h + SNAP_WORKINGSET_HEADER_BYTES - SNAP_SUM_BYTES))
		return snap_bad(f, NAME, "corrupt header");
	if (memcmp(h + 16, f->id, SNAP_ID_BYTES) != 0)
		return snap_bad(f, NAME, "belongs to another snapshot");
	if (*count > SNAP_WORKINGSET_MAX ||
	    size != SNAP_WORKINGSET_HEADER_BYTES + *count * 8)
		return snap_bad(f, NAME, "size does not match its header");
	return 0;
}

/* Decodes @count page numbers at @bytes; each must be within the guest. */
static int take_pages(const struct snap_file *f, const uint8_t *bytes,
		      uint64_t *pages, uint64_t count, uint32_t expected)
{
	if (crc32c(0, bytes, count * 8) != expected)
		return snap_bad(f, NAME, "corrupt");
	for (uint64_t i = 0; i < count; i++) {
		pages[i] = get_le64(bytes + i * 8);
		if (pages[i] >= f->page_count)
			return snap_bad(f, NAME, "page number out of range");
	}
	return 0;
}

/* Reads a working set from @fd, a regular file of @size bytes. */
static int read_from(const struct snap_file *f, int fd, uint64_t size,
		     uint64_t **out, uint64_t *count)
{
	uint8_t header[SNAP_WORKINGSET_HEADER_BYTES];
	CLEANUP_FREE uint64_t *pages = NULL;
	uint8_t *bytes;
	int err;

	if (size < sizeof(header) || pread_all(fd, header, sizeof(header), 0))
		return snap_bad(f, NAME, "truncated");
	err = check_header(f, header, size, count);
	if (err)
		return err;
	/* Decoded in place: each number is read before it is stored. */
	pages = malloc(*count * 8 + 8);
	if (!pages)
		return log_errno(ENOMEM, "%s/%s", f->path, NAME);
	bytes = (uint8_t *)pages;
	if (pread_all(fd, bytes, *count * 8, sizeof(header)))
		return snap_bad(f, NAME, "read failed");
	err = take_pages(f, bytes, pages, *count, get_le32(header + 48));
	if (!err)
		*out = take_ptr(pages);
	return err;
}

int snap_workingset_read(const struct snap_file *f, uint64_t **pages,
			 uint64_t *count)
{
	CLEANUP_CLOSE int fd =
		openat(f->dir_fd, NAME,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	*pages = NULL;
	*count = 0;
	if (fd < 0)
		return errno == ENOENT ?
			       -ENOENT :
			       log_errno(errno, "%s/%s", f->path, NAME);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return snap_bad(f, NAME, "not a regular file");
	return read_from(f, fd, (uint64_t)st.st_size, pages, count);
}
