/* SPDX-License-Identifier: BSD-2-Clause */
/* Main thread. The size that stat(2) reports is not trusted. */
#include "vmm/exec/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define FILE_MAX   (16 * MIB)
#define FIRST_ROOM (64 * KIB)

/* Reads to the end; the text is terminated. -errno, not logged. */
static int read_all(int fd, char **text)
{
	CLEANUP_FREE char *buf = NULL;
	size_t room = FIRST_ROOM, len = 0;
	ssize_t n;

	do {
		char *more = NULL;

		if (len + 1 >= room)
			room *= 2;
		if (room > 2 * FILE_MAX)
			return -EFBIG;
		more = realloc(buf, room);
		if (more == NULL)
			return -ENOMEM;
		buf = more;
		n = read(fd, buf + len, room - len - 1);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		return -errno;
	if (len > FILE_MAX)
		return -EFBIG;
	buf[len] = '\0';
	*text = take_ptr(buf);
	return 0;
}

int text_file_read(const char *dir, const char *name, char **text)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_FREE char *path = NULL;
	int err;

	*text = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return log_errno(ENOMEM, "%s", name);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return log_errno(errno, "open %s", path);
	err = read_all(fd, text);
	return err != 0 ? log_errno(-err, "read %s", path) : 0;
}
