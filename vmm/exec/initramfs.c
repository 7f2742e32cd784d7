/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contents of the initramfs.
 *
 * Owns nothing: the memory file is the caller's. Main thread.
 */
#include "vmm/exec/initramfs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/exec/cpio.h"
#include "vmm/exec/modules.h"

#define MODULE_DIR "modules"

/* Numbers of Documentation/admin-guide/devices.txt. */
#define DEVICE_NULL    makedev(1, 3)
#define DEVICE_CONSOLE makedev(5, 1)

/* Directories and nodes that init needs before it has mounted anything. */
static void add_tree(struct cpio *cpio)
{
	static const char *const dirs[] = { "dev", "proc", "sys", MODULE_DIR };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		cpio_dir(cpio, dirs[i], 0755);
	cpio_node(cpio, "dev/console", 0600, DEVICE_CONSOLE);
	cpio_node(cpio, "dev/null", 0666, DEVICE_NULL);
}

/* The text of the list file; NULL if memory is exhausted. The caller frees. */
static char *list_text(const struct module_set *modules, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (to == NULL)
		return NULL;
	for (unsigned int i = 0; i < modules->count; i++)
		fprintf(to, "%s %s\n", modules->list[i].file,
			modules->list[i].compressed ? "compressed" : "plain");
	if (fclose(to) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static void add_module(struct cpio *cpio, const struct guest_module *module)
{
	char *name = NULL;

	if (asprintf(&name, MODULE_DIR "/%s", module->file) < 0) {
		cpio->err = log_errno(ENOMEM, "module %s", module->file);
		return;
	}
	cpio_file_fd(cpio, name, 0644, module->fd, module->size_bytes);
	free(name);
}

int initramfs_build(const struct module_set *modules, const uint8_t *init,
		    size_t init_bytes)
{
	CLEANUP_CLOSE int fd = memfd_create("initramfs", MFD_CLOEXEC);
	CLEANUP_FREE char *list = NULL;
	struct cpio cpio = { .fd = fd };
	size_t len;
	int err;

	if (fd < 0)
		return log_errno(errno, "initramfs: memfd_create");
	list = list_text(modules, &len);
	if (list == NULL)
		return log_errno(ENOMEM, "initramfs");
	add_tree(&cpio);
	cpio_file(&cpio, "init", 0755, init, init_bytes);
	cpio_file(&cpio, MODULE_DIR "/list", 0644, list, len);
	for (unsigned int i = 0; i < modules->count && cpio.err == 0; i++)
		add_module(&cpio, &modules->list[i]);
	err = cpio_end(&cpio);
	return err != 0 ? err : take_fd(&fd);
}
