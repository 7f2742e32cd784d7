/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shares of a snapshot.  Their directories in it are untrusted: a snapshot
 * can name any directory of this host.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/cli/share.h"

/* The number of the share with a tag, or -ENOENT. */
static int find(const struct shares *shares, const char *tag)
{
	for (unsigned int i = 0; i < shares->count; i++)
		if (!strcmp(shares->list[i].tag, tag))
			return (int)i;
	return -ENOENT;
}

/* -EINVAL, logged, for a value of --share whose tag the snapshot lacks. */
static int check_tags(const struct shares *given, const char *path,
		      const struct vm_description *machine)
{
	for (unsigned int i = 0; i < given->count; i++) {
		const char *tag = given->list[i].tag;
		bool known = false;

		for (unsigned int n = 0; n < machine->share_count; n++)
			known |= !strcmp(machine->shares[n].share.tag, tag);
		if (!known)
			return log_fail(EINVAL,
					"--share: %s has no share with tag %s",
					path, tag);
	}
	return 0;
}

/* Adds share @was, with the directory @path. */
static int add(struct shares *shares, const struct vm_share *was,
	       const char *path)
{
	struct virtio_fs_share *share = &shares->list[shares->count];

	*share = was->share;
	share->fs.path = strdup(path);
	if (!share->fs.path)
		return log_errno(ENOMEM, "share %s", path);
	shares->count++;
	return 0;
}

/* Adds share @was with the directory and options of value @arg of --share. */
static int add_given(struct shares *shares, const struct vm_share *was,
		     const struct virtio_fs_share *given, const char *arg)
{
	struct virtio_fs_share *share = &shares->list[shares->count];
	int r = add(shares, was, given->fs.path);

	if (r < 0)
		return r;
	share->relocated = true;
	return share_apply_options(&share->fs, arg);
}

/* Adds share @was with the directory that the snapshot names. */
static int add_recorded(struct shares *shares, const char *path,
			const struct vm_share *was, bool trust_paths)
{
	/* The path comes last: it may be longer than a line of the log. */
	if (!trust_paths)
		return log_fail(EPERM,
				"%s: has a share: pass its directory with "
				"--share DIR:%s, or add --trust-paths to open "
				"the recorded path: %s",
				path, was->share.tag, was->path);
	return add(shares, was, was->path);
}

int shares_from_snapshot(struct shares *shares, const char *path,
			 const struct vm_description *machine,
			 const struct shares *given,
			 const struct option_list *values, bool trust_paths)
{
	int r = check_tags(given, path, machine);

	for (unsigned int i = 0; r >= 0 && i < machine->share_count; i++) {
		const struct vm_share *was = &machine->shares[i];
		int n = find(given, was->share.tag);

		r = n >= 0 ? add_given(shares, was, &given->list[n],
				       values->values[n]) :
			     add_recorded(shares, path, was, trust_paths);
	}
	return r;
}
