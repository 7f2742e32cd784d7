/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The values of --share and --root.  Main thread.
 */
#ifndef VMM_CLI_SHARE_H
#define VMM_CLI_SHARE_H

#include <stdbool.h>

#include "vmm/base/option.h"
#include "vmm/virtio/virtio.h"
#include "vmm/vm/snapshot.h"
#include "vmm/vm/vm.h"

#define SHARE_ROOT_TAG "root" /* of --root */

struct shares {
	struct virtio_fs_share list[VM_SHARES_MAX]; /* paths are owned */
	unsigned int count;
	uid_t guest_uid; /* of shares without uid= and gid= */
	gid_t guest_gid;
};

/*
 * Parses the value of --root, if @root is not NULL, and those of --share.  A
 * value of --share without a tag has the tag "share", or "share1" and so on if it
 * is not the first.  -errno, logged: a usage error.  shares_finish() follows in
 * any case.
 */
int shares_parse(struct shares *shares, const char *root,
		 const struct option_list *values);

/*
 * Adds one share; @arg has no tag, which is @tag, with the number @n unless that
 * is 0.  As above.
 */
int shares_add(struct shares *shares, const char *arg, const char *tag,
	       unsigned int n);

/*
 * Applies the options in the value @arg of --share to @fs; others stay as they
 * are.  -errno, logged.
 */
int share_apply_options(struct fs_config *fs, const char *arg);

/*
 * The shares of the snapshot @path, each with the directory and the options of
 * the value of --share that has its tag (@values, parsed as @given); without
 * one, the recorded directory if the user trusts it (@trust_paths).  -errno,
 * logged; shares_finish() as above.
 */
int shares_from_snapshot(struct shares *shares, const char *path,
			 const struct vm_description *machine,
			 const struct shares *given,
			 const struct option_list *values, bool trust_paths);

void shares_finish(struct shares *shares);

#endif
