/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/init/failure.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

/* Of linux/module.h; older headers lack it. */
#define MODULE_COMPRESSED 4

#define MODULES "/modules"

static int mount_kernel(struct failure *f)
{
	static const struct {
		const char *type, *path;
	} rows[] = {
		{ "proc", "/proc" },
		{ "sysfs", "/sys" },
		{ "devtmpfs", "/dev" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		mkdir(rows[i].path, 0755);
		/* A kernel may have mounted devtmpfs. */
		if (mount(rows[i].type, rows[i].path, rows[i].type,
			  MS_NOSUID | MS_NOEXEC, NULL) &&
		    errno != EBUSY)
			return failure_set(f, errno, "mount %s", rows[i].path);
	}
	return 0;
}

/* With these in use, no descriptor of the init can be one of a command. */
static int open_standard(struct failure *f)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd < 0)
		return failure_set(f, errno, "open /dev/null");
	close(fd);
	return 0;
}

/* Inserts the module of one line of the list. */
static int insert(char *line, struct failure *f)
{
	char *kind = strchr(line, ' ');
	char path[320];
	CLEANUP_CLOSE int fd = -1;
	int flags = 0;

	if (kind) {
		*kind++ = '\0';
		if (strcmp(kind, "compressed") == 0)
			flags = MODULE_COMPRESSED;
	}
	snprintf(path, sizeof(path), MODULES "/%s", line);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failure_set(f, errno, "open %s", path);
	if (syscall(SYS_finit_module, fd, "", flags) && errno != EEXIST)
		return failure_set(f, errno, "insert module %s", line);
	unlink(path); /* frees its pages */
	return 0;
}

static int insert_all(struct failure *f)
{
	FILE *list = fopen(MODULES "/list", "re");
	char line[300];
	int err = 0;

	if (!list)
		return errno == ENOENT ?
			       0 :
			       failure_set(f, errno, "open " MODULES "/list");
	while (!err && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			err = insert(line, f);
	}
	fclose(list);
	return err;
}

/* The kernel's limit of 4096 descriptors is too low for many programs. */
static void raise_limits(void)
{
	const struct rlimit files = { .rlim_cur = 1024, .rlim_max = 1 << 19 };

	setrlimit(RLIMIT_NOFILE, &files);
}

int boot(struct failure *f)
{
	int err;

	err = mount_kernel(f);
	if (!err)
		err = open_standard(f);
	if (!err)
		err = insert_all(f);
	raise_limits();
	return err;
}
