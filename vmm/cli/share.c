/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The values of --share, "DIR[:TAG][,OPTION...]", and of --root, which has no tag.
 * The first comma ends the directory and its tag, and the last colon before it
 * divides these.  Two commas are one that ends nothing.
 */
#include "vmm/cli/share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/cli/id.h"

static const char *const cache_names[] = { "auto", "always", "never" };

static bool set_read_only(struct fs_config *fs, const char *value)
{
	fs->read_only = true;
	return !value;
}

static bool set_devices(struct fs_config *fs, const char *value)
{
	fs->allow_devices = true;
	return !value;
}

static bool set_cache(struct fs_config *fs, const char *value)
{
	for (size_t i = 0; value && i < ARRAY_SIZE(cache_names); i++) {
		if (strcmp(value, cache_names[i]) != 0)
			continue;
		fs->cache = (enum fs_cache)i;
		return true;
	}
	return false;
}

static bool set_uid(struct fs_config *fs, const char *value)
{
	return value && id_parse(value, '\0', &fs->guest_uid);
}

static bool set_gid(struct fs_config *fs, const char *value)
{
	return value && id_parse(value, '\0', &fs->guest_gid);
}

static bool set_squash(struct fs_config *fs, const char *value)
{
	const char *gid = value ? id_parse(value, ':', &fs->squash_uid) : NULL;

	fs->squash = true;
	return gid && id_parse(gid, '\0', &fs->squash_gid);
}

/* Each stores a value (NULL: none given); false if it is bad. */
static const struct share_option {
	const char *name;
	bool (*set)(struct fs_config *fs, const char *value);
} share_options[] = {
	{ "ro", set_read_only },  { "cache", set_cache },
	{ "uid", set_uid },	  { "gid", set_gid },
	{ "squash", set_squash }, { "dev", set_devices },
};

/* Applies "NAME" or "NAME=VALUE"; whether that is an option. */
static bool apply(struct fs_config *fs, const char *text)
{
	const char *value = strchr(text, '=');
	size_t len = value ? (size_t)(value++ - text) : strlen(text);

	for (size_t i = 0; i < ARRAY_SIZE(share_options); i++)
		if (len == strlen(share_options[i].name) &&
		    !memcmp(text, share_options[i].name, len))
			return share_options[i].set(fs, value);
	return false;
}

/* The comma before the options, or the end. */
static const char *place_end(const char *arg)
{
	while (*arg && (*arg != ',' || arg[1] == ','))
		arg += *arg == ',' ? 2 : 1;
	return arg;
}

/* The directory and tag, on the heap, with each pair of commas as one. */
static char *place_of(const char *arg)
{
	const char *end = place_end(arg);
	char *place = strndup(arg, (size_t)(end - arg)), *to = place;

	for (; place && arg < end; arg += *arg == ',' ? 2 : 1)
		*to++ = *arg;
	if (place)
		*to = '\0';
	return place;
}

int share_apply_options(struct fs_config *fs, const char *arg)
{
	const char *comma = place_end(arg);
	CLEANUP_FREE char *options = strdup(*comma ? comma + 1 : "");
	char *rest = options, *text;

	if (!options)
		return log_errno(ENOMEM, "share %s", arg);
	while (*comma && (text = strsep(&rest, ",")) != NULL)
		if (!apply(fs, text))
			return log_fail(
				EINVAL,
				"share %s: bad option: %s; known are ro, "
				"cache=auto|always|never, uid=N, gid=N, "
				"squash=UID:GID and dev",
				arg, text);
	if (fs->allow_devices && fs->squash)
		return log_fail(EINVAL,
				"share %s: dev needs root, which squash is not",
				arg);
	return 0;
}

/* How the values of an option are tagged. */
struct tags {
	const char *tag; /* without one in the value; then its number follows */
	bool given; /* the value may have one */
};

/* Parses the directory, whose path is allocated, and the tag. */
static int parse_place(struct virtio_fs_share *share, const char *arg,
		       const struct tags *tags, unsigned int n)
{
	CLEANUP_FREE char *path = place_of(arg);
	char *tag = path && tags->given ? strrchr(path, ':') : NULL;
	char number[16] = "";

	if (!path)
		return log_errno(ENOMEM, "share %s", arg);
	if (tag)
		*tag++ = '\0';
	if (!*path)
		return log_fail(EINVAL, "share %s: no directory", arg);
	if (tag && (!*tag || strlen(tag) > VIRTIO_FS_TAG_BYTES))
		return log_fail(EINVAL, "share %s: a tag has 1 to %d bytes",
				arg, VIRTIO_FS_TAG_BYTES);
	if (!tag && n)
		snprintf(number, sizeof(number), "%u", n);
	snprintf(share->tag, sizeof(share->tag), "%s%s", tag ? tag : tags->tag,
		 number);
	share->fs.path = path;
	path = NULL;
	return 0;
}

/* Adds a share, whose tag no other has. */
static int add(struct shares *shares, const char *arg, const struct tags *tags,
	       unsigned int n)
{
	struct virtio_fs_share *share = &shares->list[shares->count];
	int r;

	if (shares->count == VM_SHARES_MAX)
		return log_fail(EINVAL, "share %s: more than %d shares", arg,
				VM_SHARES_MAX);
	share->fs.guest_uid = shares->guest_uid;
	share->fs.guest_gid = shares->guest_gid;
	r = parse_place(share, arg, tags, n);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < shares->count; i++)
		if (!strcmp(shares->list[i].tag, share->tag))
			r = log_fail(EINVAL, "share %s: tag %s is used twice",
				     arg, share->tag);
	shares->count++;
	return r < 0 ? r : share_apply_options(&share->fs, arg);
}

int shares_add(struct shares *shares, const char *arg, const char *tag,
	       unsigned int n)
{
	const struct tags tags = { tag, false };

	return add(shares, arg, &tags, n);
}

int shares_parse(struct shares *shares, const char *root,
		 const struct option_list *values)
{
	static const struct tags of_share = { "share", true };
	int r = root ? shares_add(shares, root, SHARE_ROOT_TAG, 0) : 0;

	for (unsigned int i = 0; r >= 0 && i < values->count; i++)
		r = add(shares, values->values[i], &of_share, i);
	return r;
}

void shares_finish(struct shares *shares)
{
	for (unsigned int i = 0; i < shares->count; i++)
		free((char *)shares->list[i].fs.path);
	shares->count = 0;
}
