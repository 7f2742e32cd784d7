/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offsets are those of Elf64_Ehdr and Elf64_Shdr (System V ABI, 4).
 *
 * Owns nothing. Main thread.
 */
#include "vmm/exec/modinfo.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/boot/image.h"

#define EHDR_BYTES   64
#define E_SHOFF	     0x28
#define E_SHENTSIZE  0x3a
#define E_SHNUM	     0x3c
#define E_SHSTRNDX   0x3e
#define SHDR_BYTES   64
#define SH_NAME	     0x00
#define SH_OFFSET    0x18
#define SH_SIZE	     0x20
#define SECTION_NAME ".modinfo"

#define MODINFO_MAX MIB

/* A section's place in the file. */
struct section {
	uint32_t name; /* in the section of names */
	uint64_t offset, len_bytes;
};

static int read_section(const struct image *module, uint64_t table,
			unsigned int n, struct section *section)
{
	uint8_t b[SHDR_BYTES];
	int err = image_read(module, table + (uint64_t)n * SHDR_BYTES, b,
			     sizeof(b));

	if (err != 0)
		return err;
	*section = (struct section){ get_le32(b + SH_NAME),
				     get_le64(b + SH_OFFSET),
				     get_le64(b + SH_SIZE) };
	return 0;
}

/* Whether @section has the name; -errno, logged. */
static int is_modinfo(const struct image *module, const struct section *names,
		      const struct section *section)
{
	char name[sizeof(SECTION_NAME)];
	int err;

	if (!range_within(section->name, sizeof(name), names->len_bytes) ||
	    !range_within(names->offset, names->len_bytes, module->size_bytes))
		return 0;
	err = image_read(module, names->offset + section->name, name,
			 sizeof(name));
	if (err != 0)
		return err;
	return memcmp(name, SECTION_NAME, sizeof(name)) == 0;
}

static int find_section(const struct image *module, struct section *section)
{
	uint8_t head[EHDR_BYTES];
	struct section names;
	int found = image_read(module, 0, head, sizeof(head));
	uint64_t table = get_le64(head + E_SHOFF);

	if (found != 0)
		return found;
	if (memcmp(head, "\177ELF\2\1", 6) != 0 ||
	    get_le16(head + E_SHENTSIZE) != SHDR_BYTES ||
	    table > module->size_bytes)
		return log_fail(EINVAL, "%s: not a kernel module",
				module->name);
	found = read_section(module, table, get_le16(head + E_SHSTRNDX),
			     &names);
	for (unsigned int i = 0; found == 0 && i < get_le16(head + E_SHNUM);
	     i++) {
		found = read_section(module, table, i, section);
		if (found == 0)
			found = is_modinfo(module, &names, section);
	}
	if (found == 0 || (found == 1 && section->len_bytes > MODINFO_MAX))
		return log_fail(EINVAL, "%s: no .modinfo section",
				module->name);
	return found < 0 ? found : 0;
}

/* The value of @key in @len bytes at @text, which end in a zero; NULL: none. */
static const char *find_key(const char *text, size_t len, const char *key)
{
	size_t key_len = strlen(key);

	for (const char *at = text; at < text + len; at += strlen(at) + 1)
		if (strncmp(at, key, key_len) == 0 && at[key_len] == '=')
			return at + key_len + 1;
	return NULL;
}

char *modinfo_get(const struct image *module, const char *key, int *err)
{
	struct section section = { 0 };
	CLEANUP_FREE char *text = NULL;
	const char *value;
	char *copy = NULL;

	*err = find_section(module, &section);
	if (*err != 0)
		return NULL;
	text = calloc(1, section.len_bytes + 1);
	if (text != NULL)
		*err = image_read(module, section.offset, text,
				  section.len_bytes);
	if (text != NULL && *err != 0)
		return NULL;
	value = text != NULL ? find_key(text, section.len_bytes, key) : NULL;
	if (value != NULL)
		copy = strdup(value);
	if (text == NULL || (value != NULL && copy == NULL))
		*err = log_errno(ENOMEM, "%s", module->name);
	return copy;
}
