/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FICLONE in place of the kernel's, by a copy, so that clones are tested on any file
 * system.  The linker wraps ioctl(2) (meson.build).
 */
#ifndef TESTS_UNIT_IO_CLONE_H
#define TESTS_UNIT_IO_CLONE_H

#include <errno.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum clones {
	CLONES_NONE, /* refused */
	CLONES_COPIED, /* done here */
	CLONES_REAL, /* the kernel's */
};

static enum clones clones;
static int clone_calls, clone_error; /* of the next one; 0: none */

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

static inline int copy_file(int to, int from)
{
	struct stat st;
	char *data;
	int r;

	if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	data = malloc((size_t)st.st_size + 1);
	r = ftruncate(to, 0) == 0 && ftruncate(to, st.st_size) == 0 &&
			    pread(from, data, (size_t)st.st_size, 0) ==
				    st.st_size &&
			    pwrite(to, data, (size_t)st.st_size, 0) ==
				    st.st_size ?
		    0 :
		    -1;
	free(data);
	return r;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request != FICLONE || clones == CLONES_REAL)
		return __real_ioctl(fd, request, arg);
	clone_calls++;
	errno = clone_error ? clone_error : EOPNOTSUPP;
	if (clones == CLONES_NONE || clone_error)
		return -1;
	return copy_file(fd, (int)(intptr_t)arg);
}

#endif
