/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/failure.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int failure_set(struct failure *f, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->what, sizeof(f->what), format, args);
	va_end(args);
	f->error = error;
	return -error;
}

void failure_log(const struct failure *f)
{
	char line[sizeof(f->what) + 100];
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	int bytes;

	if (fd < 0)
		return;
	/* Level 2: shown on the console in spite of "quiet". */
	bytes = snprintf(line, sizeof(line), "<2>thaw init: %s: %s\n", f->what,
			 strerror(f->error));
	if (write(fd, line, (size_t)bytes) < 0)
		f = NULL;
	close(fd);
}
