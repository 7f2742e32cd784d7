/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens a snapshot directory, and reads and checks pages of it. An open snapshot
 * is immutable, so there is no lock.
 */
#include "vmm/snap/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/crc32c.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/verity.h"

/* Checksums per read. */
#define SUMS_AT_ONCE 1024

/* O_NONBLOCK: opening a FIFO must not block before it is refused. */
int snap_open_file(const struct snap_file *f, const char *name, uint64_t *size)
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

	fd = snap_open_file(f, SNAP_STATE_NAME, &size);
	if (fd < 0)
		return fd;
	if (size > SNAP_STATE_BYTES_MAX)
		return snap_bad(f, SNAP_STATE_NAME, "too large");
	f->state = malloc(size + 1);
	if (!f->state)
		return log_errno(ENOMEM, "%s/%s", f->path, SNAP_STATE_NAME);
	err = pread_all(fd, f->state, size, 0);
	if (err == -ENODATA)
		return snap_bad(f, SNAP_STATE_NAME, "truncated");
	if (err)
		return log_errno(-err, "%s/%s: read", f->path, SNAP_STATE_NAME);
	f->state_bytes = size;
	err = snap_parse_state(f, arch);
	return err ? err : snap_disks_parse(f);
}

static int open_memory(struct snap_file *f)
{
	uint64_t size = 0;

	f->memory_fd = snap_open_file(f, SNAP_MEMORY_NAME, &size);
	if (f->memory_fd < 0)
		return f->memory_fd;
	if (size != f->memory_bytes)
		return snap_bad(f, SNAP_MEMORY_NAME,
				size < f->memory_bytes ?
					"truncated" :
					"larger than guest memory");
	f->fsverity = snap_verity_is_enabled(f->memory_fd);
	f->pages_fd = snap_open_file(f, SNAP_PAGES_NAME, &size);
	return f->pages_fd < 0 ? f->pages_fd : snap_parse_pages(f, size);
}

/* Opens the directory @name, below @at; f->path is its name in messages. */
static int open_dir(struct snap_file *f, int at, const char *name)
{
	struct stat st;

	f->dir_fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir_fd >= 0 && fstat(f->dir_fd, &st) == 0) {
		f->dir_dev = st.st_dev;
		f->dir_ino = st.st_ino;
		return 0;
	}
	if (errno == ENOTDIR)
		return log_fail(ENOTDIR, "%s: not a snapshot: not a directory",
				f->path);
	return log_errno(errno, "%s", f->path);
}

int snap_open_state(struct snap_file *f, const char *path, int at,
		    const char *name, const char *arch)
{
	int err;

	*f = (struct snap_file){ .path = strdup(path),
				 .dir_fd = -1,
				 .memory_fd = -1,
				 .pages_fd = -1,
				 .sum = crc32c };
	if (!f->path)
		return log_errno(ENOMEM, "%s", name);
	err = open_dir(f, at, name);
	return err ? err : open_state(f, arch);
}

/* Opens a snapshot without its base. */
static int open_one(struct snap_file *f, const char *path, int at,
		    const char *name, const char *arch)
{
	int err = snap_open_state(f, path, at, name, arch);

	return err ? err : open_memory(f);
}

/* Refuses a snapshot that is its own base, by and by. */
static int check_ids(const struct snap_file *head, const uint8_t *id)
{
	unsigned int n = 0;

	for (const struct snap_file *at = head; at; at = at->base)
		if (++n == SNAP_CHAIN_MAX || !memcmp(at->id, id, SNAP_ID_BYTES))
			return log_fail(ELOOP,
					"%s: more than %d snapshots depend on "
					"each other, or a snapshot on itself",
					head->path, SNAP_CHAIN_MAX);
	return 0;
}

/* Opens the base of @f, a snapshot in the chain of @head; 1, or 0: it has none. */
static int open_base(struct snap_file *f, const struct snap_file *head)
{
	uint8_t id[SNAP_ID_BYTES];
	char name[3 + SNAP_BASE_NAME_BYTES + 1];
	CLEANUP_FREE char *path = NULL;
	int err = snap_base_parse(f, id);

	if (err <= 0)
		return err;
	err = check_ids(head, id);
	if (err)
		return err;
	f->base = calloc(1, sizeof(*f->base));
	if (!f->base)
		return log_errno(ENOMEM, "%s", f->path);
	snprintf(name, sizeof(name), "../%s", f->base_name);
	if (asprintf(&path, "%s: base %s", head->path, f->base_name) < 0)
		path = NULL;
	err = open_one(f->base, path ? path : name, f->dir_fd, name, f->arch);
	if (err)
		return err;
	err = snap_base_check(f, id);
	return err ? err : 1;
}

/* Frees what is not used of a base. */
static void shed(struct snap_file *base)
{
	free(base->sections);
	free(base->state);
	free(base->runs);
	base->sections = NULL;
	base->state = NULL;
	base->runs = NULL;
	base->section_count = 0;
	base->run_count = 0;
	close(base->dir_fd);
	close(base->pages_fd);
	base->dir_fd = base->pages_fd = -1;
}

int snap_open(struct snap_file *f, const char *path, const char *arch)
{
	struct snap_file *at = f;
	int r = open_one(f, path, AT_FDCWD, path, arch);

	while (r == 0 && (r = open_base(at, f)) > 0) {
		if (at != f)
			shed(at);
		at = at->base;
		r = 0;
	}
	if (r == 0 && at != f)
		shed(at);
	if (r < 0)
		snap_close(f);
	return r;
}

static void close_one(struct snap_file *f)
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
	free(f->own);
}

void snap_close(struct snap_file *f)
{
	struct snap_file *base = f->base;

	close_one(f);
	while (base) {
		struct snap_file *next = base->base;

		close_one(base);
		free(base);
		base = next;
	}
	*f = (struct snap_file){ .dir_fd = -1,
				 .memory_fd = -1,
				 .pages_fd = -1 };
}

int snap_check_pages(const struct snap_file *f, uint64_t first, uint64_t count,
		     const void *data, uint64_t *bad)
{
	const uint8_t *page = data;
	uint8_t sums[SUMS_AT_ONCE * SNAP_SUM_BYTES];

	for (uint64_t i = 0; i < count; i++, page += SNAP_PAGE_BYTES) {
		uint64_t k = i % SUMS_AT_ONCE;
		uint64_t n = min_u64(count - i, SUMS_AT_ONCE);
		int err = 0;

		if (!k)
			err = pread_until_signal(
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
	int err = snap_read_unchecked(f, first, count, to);

	return err ? err : snap_check_pages(f, first, count, to, &bad);
}
