/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where distributions put kernel images: Debian, Fedora and others in /boot,
 * Arch and newer Fedora beside the modules.
 *
 * Main thread, no lock.
 */
#include "vmm/exec/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "vmm/arch.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

/* The path of an image: @before, the release, @after. */
static const struct place {
	const char *before, *after;
} places[] = {
	{ "/boot/vmlinuz-", "" },
	{ "/lib/modules/", "/vmlinuz" },
};

static int open_file(struct guest_kernel *kernel, const char *file)
{
	int fd = image_open("kernel", file);
	int err;

	if (fd < 0)
		return fd;
	kernel->image.fd = fd;
	kernel->path = strdup(file);
	if (kernel->path == NULL)
		return log_errno(ENOMEM, "kernel %s", file);
	err = image_init(&kernel->image, fd, kernel->path);
	return err != 0 ? err :
			  arch_kernel_release(&kernel->image, kernel->release);
}

/* Tries one place; -errno, not logged. */
static int try_place(struct guest_kernel *kernel, const struct place *place,
		     const char *prefix)
{
	free(kernel->path);
	kernel->path = NULL;
	if (asprintf(&kernel->path, "%s%s%s%s", prefix, place->before,
		     kernel->release, place->after) < 0) {
		kernel->path = NULL;
		return -ENOMEM;
	}
	kernel->image.fd =
		open(kernel->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return kernel->image.fd < 0 ? -errno : 0;
}

static int open_version(struct guest_kernel *kernel, const char *prefix)
{
	int errs[ARRAY_SIZE(places)];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		errs[i] = try_place(kernel, &places[i], prefix);
		if (errs[i] == 0)
			return image_init(&kernel->image, kernel->image.fd,
					  kernel->path);
	}
	return log_fail(errs[0] == -ENOENT ? -errs[1] : -errs[0],
			"kernel %s: %s%s%s: %s; %s: %s; give an image with -k",
			kernel->release, prefix, places[0].before,
			kernel->release, strerror(-errs[0]),
			kernel->path != NULL ? kernel->path : "?",
			strerror(-errs[1]));
}

/* Sets the release of @choice, or that of the running kernel. */
static int set_release(struct guest_kernel *kernel, const char *version)
{
	struct utsname host;
	size_t len;

	if (version == NULL) {
		if (uname(&host) < 0)
			return log_errno(errno, "uname");
		version = host.release;
	}
	len = strlen(version);
	if (len == 0 || len >= sizeof(kernel->release) ||
	    strchr(version, '/') != NULL || version[0] == '.')
		return log_fail(EINVAL, "kernel version \"%s\": not a release",
				version);
	memcpy(kernel->release, version, len + 1);
	return 0;
}

int guest_kernel_open(struct guest_kernel *kernel,
		      const struct kernel_choice *choice)
{
	const char *prefix = choice->prefix != NULL ? choice->prefix : "";
	int err;

	*kernel = (struct guest_kernel){ .image.fd = -1 };
	if (choice->file != NULL) {
		err = open_file(kernel, choice->file);
	} else {
		err = set_release(kernel, choice->version);
		if (err == 0)
			err = open_version(kernel, prefix);
	}
	if (err != 0)
		guest_kernel_close(kernel);
	return err;
}

void guest_kernel_close(struct guest_kernel *kernel)
{
	/* A path belongs to every open image. */
	if (kernel->path != NULL && kernel->image.fd >= 0)
		close(kernel->image.fd);
	free(kernel->path);
	*kernel = (struct guest_kernel){ .image.fd = -1 };
}
