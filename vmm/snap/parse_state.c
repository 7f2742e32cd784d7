/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses `state`: the header, then the sections, in a buffer that holds the
 * whole file. Nothing is used before it is checked, and only the table of
 * sections is allocated, after its size is bounded.
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

/*
 * Upper bound of guest physical addresses: both architectures have at most 52
 * bits.
 */
#define GPA_LIMIT (UINT64_C(1) << 52)

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
		return snap_bad(f, STATE,
				"not a snapshot state file (bad "
				"magic)");
	version = get_le32(f->state + 8);
	if (version > SNAP_VERSION_BASE)
		return log_fail(EPROTONOSUPPORT,
				"%s/%s: made by a newer thaw (format version "
				"%u, maximum supported: %d)",
				f->path, STATE, version, SNAP_VERSION_BASE);
	if (!version)
		return snap_bad(f, STATE, "invalid format version 0");
	*header_bytes = get_le32(f->state + 12);
	if (*header_bytes < SNAP_STATE_FIXED_BYTES + SNAP_SUM_BYTES ||
	    *header_bytes > f->state_bytes)
		return snap_bad(f, STATE, "truncated");
	if (crc32c(0, f->state, *header_bytes - SNAP_SUM_BYTES) !=
	    get_le32(f->state + *header_bytes - SNAP_SUM_BYTES))
		return snap_bad(f, STATE, "corrupt header");
	return 0;
}

/* Stores and checks the fields of the header. */
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
					"larger than its header specifies");
	for (const char *c = f->arch; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return snap_bad(f, STATE,
					"malformed architecture name");
	}
	if (arch && strcmp(arch, f->arch) != 0)
		return log_fail(ENOEXEC,
				"%s/%s: snapshot of a guest for %s, "
				"this host is %s",
				f->path, STATE, f->arch, arch);
	if (get_le32(h + 72) != SNAP_PAGE_BYTES)
		return snap_bad(f, STATE, "page size is not 4096 bytes");
	if (f->section_count > SNAP_SECTIONS_MAX)
		return snap_bad(f, STATE, "too many sections");
	if (!f->range_count || f->range_count > SNAP_RANGES_MAX ||
	    header_bytes != SNAP_STATE_FIXED_BYTES + SNAP_SUM_BYTES +
				    (size_t)f->range_count * SNAP_RANGE_BYTES)
		return snap_bad(f, STATE, "malformed memory layout");
	return 0;
}

/* Stores the ranges of RAM: aligned, in order, contiguous in `memory`. */
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
			return snap_bad(f, STATE, "malformed memory layout");
		gpa = r.gpa + r.size_bytes;
		offset += r.size_bytes;
		f->ranges[i] = r;
	}
	if (offset != f->memory_bytes)
		return snap_bad(f, STATE, "malformed memory layout");
	f->page_count = f->memory_bytes / SNAP_PAGE_BYTES;
	return 0;
}

/* Stores a tag: printable characters, padded with zeros, unique. */
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

/* Parses the section at *@at and moves *@at past it. */
static int take_section(struct snap_file *f, struct snap_section *section,
			size_t *at)
{
	const uint8_t *h = f->state + *at;
	uint64_t len;
	uint32_t sum;

	if (!range_within(*at, SNAP_SECTION_HEADER_BYTES, f->state_bytes))
		return snap_bad(f, STATE,
				"fewer sections than its header "
				"specifies");
	len = get_le64(h + 16);
	if (!range_within(*at + SNAP_SECTION_HEADER_BYTES, len, f->state_bytes))
		return snap_bad(f, STATE,
				"a section extends past the end of "
				"the file");
	sum = crc32c(0, h, SNAP_SECTION_HEADER_BYTES - SNAP_SUM_BYTES);
	sum = crc32c(sum, h + SNAP_SECTION_HEADER_BYTES, len);
	if (!take_tag(f, section, h))
		return snap_bad(f, STATE, "malformed section name");
	if (sum != get_le32(h + 28))
		return log_fail(EBADMSG, "%s/%s: corrupt section %s", f->path,
				STATE, section->tag);
	section->version = get_le32(h + 24);
	section->data = h + SNAP_SECTION_HEADER_BYTES;
	section->len = len;
	*at += SNAP_SECTION_HEADER_BYTES + len;
	return 0;
}

/* Parses all sections; the file must end with the last. */
static int take_sections(struct snap_file *f, size_t at)
{
	int err = 0;

	f->sections = calloc(f->section_count + 1, sizeof(f->sections[0]));
	if (!f->sections)
		return log_errno(ENOMEM, "%s/%s", f->path, STATE);
	for (unsigned int i = 0; i < f->section_count && !err; i++)
		err = take_section(f, &f->sections[i], &at);
	if (!err && at != f->state_bytes)
		err = snap_bad(f, STATE,
			       "trailing data after the last section");
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

const struct snap_section *snap_find(const struct snap_file *f, const char *tag)
{
	for (unsigned int i = 0; i < f->section_count; i++) {
		if (!strcmp(f->sections[i].tag, tag))
			return &f->sections[i];
	}
	return NULL;
}

int snap_read_section(const struct snap_file *f, const char *tag,
		      uint32_t version, struct snap_reader *r)
{
	const struct snap_section *section = snap_find(f, tag);

	if (!section)
		return log_fail(EBADMSG, "%s/%s: section %s is missing",
				f->path, STATE, tag);
	if (!section->version || section->version > version)
		return log_fail(EPROTONOSUPPORT,
				"%s/%s: section %s has version %u, maximum "
				"supported: %u",
				f->path, STATE, tag, section->version, version);
	*r = (struct snap_reader){ .data = section->data,
				   .len = section->len,
				   .version = section->version };
	return (int)section->version;
}

int snap_section_bad(const struct snap_file *f, const char *tag)
{
	return log_fail(EBADMSG, "%s/%s: malformed section %s", f->path, STATE,
			tag);
}
