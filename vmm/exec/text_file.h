/* SPDX-License-Identifier: BSD-2-Clause */
/* Small text files of the user, read whole. One thread. */
#ifndef VMM_EXEC_TEXT_FILE_H
#define VMM_EXEC_TEXT_FILE_H

/*
 * Reads @dir/@name into *@text, which the caller frees; it ends in a zero, and
 * at the first zero byte of the file. NULL if there is no such file. 0 or
 * -errno, logged: -EFBIG: more than 16 MiB.
 */
int text_file_read(const char *dir, const char *name, char **text);

#endif
