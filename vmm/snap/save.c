/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a snapshot directory: `memory` as pages are saved, `pages` and `state`
 * at the commit, when the runs are known.
 */
#include "vmm/snap/save.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/pio.h"
#include "vmm/base/racy.h"
#include "vmm/snap/dependents.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/section.h"
#include "vmm/snap/staging.h"
#include "vmm/snap/verity.h"
#include "vmm/snap/write.h"

#define BEHIND_BYTES (16 * MIB)

/* What a save that was slower than its limit may make up for. */
#define CREDIT_NS (NS_PER_S / 10)

/* See snap_save_pace(). */
struct pace {
	bool on;
	uint64_t bytes_s, start_ns;
	uint64_t spent; /* since then */
	uint64_t behind; /* bytes since the last write_behind() */
};

struct snap_save {
	struct snap_staging staging;
	int memory_fd; /* -1: closed */
	/* The copies of disks; size 0: there is none. */
	int disk_fds[SNAP_DISKS_MAX];
	uint64_t disk_bytes[SNAP_DISKS_MAX];
	bool fsverity;
	struct pace pace;
	struct snap_index index;
	struct snap_state state;
	char base_name[SNAP_BASE_NAME_BYTES + 1]; /* "": no base */
	struct snap_file base;
	int base_lock; /* see snap_lock_base(); -1: none */
};

/* Also removes the temporary directory, unless it was committed. */
static void save_free(struct snap_save *s)
{
	if (s->memory_fd >= 0)
		close(s->memory_fd);
	if (s->base_lock >= 0)
		close(s->base_lock);
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++)
		if (s->disk_bytes[i])
			close(s->disk_fds[i]);
	snap_index_finish(&s->index);
	snap_close(&s->base);
	snap_state_finish(&s->state);
	snap_staging_close(&s->staging);
	free(s);
}

/* Copies the ranges; -EINVAL unless they conform to save.h. */
static int take_ranges(struct snap_state *state,
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
		state->ranges[i] = *r;
	}
	state->range_count = config->range_count;
	state->memory_bytes = offset;
	return 0;
}

/* Refuses to replace a snapshot of the chain @kept, which others depend on. */
static int check_kept(const struct snap_save *s, const struct snap_file *kept)
{
	struct stat st;

	if (fstatat(s->staging.parent_fd, s->staging.name, &st, 0) < 0)
		return 0;
	for (; kept; kept = kept->base)
		if (st.st_dev == kept->dir_dev && st.st_ino == kept->dir_ino)
			return log_fail(EINVAL,
					"snapshot %s: not replaced: the new "
					"snapshot depends on it",
					s->staging.path);
	return 0;
}

/* Begins with the pages of the base. */
static int take_base(struct snap_save *s, const char *name)
{
	const struct snap_file *base = &s->base;
	unsigned int chain = 1;
	int err;

	for (const struct snap_file *at = base; at; at = at->base)
		chain++;
	if (chain > SNAP_CHAIN_MAX)
		return log_fail(
			ELOOP,
			"%s: is the last of a chain of %d snapshots, the "
			"most there can be; flatten it, or save without "
			"a base",
			base->path, SNAP_CHAIN_MAX);
	if (!snap_base_name_is_valid(name) ||
	    base->page_count != s->index.page_count ||
	    !snap_ranges_agree(base->ranges, base->range_count, s->state.ranges,
			       s->state.range_count))
		return log_fail(EINVAL,
				"%s: cannot be the base: other memory ranges",
				base->path);
	snprintf(s->base_name, sizeof(s->base_name), "%s", name);
	s->state.has_base = true;
	err = snap_lock_base(&s->staging, name, base, &s->base_lock);
	return err ? err : snap_index_take_base(&s->index, base);
}

static int save_init(struct snap_save *s, const struct snap_save_config *config)
{
	struct snap_state *state = &s->state;
	int err = take_ranges(state, config);

	if (err || strlen(config->arch) > SNAP_ARCH_BYTES)
		return -EINVAL;
	memcpy(state->arch, config->arch, strlen(config->arch));
	if (config->id)
		memcpy(state->id, config->id, sizeof(state->id));
	else if (getrandom(state->id, sizeof(state->id), 0) !=
		 sizeof(state->id))
		return -EIO;
	return snap_index_init(&s->index, state->memory_bytes / SNAP_PAGE_BYTES,
			       config->sum);
}

/* Creates file @name of the snapshot. The descriptor, or -errno, logged. */
static int make_file(struct snap_save *s, const char *name)
{
	int fd = openat(s->staging.dir_fd, name,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);

	return fd < 0 ? log_errno(errno, "%s/%s: create", s->staging.path,
				  name) :
			fd;
}

/* Creates `memory` in its size; -errno, logged. */
static int make_memory(struct snap_save *s)
{
	s->memory_fd = make_file(s, SNAP_MEMORY_NAME);
	if (s->memory_fd < 0)
		return s->memory_fd;
	return ftruncate(s->memory_fd, (off_t)s->state.memory_bytes) ?
		       log_errno(errno, "%s/%s", s->staging.path,
				 SNAP_MEMORY_NAME) :
		       0;
}

int snap_save_begin(struct snap_save **out,
		    const struct snap_save_config *config)
{
	struct snap_save *s = calloc(1, sizeof(*s));
	int err;

	*out = NULL;
	if (!s) {
		if (config->base)
			snap_close(config->base);
		return log_errno(ENOMEM, "snapshot %s", config->path);
	}
	s->memory_fd = s->base_lock = -1;
	if (config->base) {
		s->base = *config->base;
		*config->base = (struct snap_file){ .path = NULL };
	}
	err = snap_staging_open(&s->staging, config->path);
	if (err)
		goto fail;
	err = save_init(s, config);
	if (err) {
		log_errno(-err, "snapshot %s", config->path);
		goto fail;
	}
	err = check_kept(s, config->base ? &s->base : config->kept);
	if (!err)
		err = snap_check_dependents(&s->staging, s->state.id);
	if (!err && config->base)
		err = take_base(s, config->base_name);
	if (err)
		goto fail;
	s->fsverity = config->fsverity;
	if (s->fsverity)
		err = snap_verity_probe(s->staging.dir_fd, config->path);
	if (!err)
		err = make_memory(s);
	if (err)
		goto fail;
	*out = s;
	return 0;

fail:
	save_free(s);
	return err;
}

int snap_save_section(struct snap_save *s, const char *tag, uint32_t version,
		      const struct snap_writer *w)
{
	int err = snap_state_add(&s->state, tag, version, w);

	return err ? log_errno(-err, "%s/%s: section %s", s->staging.path,
			       SNAP_STATE_NAME, tag) :
		     0;
}

/* Whether the base has the same page: one that was only read may count as written. */
static bool is_in_base(const struct snap_save *s, uint64_t page,
		       const uint8_t *data)
{
	uint8_t there[SNAP_PAGE_BYTES];

	return s->index.sum(0, data, SNAP_PAGE_BYTES) == s->index.sums[page] &&
	       !snap_read_unchecked(&s->base, page, 1, there) &&
	       !memcmp(there, data, SNAP_PAGE_BYTES);
}

/*
 * Notes a page, and counts it in *@present. True: it is to be written; a zero page
 * only where another one was written before.
 */
static bool note_page(struct snap_save *s, uint64_t page, const uint8_t *data,
		      uint64_t *present)
{
	uint8_t *own = s->index.own;
	bool before = s->index.present[page];
	bool written = own ? own[page] : before;
	bool after;

	if (own && before && !written && is_in_base(s, page, data))
		return false;
	after = snap_index_note(&s->index, page, data);

	if (own && after != written)
		own[page] = after;
	*present += (uint64_t)after - before;
	return written || after;
}

void snap_save_pace(struct snap_save *s, uint64_t bytes_s)
{
	s->pace = (struct pace){ .on = true,
				 .bytes_s = bytes_s,
				 .start_ns = clock_now_ns() };
}

void snap_save_hurry(struct snap_save *s)
{
	s->pace.on = false;
}

/* Waits where bytes were written faster than the limit. */
static void spend(struct pace *pace, uint64_t bytes)
{
	uint64_t now_ns = clock_now_ns(), until_ns;
	struct timespec until;

	pace->spent += bytes;
	if (!pace->bytes_s)
		return;
	until_ns = pace->start_ns +
		   (uint64_t)((double)pace->spent / (double)pace->bytes_s *
			      (double)NS_PER_S);
	if (now_ns > until_ns + CREDIT_NS)
		pace->start_ns += now_ns - until_ns - CREDIT_NS;
	until = clock_timespec(until_ns);
	/* A signal ends it early, which the next wait makes up for. */
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* Has the kernel begin to write a file.  Advice: what goes wrong, the sync finds. */
static void write_behind(int fd)
{
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void snap_save_spend(struct snap_save *s, uint64_t bytes)
{
	struct pace *pace = &s->pace;

	if (!pace->on)
		return;
	spend(pace, bytes);
	pace->behind += bytes;
	if (pace->behind < BEHIND_BYTES)
		return;
	pace->behind = 0;
	write_behind(s->memory_fd);
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++)
		if (s->disk_bytes[i])
			write_behind(s->disk_fds[i]);
}

/* Each run that is not zero is one write. */
int snap_save_pages(struct snap_save *s, uint64_t first, uint64_t count,
		    const void *data)
{
	const uint8_t *bytes = data;
	uint64_t from = 0, present = 0, written = 0;
	int err = 0;

	if (!range_within(first, count, s->index.page_count))
		return log_errno(EINVAL, "%s/%s", s->staging.path,
				 SNAP_MEMORY_NAME);
	/* A page that is written meanwhile is saved again. */
	racy_reads_begin();
	for (uint64_t i = 0; i <= count && !err; i++) {
		if (i < count &&
		    note_page(s, first + i, bytes + i * SNAP_PAGE_BYTES,
			      &present))
			continue;
		if (i > from)
			err = pwrite_all(s->memory_fd,
					 bytes + from * SNAP_PAGE_BYTES,
					 (i - from) * SNAP_PAGE_BYTES,
					 (first + from) * SNAP_PAGE_BYTES);
		written += i - from;
		from = i + 1;
	}
	racy_reads_end();
	atomic_fetch_add_explicit(&s->index.present_count, present,
				  memory_order_relaxed);
	if (written)
		snap_save_spend(s, written * SNAP_PAGE_BYTES);
	return err ? log_errno(-err, "%s/%s: write", s->staging.path,
			       SNAP_MEMORY_NAME) :
		     0;
}

static int write_pages(struct snap_save *s, int fd)
{
	return snap_index_write(&s->index, s->state.id, fd);
}

static int write_state(struct snap_save *s, int fd)
{
	return snap_state_write(&s->state, fd);
}

/* Creates, writes and syncs one file; -errno, logged. */
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

int snap_save_disk(struct snap_save *s, unsigned int n, uint64_t bytes)
{
	char name[SNAP_DISK_NAME_BYTES];
	int fd;

	assert(n < SNAP_DISKS_MAX && !s->disk_bytes[n] && bytes);
	fd = make_file(s, snap_disk_name(name, n));
	if (fd < 0)
		return fd;
	s->disk_fds[n] = fd;
	s->disk_bytes[n] = bytes;
	return fd;
}

int snap_save_sync(struct snap_save *s)
{
	if (fsync(s->memory_fd))
		return log_errno(errno, "%s/%s: sync", s->staging.path,
				 SNAP_MEMORY_NAME);
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++)
		if (s->disk_bytes[i] && fsync(s->disk_fds[i]))
			return log_errno(errno, "%s/" SNAP_DISK_NAME ": sync",
					 s->staging.path, i);
	return 0;
}

/* Syncs all, and closes `memory`, whose contents are complete; -errno, logged. */
static int finish_memory(struct snap_save *s)
{
	int err = snap_save_sync(s);

	if (err)
		return err;
	/* With a descriptor for writing, fs-verity is refused. */
	close(s->memory_fd);
	s->memory_fd = -1;
	return s->fsverity ?
		       snap_verity_enable(s->staging.dir_fd, s->staging.path) :
		       0;
}

/* Adds the section that names the base and what is not in it. */
static int add_base(struct snap_save *s)
{
	struct snap_writer w = { 0 };
	int err;

	snap_put_bytes(&w, s->base.id, SNAP_ID_BYTES);
	snap_put_blob(&w, s->base_name, strlen(s->base_name));
	snap_index_put_own(&s->index, &w);
	err = snap_save_section(s, SNAP_BASE_TAG, 1, &w);
	snap_writer_finish(&w);
	return err;
}

/* Adds the section of the copies of disks, if there are some. */
static int add_disks(struct snap_save *s)
{
	struct snap_writer w = { 0 };
	int err = 0;

	if (snap_disks_put(s->disk_bytes, &w))
		err = snap_save_section(s, SNAP_DISK_TAG, 1, &w);
	snap_writer_finish(&w);
	return err;
}

const uint8_t *snap_save_id(const struct snap_save *s)
{
	return s->state.id;
}

/* Renames the snapshot, under the locks that dependents.h describes. */
static int put_in_place(struct snap_save *s)
{
	CLEANUP_CLOSE int lock = -1;
	int err = snap_staging_sync(&s->staging);

	if (!err && s->base_name[0])
		err = snap_recheck_base(&s->staging, s->base_name, &s->base);
	if (!err)
		err = snap_lock_target(&s->staging, s->state.id, &lock);
	return err ? err : snap_staging_commit(&s->staging);
}

int snap_save_commit(struct snap_save *s)
{
	int err = finish_memory(s);

	if (!err)
		err = write_file(s, SNAP_PAGES_NAME, write_pages);
	/* Writing `pages` may have joined runs. */
	if (!err && s->base_name[0])
		err = add_base(s);
	if (!err)
		err = add_disks(s);
	if (!err)
		err = write_file(s, SNAP_STATE_NAME, write_state);
	if (!err)
		err = put_in_place(s);
	save_free(s);
	return err;
}

void snap_save_abort(struct snap_save *s)
{
	if (s)
		save_free(s);
}
