/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a snapshot directory: `memory` as pages are saved, `pages` and `state`
 * at the commit, when the runs are known.
 */
#include "vmm/snap/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/snap/staging.h"
#include "vmm/snap/write.h"

struct snap_save {
	struct snap_staging staging;
	int memory_fd;
	struct snap_index index;
	struct snap_state state;
};

/* Also removes the temporary directory, unless it was committed. */
static void save_free(struct snap_save *s)
{
	if (s->memory_fd >= 0)
		close(s->memory_fd);
	snap_index_finish(&s->index);
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

static int save_init(struct snap_save *s, const struct snap_save_config *config)
{
	struct snap_state *state = &s->state;
	int err = take_ranges(state, config);

	if (err || strlen(config->arch) > SNAP_ARCH_BYTES)
		return -EINVAL;
	memcpy(state->arch, config->arch, strlen(config->arch));
	if (getrandom(state->id, sizeof(state->id), 0) != sizeof(state->id))
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
	if (!err && ftruncate(s->memory_fd, (off_t)s->state.memory_bytes))
		err = log_errno(errno, "%s/%s", config->path, SNAP_MEMORY_NAME);
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

/* Each run that is not zero is one write. */
int snap_save_pages(struct snap_save *s, uint64_t first, uint64_t count,
		    const void *data)
{
	const uint8_t *bytes = data;
	uint64_t from = 0, present = 0;
	int err = 0;

	if (!range_within(first, count, s->index.page_count))
		return log_errno(EINVAL, "%s/%s", s->staging.path,
				 SNAP_MEMORY_NAME);
	for (uint64_t i = 0; i <= count && !err; i++) {
		if (i < count && snap_index_note(&s->index, first + i,
						 bytes + i * SNAP_PAGE_BYTES))
			continue;
		if (i > from)
			err = snap_write_at(s->memory_fd,
					    bytes + from * SNAP_PAGE_BYTES,
					    (i - from) * SNAP_PAGE_BYTES,
					    (first + from) * SNAP_PAGE_BYTES);
		present += i - from;
		from = i + 1;
	}
	atomic_fetch_add_explicit(&s->index.present_count, present,
				  memory_order_relaxed);
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

int snap_save_commit(struct snap_save *s)
{
	int err = 0;

	if (fsync(s->memory_fd))
		err = log_errno(errno, "%s/%s: sync", s->staging.path,
				SNAP_MEMORY_NAME);
	if (!err)
		err = write_file(s, SNAP_PAGES_NAME, write_pages);
	if (!err)
		err = write_file(s, SNAP_STATE_NAME, write_state);
	if (!err)
		err = snap_staging_commit(&s->staging);
	save_free(s);
	return err;
}

void snap_save_abort(struct snap_save *s)
{
	if (s)
		save_free(s);
}
