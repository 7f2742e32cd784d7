/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel modules that a guest needs before its root share is mounted:
 * virtio_pci, virtio_console, virtiofs and overlay, with their dependencies,
 * without those that are built in. One thread: set-up.
 *
 * A module tree is /lib/modules/RELEASE or the top of a kernel build. The trees
 * are the user's: symbolic links are followed. Their files are checked, and an
 * error names the file.
 */
#ifndef VMM_EXEC_MODULES_H
#define VMM_EXEC_MODULES_H

#include <stdbool.h>
#include <stdint.h>

struct guest_kernel;

/* More than any kernel has of these. */
#define GUEST_MODULES_MAX 64

/* One module; the descriptor and the string are owned by the set. */
struct guest_module {
	char *file; /* base name: "fuse.ko", or "fuse.ko.xz" if @compressed */
	/*
	 * Its file, or a memory file if the host decompressed it; the contents
	 * are @size_bytes from offset 0.
	 */
	int fd;
	uint64_t size_bytes;
	/* The guest's kernel decompresses it: MODULE_INIT_COMPRESSED_FILE. */
	bool compressed;
};

/* Modules in the order in which they are inserted. */
struct module_set {
	struct guest_module list[GUEST_MODULES_MAX];
	unsigned int count;
	/* The tree; NULL: none was found, and all modules must be built in. */
	char *dir;
};

struct modules_config {
	/*
	 * --modules: a module tree, or a directory that has lib/modules/RELEASE.
	 * NULL: the build tree of the kernel image if it lies in one, or
	 * /lib/modules/RELEASE, or none.
	 */
	const char *dir;
	const struct guest_kernel *kernel;
	bool network; /* the guest has one */
	const char *prefix; /* in front of /boot and /lib/modules; NULL: none */
};

/*
 * Finds and opens the modules. -errno, logged: -ENOENT: a module is neither in
 * the tree nor built in, or @dir is no module tree; -ELOOP: modules depend on
 * each other; -EINVAL: a malformed file; -ENOEXEC: a compression that neither
 * the guest's kernel nor this build supports; -EFBIG: a file that is too large.
 */
int modules_open(struct module_set *set, const struct modules_config *config);

/* Closes and frees; a zeroed set, or one of a failed open, is fine. */
void modules_close(struct module_set *set);

#endif
