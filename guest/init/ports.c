/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/ports.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

#define CLASS "/sys/class/virtio-ports"

static void sleep_ms(unsigned int ms)
{
	const struct timespec wait = { .tv_nsec = ms * 1000000L };

	nanosleep(&wait, NULL);
}

/* Whether the port of device @entry has the name. */
static bool has_name(const char *entry, const char *name)
{
	char path[300], text[64];
	CLEANUP_CLOSE int fd = -1;
	ssize_t bytes;

	snprintf(path, sizeof(path), CLASS "/%s/name", entry);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bytes = read(fd, text, sizeof(text) - 1);
	if (bytes < 0)
		return false;
	text[bytes] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, name) == 0;
}

static int open_now(const char *name)
{
	DIR *dir = opendir(CLASS);
	const struct dirent *entry;
	char path[300] = "";
	int fd;

	if (!dir)
		return -ENODEV;
	while (!*path && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && has_name(entry->d_name, name))
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
	closedir(dir);
	if (!*path)
		return -ENODEV;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int port_open(const char *name, unsigned int wait_ms)
{
	int fd = open_now(name);

	for (unsigned int ms = 0; fd == -ENODEV && ms < wait_ms; ms += 2) {
		sleep_ms(2);
		fd = open_now(name);
	}
	return fd;
}

int port_is_connected(int fd, unsigned int wait_ms)
{
	struct pollfd p = { .fd = fd };

	/* The driver's only sign is that this state ends. */
	for (unsigned int ms = 0; poll(&p, 1, 0) > 0; ms++) {
		if (ms == wait_ms)
			return 0;
		sleep_ms(1);
	}
	return 1;
}
