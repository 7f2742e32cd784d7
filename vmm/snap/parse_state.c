/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parsing `state`: the header, then the sections, in a buffer that holds the
 * whole file.  Nothing is used before it was checked, and nothing is allocated
 * but the table of sections, whose size is bounded first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/crc32c.h"
#include "vmm/base/log.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/section.h"

#define STATE SNAP_STATE_NAME

/* No guest address reaches this: the widest of the two architectures has 52. */
#define GPA_LIMIT (UINT64_C(1) << 52)

/* Logs what is wrong with a file. */
int snap_bad(const struct snap_file *f, const char *name, const char *reason)
{
	return log_fail(EBADMSG, "%s/%s: %s", f->path, name, reason);
}

/* Checks the magic, the version and the length of the header. */
static int check_head(const struct snap_file *f, size_t *header_bytes)
{
	uint32_t version;

	if (f->state_bytes < SNAP_STATE_FIXED_BYTES ||
	    memcmp(f->state, SNAP_STATE_MAGIC, SNAP_MAGIC_BYTES) != 0)
		return snap_bad(f, STATE, "not the state of a snapshot");
	version = get_le32(f->state + 8);
	if (version > SNAP_VERSION)
		return log_fail(EPROTONOSUPPORT,
				"%s/%s: made by a newer thaw (format %u, this "
				"one reads %d)",
				f->path, STATE, version, SNAP_VERSION);
	if (!version)
		return snap_bad(f, STATE, "no format has version 0");
	*header_bytes = get_le32(f->state + 12);
	if (*header_bytes < SNAP_STATE_FIXED_BYTES + SNAP_SUM_BYTES ||
	    *header_bytes > f->state_bytes)
		return snap_bad(f, STATE, "truncated");
	if (crc32c(0, f->state, *header_bytes - SNAP_SUM_BYTES) !=
	    get_le32(f->state + *header_bytes - SNAP_SUM_BYTES))
		return snap_bad(f, STATE, "the header is damaged");
	return 0;
}

/* The words that every field of the header is held to. */
static int take_header(struct snap_file *f, const char *arch,
		       size_t header_bytes)
{
	const uint8_t *h = f->state;

	f->version = get_le32(h + 8);
	memcpy(f->arch, h + 16, SNAP_ARCH_BYTES);
	memcpy(f->id, h + 32, SNAP_ID_BYTES);
	f->created_s = get_le64(h + 48);
	f->memory_bytes = get_le64(h + 64);
	f->section_count = get_le32(h + 76);
	f->range_count = get_le32(h + 80);
	if (get_le64(h + 56) != f->state_bytes)
		return snap_bad(f, STATE,
				get_le64(h + 56) > f->state_bytes ?
					"truncated" :
					"longer than it says");
	for (const char *c = f->arch; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return snap_bad(f, STATE, "no architecture's name");
	}
	if (arch && strcmp(arch, f->arch) != 0)
		return log_fail(ENOEXEC, "%s/%s: a guest of %s, this is %s",
				f->path, STATE, f->arch, arch);
	if (get_le32(h + 72) != SNAP_PAGE_BYTES)
		return snap_bad(f, STATE, "pages are not of 4096 bytes");
	if (f->section_count > SNAP_SECTIONS_MAX)
		return snap_bad(f, STATE, "more sections than there can be");
	if (!f->range_count || f->range_count > SNAP_RANGES_MAX ||
	    header_bytes != SNAP_STATE_FIXED_BYTES + SNAP_SUM_BYTES +
				    (size_t)f->range_count * SNAP_RANGE_BYTES)
		return snap_bad(f, STATE, "the memory layout is damaged");
	return 0;
}

/* The ranges of RAM: aligned, in order, one after another in `memory`. */
static int take_ranges(struct snap_file *f)
{
	uint64_t offset = 0, gpa = 0;

	for (unsigned int i = 0; i < f->range_count; i++) {
		const uint8_t *p = f->state + SNAP_STATE_FIXED_BYTES +
				   (size_t)i * SNAP_RANGE_BYTES;
		struct snap_range r = { get_le64(p), get_le64(p + 8),
					get_le64(p + 16) };

		if ((r.gpa | r.size_bytes) % SNAP_PAGE_BYTES || !r.size_bytes ||
		    r.gpa < gpa || r.offset_bytes != offset ||
		    !range_within(r.gpa, r.size_bytes, GPA_LIMIT) ||
		    r.size_bytes > SNAP_MEMORY_BYTES_MAX - offset)
			return snap_bad(f, STATE,
					"the memory layout makes no "
					"sense");
		gpa = r.gpa + r.size_bytes;
		offset += r.size_bytes;
		f->ranges[i] = r;
	}
	if (offset != f->memory_bytes)
		return snap_bad(f, STATE, "the memory layout makes no sense");
	f->page_count = f->memory_bytes / SNAP_PAGE_BYTES;
	return 0;
}

/* Takes a tag: printing characters, padded with zeros, not seen before. */
static bool take_tag(const struct snap_file *f, struct snap_section *section,
		     const uint8_t *bytes)
{
	size_t len;

	memcpy(section->tag, bytes, SNAP_TAG_BYTES);
	section->tag[SNAP_TAG_BYTES] = '\0';
	len = strlen(section->tag);
	for (size_t i = 0; i < len; i++) {
		if (section->tag[i] <= ' ' || section->tag[i] > '~')
			return false;
	}
	for (size_t i = len; i < SNAP_TAG_BYTES; i++) {
		if (bytes[i])
			return false;
	}
	for (const struct snap_section *s = f->sections; s < section; s++) {
		if (!strcmp(s->tag, section->tag))
			return false;
	}
	return len > 0;
}

/* One section at *@at, which moves behind it. */
static int take_section(struct snap_file *f, struct snap_section *section,
			size_t *at)
{
	const uint8_t *h = f->state + *at;
	uint64_t len;
	uint32_t sum;

	if (!range_within(*at, SNAP_SECTION_HEADER_BYTES, f->state_bytes))
		return snap_bad(f, STATE, "fewer sections than it says");
	len = get_le64(h + 16);
	if (!range_within(*at + SNAP_SECTION_HEADER_BYTES, len, f->state_bytes))
		return snap_bad(f, STATE, "a section reaches beyond the end");
	sum = crc32c(0, h, SNAP_SECTION_HEADER_BYTES - SNAP_SUM_BYTES);
	sum = crc32c(sum, h + SNAP_SECTION_HEADER_BYTES, len);
	if (!take_tag(f, section, h))
		return snap_bad(f, STATE, "a section's name makes no sense");
	if (sum != get_le32(h + 28))
		return log_fail(EBADMSG, "%s/%s: section %s is damaged",
				f->path, STATE, section->tag);
	section->version = get_le32(h + 24);
	section->data = h + SNAP_SECTION_HEADER_BYTES;
	section->len = len;
	*at += SNAP_SECTION_HEADER_BYTES + len;
	return 0;
}

/* All sections; the file ends with the last. */
static int take_sections(struct snap_file *f, size_t at)
{
	int err = 0;

	f->sections = calloc(f->section_count + 1, sizeof(f->sections[0]));
	if (!f->sections)
		return log_errno(ENOMEM, "%s/%s", f->path, STATE);
	for (unsigned int i = 0; i < f->section_count && !err; i++)
		err = take_section(f, &f->sections[i], &at);
	if (!err && at != f->state_bytes)
		err = snap_bad(f, STATE, "bytes after the last section");
	return err;
}

int snap_parse_state(struct snap_file *f, const char *arch)
{
	size_t header_bytes = 0;
	int err = check_head(f, &header_bytes);

	if (!err)
		err = take_header(f, arch, header_bytes);
	if (!err)
		err = take_ranges(f);
	if (!err)
		err = take_sections(f, header_bytes);
	return err;
}

/* The section of that tag. */
const struct snap_section *snap_find(const struct snap_file *f, const char *tag)
{
	for (unsigned int i = 0; i < f->section_count; i++) {
		if (!strcmp(f->sections[i].tag, tag))
			return &f->sections[i];
	}
	return NULL;
}

/* Points a reader at a section. */
int snap_read_section(const struct snap_file *f, const char *tag,
		      uint32_t version, struct snap_reader *r)
{
	const struct snap_section *section = snap_find(f, tag);

	if (!section)
		return log_fail(EBADMSG, "%s/%s: section %s is missing",
				f->path, STATE, tag);
	if (!section->version || section->version > version)
		return log_fail(EPROTONOSUPPORT,
				"%s/%s: section %s has version %u, this thaw "
				"reads up to %u",
				f->path, STATE, tag, section->version, version);
	*r = (struct snap_reader){ .data = section->data,
				   .len = section->len,
				   .version = section->version };
	return (int)section->version;
}

/* Logs that a section's fields make no sense. */
int snap_section_bad(const struct snap_file *f, const char *tag)
{
	return log_fail(EBADMSG, "%s/%s: section %s makes no sense", f->path,
			STATE, tag);
}
