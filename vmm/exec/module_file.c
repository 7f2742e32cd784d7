/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels from 5.17 decompress modules (CONFIG_MODULE_DECOMPRESS), in the format
 * that they are configured for.
 *
 * Main thread.
 */
#include "vmm/exec/module_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/boot/image.h"
#include "vmm/boot/inflate.h"

/* With debug information; more than any module has. */
#define MODULE_MAX (256 * MIB)

static const struct format {
	const char *suffix, *name, *option;
	inflate_function *inflate; /* NULL: not in this build */
} formats[] = {
	{ ".xz", "xz", "\nCONFIG_MODULE_COMPRESS_XZ=y\n", INFLATE_XZ },
	{ ".zst", "zstd", "\nCONFIG_MODULE_COMPRESS_ZSTD=y\n", INFLATE_ZSTD },
	{ ".gz", "gzip", "\nCONFIG_MODULE_COMPRESS_GZIP=y\n", INFLATE_GZIP },
};

/* The format by the end of a file's name; NULL: not compressed. */
static const struct format *format_of(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		size_t n = strlen(formats[i].suffix);

		if (len > n && strcmp(path + len - n, formats[i].suffix) == 0)
			return &formats[i];
	}
	return NULL;
}

static bool kernel_loads(const struct format *format, const char *config)
{
	return config != NULL &&
	       strstr(config, "\nCONFIG_MODULE_DECOMPRESS=y\n") != NULL &&
	       strstr(config, format->option) != NULL;
}

/* Opens @dir/@path@suffix; *@full is the path, which the caller frees. */
static int try_open(const char *dir, struct span path, const char *suffix,
		    char **full)
{
	bool absolute = path.len != 0 && path.at[0] == '/';
	int fd;

	free(*full);
	if (path.len >= 4096 ||
	    asprintf(full, "%s%s%.*s%s", absolute ? "" : dir,
		     absolute ? "" : "/", (int)path.len, path.at, suffix) < 0) {
		*full = NULL;
		return -ENAMETOOLONG;
	}
	fd = open(*full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Tries the path with each suffix; -ENOENT, not logged, if none is there. */
static int try_suffixes(const char *dir, struct span path, const char *ko,
			char **full)
{
	char suffix[16];
	int fd = try_open(dir, path, ko, full);

	for (size_t i = 0; fd == -ENOENT && i < ARRAY_SIZE(formats); i++) {
		snprintf(suffix, sizeof(suffix), "%s%s", ko, formats[i].suffix);
		fd = try_open(dir, path, suffix, full);
	}
	return fd;
}

/* Opens the file that an index names; see module_file_open(). */
static int open_path(const char *dir, struct span path, char **full)
{
	const char *ko = "";
	int fd;

	if (path.len > 2 && memcmp(path.at + path.len - 2, ".o", 2) == 0) {
		path.len -= 2;
		ko = ".ko";
	}
	fd = try_suffixes(dir, path, ko, full);
	/* "kernel/" stands for the top of the tree before it is installed. */
	if (fd == -ENOENT && path.len > 7 && memcmp(path.at, "kernel/", 7) == 0)
		fd = try_suffixes(dir,
				  (struct span){ path.at + 7, path.len - 7 },
				  ko, full);
	if (fd < 0)
		return log_errno(-fd, "open module %s/%.*s%s", dir,
				 (int)min_u64(path.len, 256), path.at, ko);
	return fd;
}

/* Replaces the module's descriptor by one of the decompressed contents. */
static int decompress(struct guest_module *module, const char *path,
		      const struct format *format)
{
	CLEANUP_CLOSE int fd = memfd_create("module", MFD_CLOEXEC);
	struct inflate_job job = {
		.name = path,
		.in_fd = module->fd,
		.len_bytes = module->size_bytes,
		.out_fd = fd,
		.limit_bytes = MODULE_MAX,
		.limit = "the maximum of a module",
	};
	int err;

	if (format->inflate == NULL)
		return log_fail(ENOEXEC,
				"%s: %s compression is not supported by this "
				"build; decompress the module",
				path, format->name);
	if (fd < 0)
		return log_errno(errno, "%s: memfd_create", path);
	err = format->inflate(&job);
	if (err != 0)
		return err;
	close(module->fd);
	module->fd = take_fd(&fd);
	module->size_bytes = job.out_bytes;
	return 0;
}

/* Stores the base name; without its last @chopped bytes. */
static int set_file(struct guest_module *module, const char *path,
		    size_t chopped)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;

	module->file = strndup(base, strlen(base) - chopped);
	return module->file != NULL ? 0 : log_errno(ENOMEM, "%s", path);
}

/* Fills the module from its open file. */
static int fill(struct guest_module *module, const char *path,
		const char *config)
{
	const struct format *format = format_of(path);
	struct image image;
	int err = image_init(&image, module->fd, path);

	if (err != 0)
		return err;
	if (image.size_bytes > MODULE_MAX)
		return log_fail(EFBIG, "%s: too large for a module", path);
	module->size_bytes = image.size_bytes;
	module->compressed = format != NULL && kernel_loads(format, config);
	if (format == NULL || module->compressed)
		return set_file(module, path, 0);
	err = decompress(module, path, format);
	return err != 0 ? err : set_file(module, path, strlen(format->suffix));
}

int module_file_open(struct guest_module *module, const char *dir,
		     struct span path, const char *config)
{
	CLEANUP_FREE char *full = NULL;
	int err;

	*module = (struct guest_module){ .fd = open_path(dir, path, &full) };
	if (module->fd < 0 || full == NULL)
		return module->fd;
	err = fill(module, full, config);
	if (err != 0) {
		close(module->fd);
		free(module->file);
		*module = (struct guest_module){ .fd = -1 };
	}
	return err;
}

void module_file_close(struct guest_module *module)
{
	if (module->file != NULL)
		close(module->fd);
	free(module->file);
	*module = (struct guest_module){ .fd = -1 };
}
