/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups scan the text: a few modules are needed, of some thousand.
 *
 * Main thread.
 */
#include "vmm/exec/module_tree.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/exec/text_file.h"

int module_tree_open(struct module_tree *tree, const char *dir)
{
	int err;

	*tree = (struct module_tree){ .dir = strdup(dir) };
	if (tree->dir == NULL)
		return log_errno(ENOMEM, "modules %s", dir);
	err = text_file_read(dir, "modules.dep", &tree->dep);
	if (err == 0)
		err = text_file_read(dir, "modules.order", &tree->order);
	if (err == 0)
		err = text_file_read(dir, "modules.builtin", &tree->builtin);
	if (err == 0 && tree->dep == NULL && tree->order == NULL &&
	    tree->builtin == NULL)
		err = -ENOENT;
	if (err != 0)
		module_tree_close(tree);
	return err;
}

void module_tree_close(struct module_tree *tree)
{
	free(tree->dir);
	free(tree->dep);
	free(tree->order);
	free(tree->builtin);
	*tree = (struct module_tree){ 0 };
}

bool next_word(struct span *text, const char *separators, struct span *word)
{
	const char *end = text->at + text->len;

	while (text->at < end && strchr(separators, *text->at) != NULL)
		text->at++;
	word->at = text->at;
	while (text->at < end && strchr(separators, *text->at) == NULL)
		text->at++;
	word->len = (size_t)(text->at - word->at);
	text->len = (size_t)(end - text->at);
	return word->len != 0;
}

/* Removes @suffix from the end of @s. */
static bool chop(struct span *s, const char *suffix)
{
	size_t len = strlen(suffix);

	if (s->len < len || memcmp(s->at + s->len - len, suffix, len) != 0)
		return false;
	s->len -= len;
	return true;
}

bool module_name(struct span path, char name[MODULE_NAME_BYTES])
{
	const char *slash = memrchr(path.at, '/', path.len);
	struct span base = path;

	if (slash != NULL) {
		base.len = (size_t)(path.at + path.len - slash - 1);
		base.at = slash + 1;
	}
	if (!chop(&base, ".xz") && !chop(&base, ".zst"))
		chop(&base, ".gz");
	if (!chop(&base, ".ko"))
		chop(&base, ".o");
	if (base.len == 0 || base.len >= MODULE_NAME_BYTES)
		return false;
	for (size_t i = 0; i < base.len; i++) {
		if (!isalnum((unsigned char)base.at[i]) &&
		    strchr("-_.+", base.at[i]) == NULL)
			return false;
		name[i] = base.at[i] == '-' ? '_' : base.at[i];
	}
	name[base.len] = '\0';
	return true;
}

/* Finds the line of a module, whose path ends at a colon or with the line. */
static bool find_line(const char *text, const char *name,
		      struct module_entry *entry)
{
	struct span rest = { text, text != NULL ? strlen(text) : 0 };
	char there[MODULE_NAME_BYTES];
	struct span line;

	while (next_word(&rest, "\n", &line)) {
		const char *colon = memchr(line.at, ':', line.len);
		const char *end = line.at + line.len;

		entry->path = line;
		entry->deps = (struct span){ end, 0 };
		if (colon != NULL) {
			entry->path.len = (size_t)(colon - line.at);
			entry->deps.at = colon + 1;
			entry->deps.len = (size_t)(end - colon - 1);
		}
		if (module_name(entry->path, there) && strcmp(there, name) == 0)
			return true;
	}
	return false;
}

bool module_is_builtin(const struct module_tree *tree, const char *name)
{
	struct module_entry entry;

	return find_line(tree->builtin, name, &entry);
}

bool module_find(const struct module_tree *tree, const char *name,
		 struct module_entry *entry)
{
	return find_line(tree->dep != NULL ? tree->dep : tree->order, name,
			 entry);
}
