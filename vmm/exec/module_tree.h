/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a module tree, as depmod(8) and the kernel's build write it:
 * modules.dep (modules and what they depend on), modules.order (modules only)
 * and modules.builtin. One thread. A file that is missing counts as empty.
 */
#ifndef VMM_EXEC_MODULE_TREE_H
#define VMM_EXEC_MODULE_TREE_H

#include <stdbool.h>
#include <stddef.h>

/* With the zero; the kernel's limit is 56 (MODULE_NAME_LEN). */
#define MODULE_NAME_BYTES 64

/* NULL: the file is not there. The texts and the path are owned. */
struct module_tree {
	char *dir;
	char *dep, *order, *builtin;
};

/* A part of a line; not terminated. */
struct span {
	const char *at;
	size_t len;
};

/* A module in the index. */
struct module_entry {
	struct span path; /* relative to the tree */
	/* With modules.dep: the paths it depends on, between spaces. */
	struct span deps;
};

/*
 * Reads the index of @dir. -ENOENT, not logged, if it is no module tree;
 * another -errno, logged: -EFBIG: a file is too large.
 */
int module_tree_open(struct module_tree *tree, const char *dir);

/* A zeroed tree is fine. */
void module_tree_close(struct module_tree *tree);

/*
 * The name of the module in the file @path: the base name without .ko, .o and a
 * suffix of compression, with underscores for dashes. False if it is too long or
 * has other characters than letters, digits, "-", "_", "." and "+".
 */
bool module_name(struct span path, char name[MODULE_NAME_BYTES]);

/* Whether the kernel contains the module. */
bool module_is_builtin(const struct module_tree *tree, const char *name);

/* Finds a module by its name, in modules.dep or else in modules.order. */
bool module_find(const struct module_tree *tree, const char *name,
		 struct module_entry *entry);

/* Takes the next word, up to one of @separators, off @text; false at its end. */
bool next_word(struct span *text, const char *separators, struct span *word);

#endif
