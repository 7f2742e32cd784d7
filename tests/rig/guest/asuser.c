// SPDX-License-Identifier: BSD-2-Clause
/*
 * asuser ID COMMAND [ARGUMENT...] - runs a command as the user and the group with
 * this number, without other groups.  The rig has no NSS, so su knows no names.
 */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned int id = argc > 2 ? (unsigned int)atoi(argv[1]) : 0;

	if (!id)
		return 64;
	if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 ||
	    setresuid(id, id, id) < 0) {
		perror("asuser");
		return 1;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
