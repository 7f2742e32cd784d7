/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw cache`. Main thread. */
#include "vmm/cli/cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/json.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/print.h"
#include "vmm/exec/cache.h"

/* Digits of a key in the table. */
#define KEY_DIGITS 12

struct cache_options {
	bool json;
};

static const struct option rows[] = {
	{ .kind = OPTION_FLAG,
	  .name = "json",
	  .offset = offsetof(struct cache_options, json),
	  .help = "print one JSON object" },
};

static const struct option_spec spec = {
	.command = "thaw cache",
	.operands = "list|clear",
	.about = "List or remove the snapshots of guests that thaw exec keeps "
		 "in\n$XDG_CACHE_HOME/thaw/exec (default: ~/.cache/thaw/exec)."
		 "\nSnapshots in use are not removed.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 1,
	.operands_max = 1,
};

static double mib(uint64_t bytes)
{
	return (double)bytes / (double)MIB;
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* "in use", or the time since the last use. */
static void format_use(const struct cache_item *item, char *text, size_t len)
{
	static const struct {
		uint64_t seconds;
		const char *unit;
	} units[] = {
		{ 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" }
	};
	uint64_t age = clock_wall_since_ns(item->used_ns) / NS_PER_S;
	size_t i = 0;

	if (item->in_use) {
		snprintf(text, len, "in use");
		return;
	}
	while (i + 1 < ARRAY_SIZE(units) && age < units[i].seconds)
		i++;
	snprintf(text, len, "%" PRIu64 " %s ago", age / units[i].seconds,
		 units[i].unit);
}

static void print_table(const struct cache *cache,
			const struct cache_list *list)
{
	uint64_t total = 0;

	if (list->count)
		printf("%-*s  %-12s  %10s  %s\n", KEY_DIGITS, "KEY",
		       "LAST USED", "SIZE", "DESCRIPTION");
	for (size_t i = 0; i < list->count; i++) {
		const struct cache_item *item = &list->items[i];
		char use[40];

		format_use(item, use, sizeof(use));
		printf("%.*s  %-12s  %6.1f MiB  ", KEY_DIGITS, item->key, use,
		       mib(item->size_bytes));
		print_name(item->description);
		putchar('\n');
		total += item->size_bytes;
	}
	printf("%zu snapshot%s, %.1f MiB of at most %.1f MiB\n", list->count,
	       plural(list->count), mib(total), mib(cache->limit_bytes));
}

static void write_json(const struct cache *cache, const struct cache_list *list)
{
	struct json json;

	json_init(&json, stdout, true);
	json_object_begin(&json, NULL);
	json_string(&json, "path", cache->path);
	json_uint(&json, "limit_bytes", cache->limit_bytes);
	json_array_begin(&json, "snapshots");
	for (size_t i = 0; i < list->count; i++) {
		const struct cache_item *item = &list->items[i];

		json_object_begin(&json, NULL);
		json_string(&json, "key", item->key);
		json_string(&json, "description", item->description);
		json_uint(&json, "used_s", item->used_ns / NS_PER_S);
		json_uint(&json, "size_bytes", item->size_bytes);
		json_bool(&json, "in_use", item->in_use);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_object_end(&json);
	json_finish(&json);
}

/* @open is the result of cache_open(): 0 or -ENOENT. */
static int list(const struct cache *cache, int open, bool json)
{
	struct cache_list found = { 0 };
	int err = open ? 0 : cache_list(cache, &found);

	if (err)
		return err;
	if (json)
		write_json(cache, &found);
	else
		print_table(cache, &found);
	cache_list_finish(&found);
	return 0;
}

/* @open is the result of cache_open(): 0 or -ENOENT. */
static int clear(const struct cache *cache, int open, bool json)
{
	struct cache_cleared done = { 0 };
	int err = open ? 0 : cache_clear(cache, &done);
	struct json out;

	if (err)
		return err;
	if (!json) {
		printf("removed %u snapshot%s, %u unfinished, %.1f MiB; "
		       "%u in use\n",
		       done.removed, plural(done.removed), done.leftovers,
		       mib(done.removed_bytes), done.in_use);
		return 0;
	}
	json_init(&out, stdout, true);
	json_object_begin(&out, NULL);
	json_uint(&out, "removed", done.removed);
	json_uint(&out, "removed_unfinished", done.leftovers);
	json_uint(&out, "removed_bytes", done.removed_bytes);
	json_uint(&out, "in_use", done.in_use);
	json_object_end(&out);
	json_finish(&out);
	return 0;
}

int cache_main(int argc, char **argv)
{
	struct cache_options options = { .json = false };
	struct option_operands operands;
	struct cache cache;
	bool is_list;
	int status, err;

	status = exit_after_options(
		option_parse(&spec, argc, argv, &options, &operands));
	if (status >= 0)
		return status;
	is_list = !strcmp(operands.values[0], "list");
	if (!is_list && strcmp(operands.values[0], "clear") != 0) {
		log_error("cache: %s is neither list nor clear",
			  operands.values[0]);
		return EXIT_USAGE;
	}
	err = cache_open(&cache, false, LOG_ERROR);
	if (!err || err == -ENOENT)
		err = is_list ? list(&cache, err, options.json) :
				clear(&cache, err, options.json);
	cache_close(&cache);
	return err ? EXIT_HOST : EXIT_DONE;
}
