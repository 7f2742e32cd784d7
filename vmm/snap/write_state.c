/* SPDX-License-Identifier: BSD-2-Clause */
/* The file `state`: a header, the ranges of RAM, and sections.  One thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/base/bytes.h"
#include "vmm/base/crc32c.h"
#include "vmm/base/pio.h"
#include "vmm/snap/write.h"

/*
 * Size limit of all sections; with the header, the file is within the reader's
 * limit.
 */
#define SNAP_SECTIONS_BYTES_MAX (SNAP_STATE_BYTES_MAX - 65536)

void snap_state_finish(struct snap_state *state)
{
	snap_writer_finish(&state->sections);
	free(state->tags);
}

/* Adds @tag to the table; -EEXIST if it is in use. */
static int take_tag(struct snap_state *state, const char *tag)
{
	char padded[SNAP_TAG_BYTES] = { 0 };
	char(*tags)[SNAP_TAG_BYTES];
	size_t len = strlen(tag);

	if (!len || len > SNAP_TAG_BYTES)
		return -EINVAL;
	memcpy(padded, tag, len);
	for (unsigned int i = 0; i < state->section_count; i++) {
		if (!memcmp(state->tags[i], padded, sizeof(padded)))
			return -EEXIST;
	}
	if (state->section_count == SNAP_SECTIONS_MAX)
		return -E2BIG;
	tags = realloc(state->tags,
		       (state->section_count + 1) * sizeof(tags[0]));
	if (!tags)
		return -ENOMEM;
	state->tags = tags;
	memcpy(tags[state->section_count++], padded, sizeof(padded));
	return 0;
}

int snap_state_add(struct snap_state *state, const char *tag, uint32_t version,
		   const struct snap_writer *w)
{
	uint8_t header[SNAP_SECTION_HEADER_BYTES] = { 0 };
	uint32_t sum;
	int err = w->error ? w->error : take_tag(state, tag);

	if (!err && (w->len > SNAP_SECTIONS_BYTES_MAX ||
		     state->sections.len > SNAP_SECTIONS_BYTES_MAX - w->len))
		err = -EFBIG;
	if (err)
		return err;
	memcpy(header, state->tags[state->section_count - 1], SNAP_TAG_BYTES);
	put_le64(header + 16, w->len);
	put_le32(header + 24, version);
	sum = crc32c(0, header, 28);
	put_le32(header + 28, crc32c(sum, w->data, w->len));
	snap_put_bytes(&state->sections, header, sizeof(header));
	snap_put_bytes(&state->sections, w->data, w->len);
	return state->sections.error;
}

/* Encodes the header of `state`, with its ranges and checksum. */
static void put_state_header(const struct snap_state *state,
			     struct snap_writer *w)
{
	size_t bytes = SNAP_STATE_FIXED_BYTES +
		       state->range_count * SNAP_RANGE_BYTES + SNAP_SUM_BYTES;

	snap_put_bytes(w, SNAP_STATE_MAGIC, SNAP_MAGIC_BYTES);
	snap_put_u32(w, state->has_base ? SNAP_VERSION_BASE : SNAP_VERSION);
	snap_put_u32(w, (uint32_t)bytes);
	snap_put_bytes(w, state->arch, SNAP_ARCH_BYTES);
	snap_put_bytes(w, state->id, SNAP_ID_BYTES);
	snap_put_u64(w, (uint64_t)time(NULL));
	snap_put_u64(w, bytes + state->sections.len);
	snap_put_u64(w, state->memory_bytes);
	snap_put_u32(w, SNAP_PAGE_BYTES);
	snap_put_u32(w, state->section_count);
	snap_put_u32(w, state->range_count);
	snap_put_u32(w, 0);
	for (unsigned int i = 0; i < state->range_count; i++) {
		snap_put_u64(w, state->ranges[i].gpa);
		snap_put_u64(w, state->ranges[i].size_bytes);
		snap_put_u64(w, state->ranges[i].offset_bytes);
	}
	if (!w->error)
		snap_put_u32(w, crc32c(0, w->data, w->len));
}

int snap_state_write(const struct snap_state *state, int fd)
{
	struct snap_writer header = { 0 };
	int err;

	put_state_header(state, &header);
	err = header.error;
	if (!err)
		err = pwrite_all(fd, header.data, header.len, 0);
	if (!err)
		err = pwrite_all(fd, state->sections.data, state->sections.len,
				 header.len);
	snap_writer_finish(&header);
	return err;
}
