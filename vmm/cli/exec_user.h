/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Users and groups of a root directory, by its /etc/passwd and /etc/group; its
 * contents are not trusted.  Main thread.
 */
#ifndef VMM_CLI_EXEC_USER_H
#define VMM_CLI_EXEC_USER_H

#include <stdbool.h>
#include <stdint.h>

#define EXEC_GROUPS_MAX 256

struct exec_user {
	uint32_t uid, gid;
	uint32_t groups[EXEC_GROUPS_MAX];
	uint32_t group_count;
	/* Of its entry, on the heap; NULL: it has none. */
	char *name, *home, *shell;
};

/*
 * Finds @text, a NAME, UID, or either with :GROUP or :GID, in the directory
 * @root.  NULL: the user of this process, with its groups.  Without a group it is
 * that of the entry, or else GID is UID.  -errno, logged; -ENOENT for a name that
 * is unknown.  exec_user_finish() follows in any case.
 */
int exec_user_find(struct exec_user *user, const char *root, const char *text);
void exec_user_finish(struct exec_user *user);

#endif
