/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module is inserted after the modules that it depends on, so the set is in
 * the order in which a depth-first walk leaves them. Dependencies are those of
 * modules.dep; a tree without it (a kernel build, an unpacked package) has them
 * in the modules themselves (modinfo.h).
 *
 * Main thread.
 */
#include "vmm/exec/modules.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/exec/kernel.h"
#include "vmm/exec/modinfo.h"
#include "vmm/exec/module_file.h"
#include "vmm/exec/module_tree.h"
#include "vmm/exec/text_file.h"

/* The modules that init needs, and the option that configures each. */
static const struct needed {
	const char *name, *option;
	bool network; /* only with a network */
} needed[] = {
	{ "virtio_pci", "CONFIG_VIRTIO_PCI", false },
	{ "virtio_console", "CONFIG_VIRTIO_CONSOLE", false },
	{ "virtiofs", "CONFIG_VIRTIO_FS", false },
	{ "overlay", "CONFIG_OVERLAY_FS", false },
	{ "virtio_net", "CONFIG_VIRTIO_NET", true },
};

/* A module that the walk has entered. */
struct visit {
	char name[MODULE_NAME_BYTES];
	bool done;
};

struct walk {
	const struct module_tree *tree;
	const char *config; /* of the kernel; NULL: unknown */
	struct module_set *set;
	struct visit visits[GUEST_MODULES_MAX];
	unsigned int visit_count;
};

static int visit(struct walk *walk, const char *name, const char *wanted_by);

/* Visits all of @deps, paths or names. */
static int visit_deps(struct walk *walk, const char *name, struct span deps)
{
	char dep[MODULE_NAME_BYTES];
	struct span word;
	int err = 0;

	while (err == 0 && next_word(&deps, " \t\r,", &word)) {
		if (!module_name(word, dep))
			return log_fail(EINVAL,
					"%s: module %s depends on \"%.*s\", "
					"which is no module",
					walk->tree->dir, name,
					(int)min_u64(word.len, 64), word.at);
		err = visit(walk, dep, name);
	}
	return err;
}

/* The same for dependencies that are in the module. */
static int visit_modinfo(struct walk *walk, const char *name,
			 const struct guest_module *module)
{
	const struct image image = { module->fd, module->size_bytes,
				     module->file };
	CLEANUP_FREE char *deps = NULL;
	int err;

	deps = modinfo_get(&image, "depends", &err);
	if (deps == NULL)
		return err;
	return visit_deps(walk, name, (struct span){ deps, strlen(deps) });
}

/* Opens a module, visits its dependencies, and appends it. */
static int add(struct walk *walk, const char *name,
	       const struct module_entry *entry)
{
	struct guest_module module = { 0 };
	bool has_deps = walk->tree->dep != NULL;
	int err = module_file_open(&module, walk->tree->dir, entry->path,
				   has_deps ? walk->config : NULL);

	if (err != 0)
		return err;
	err = has_deps ? visit_deps(walk, name, entry->deps) :
			 visit_modinfo(walk, name, &module);
	if (err != 0) {
		module_file_close(&module);
		return err;
	}
	walk->set->list[walk->set->count++] = module;
	return 0;
}

/* The visit of a module; NULL if it has not been entered. */
static struct visit *find_visit(struct walk *walk, const char *name)
{
	for (unsigned int i = 0; i < walk->visit_count; i++)
		if (strcmp(walk->visits[i].name, name) == 0)
			return &walk->visits[i];
	return NULL;
}

/* Recurses at most GUEST_MODULES_MAX times. */
static int visit(struct walk *walk, const char *name, const char *wanted_by)
{
	const char *dir = walk->tree->dir;
	struct visit *v = find_visit(walk, name);
	struct module_entry entry;
	int err;

	if (module_is_builtin(walk->tree, name) || (v != NULL && v->done))
		return 0;
	if (v != NULL)
		return log_fail(ELOOP,
				"%s: modules depend on each other: %s "
				"and %s",
				dir, name, wanted_by);
	if (walk->visit_count == GUEST_MODULES_MAX)
		return log_fail(E2BIG, "%s: more than %d modules are required",
				dir, GUEST_MODULES_MAX);
	if (!module_find(walk->tree, name, &entry))
		return log_fail(ENOENT,
				"%s: module %s (%s) is neither there nor built "
				"into the kernel",
				dir, name, wanted_by);
	v = &walk->visits[walk->visit_count++];
	snprintf(v->name, sizeof(v->name), "%s", name);
	err = add(walk, name, &entry);
	v->done = true;
	return err;
}

/* Joins three parts of a path; NULL if memory is exhausted. */
static char *join(const char *a, const char *b, const char *c)
{
	char *path = NULL;

	return asprintf(&path, "%s%s%s", a, b, c) < 0 ? NULL : path;
}

/* Opens the tree at @path, which is freed. -ENOENT, not logged: no tree. */
static int try_tree(struct module_tree *tree, char *path)
{
	int err = path != NULL ? module_tree_open(tree, path) :
				 log_errno(ENOMEM, "modules");

	free(path);
	return err;
}

/* Opens the tree that the user names. */
static int open_named(struct module_tree *tree,
		      const struct modules_config *config)
{
	int err = module_tree_open(tree, config->dir);

	if (err == -ENOENT && config->kernel->release[0] != '\0')
		err = try_tree(tree, join(config->dir, "/lib/modules/",
					  config->kernel->release));
	if (err == -ENOENT)
		return log_fail(ENOENT,
				"%s: no modules: no modules.dep, modules.order "
				"or modules.builtin",
				config->dir);
	return err;
}

/* Removes the last component of a path; the component. */
static const char *cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		return "";
	*slash = '\0';
	return slash + 1;
}

/* The top of a build tree, by a path TOP/arch/NAME/boot/IMAGE or TOP/vmlinux. */
static int open_build(struct module_tree *tree, const char *kernel)
{
	CLEANUP_FREE char *path = realpath(kernel, NULL);
	int err;

	if (path == NULL)
		return -ENOENT;
	cut(path);
	err = module_tree_open(tree, path);
	if (err != -ENOENT || strcmp(cut(path), "boot") != 0)
		return err;
	cut(path);
	return strcmp(cut(path), "arch") == 0 ? module_tree_open(tree, path) :
						-ENOENT;
}

/* Finds a tree; -ENOENT, not logged, if there is none. */
static int open_default(struct module_tree *tree,
			const struct modules_config *config)
{
	const char *prefix = config->prefix != NULL ? config->prefix : "";
	int err = open_build(tree, config->kernel->path);

	if (err == -ENOENT && config->kernel->release[0] != '\0')
		err = try_tree(tree, join(prefix, "/lib/modules/",
					  config->kernel->release));
	return err;
}

/* Reads the kernel's configuration; NULL if it is not found. */
static int read_config(const struct modules_config *config, const char *dir,
		       char **text)
{
	const char *prefix = config->prefix != NULL ? config->prefix : "";
	CLEANUP_FREE char *boot = join(prefix, "/boot", "");
	CLEANUP_FREE char *beside = strdup(config->kernel->path);
	CLEANUP_FREE char *name = join("config-", config->kernel->release, "");
	int err;

	if (boot == NULL || beside == NULL || name == NULL)
		return log_errno(ENOMEM, "modules");
	cut(beside);
	err = text_file_read(dir, ".config", text);
	if (err == 0 && *text == NULL)
		err = text_file_read(dir, "config", text);
	if (err == 0 && *text == NULL)
		err = text_file_read(beside, name, text);
	if (err == 0 && *text == NULL)
		err = text_file_read(boot, name, text);
	if (err == 0 && *text == NULL)
		err = text_file_read(dir, "build/.config", text);
	return err;
}

/* Opens all modules of a tree. */
static int walk_tree(struct module_set *set, const struct module_tree *tree,
		     const struct modules_config *config)
{
	struct walk walk = { .tree = tree, .set = set };
	CLEANUP_FREE char *text = NULL;
	int err = read_config(config, tree->dir, &text);

	walk.config = text;
	for (size_t i = 0; i < ARRAY_SIZE(needed) && err == 0; i++)
		if (config->network || !needed[i].network)
			err = visit(&walk, needed[i].name, needed[i].option);
	return err;
}

int modules_open(struct module_set *set, const struct modules_config *config)
{
	struct module_tree tree = { 0 };
	int err;

	*set = (struct module_set){ 0 };
	err = config->dir != NULL ? open_named(&tree, config) :
				    open_default(&tree, config);
	if (err == -ENOENT && config->dir == NULL) {
		log_info("no modules found for kernel %s (release \"%s\")",
			 config->kernel->path, config->kernel->release);
		return 0;
	}
	if (err != 0)
		return err;
	err = walk_tree(set, &tree, config);
	set->dir = take_ptr(tree.dir);
	module_tree_close(&tree);
	if (err != 0)
		modules_close(set);
	return err;
}

void modules_close(struct module_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		module_file_close(&set->list[i]);
	free(set->dir);
	*set = (struct module_set){ 0 };
}
