/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw inspect DIR`: what a snapshot is and what is in it.  Main thread. */
#include "vmm/cli/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/snap/file.h"
#include "vmm/vm/snapshot.h"

struct inspect_options {
	bool verify, json;
};

static const struct option rows[] = {
	{ .kind = OPTION_FLAG,
	  .name = "verify",
	  .offset = offsetof(struct inspect_options, verify),
	  .help = "read everything and check it" },
	{ .kind = OPTION_FLAG,
	  .name = "json",
	  .offset = offsetof(struct inspect_options, json),
	  .help = "for programs: one JSON object" },
};

static const struct option_spec spec = {
	.command = "thaw inspect",
	.operands = "DIR",
	.about = "Tells what the snapshot in DIR is, and what is in it.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 1,
	.operands_max = 1,
};

/* The pages in the working set; 0 where there is none. */
static uint64_t workingset_count(const struct snap_file *file)
{
	CLEANUP_FREE uint64_t *pages = NULL;
	uint64_t count = 0;

	return snap_workingset_read(file, &pages, &count) < 0 ? 0 : count;
}

/* The time of the snapshot, in UTC. */
static const char *created(const struct snap_file *file, char text[40])
{
	time_t t = (time_t)file->created_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, 40, "%F %T UTC", &tm))
		snprintf(text, 40, "unknown");
	return text;
}

/* Writes a name that a snapshot gives, without what a terminal would obey. */
static void print_name(const char *name)
{
	for (; *name; name++)
		putchar((unsigned char)*name < ' ' || *name == 0x7f ? '?' :
								      *name);
}

/* One disk. */
static void print_disk(const struct vm_disk *disk, unsigned int n)
{
	printf("  disk %u    ", n);
	print_name(disk->path);
	printf("%s, %" PRIu64 " bytes\n", disk->read_only ? " (ro)" : "",
	       disk->size_bytes);
}

/* As text. */
static void print_text(const struct snap_file *file,
		       const struct vm_description *m)
{
	uint64_t present = file->present_count * PAGE_BYTES;
	uint64_t workingset = workingset_count(file);
	char text[40];

	printf("%s: an %s guest, saved at %s\n", file->path, file->arch,
	       created(file, text));
	printf("  machine   %u vCPUs, %" PRIu64 " MiB of memory, %s console\n",
	       m->cpu_count, m->memory_bytes / MIB,
	       m->console == VM_CONSOLE_VIRTIO ? "virtio" : "serial");
	printf("  memory    %" PRIu64 " KiB in %" PRIu64 " runs; %" PRIu64
	       " KiB are zero and take no room\n",
	       present / KIB, file->run_count,
	       (file->memory_bytes - present) / KIB);
	for (unsigned int i = 0; i < file->range_count; i++)
		printf("              at 0x%09" PRIx64 "  %" PRIu64 " MiB\n",
		       file->ranges[i].gpa, file->ranges[i].size_bytes / MIB);
	for (unsigned int i = 0; i < m->disk_count; i++)
		print_disk(&m->disks[i], i);
	if (workingset)
		printf("  workingset %" PRIu64 " pages\n", workingset);
	for (unsigned int i = 0; i < file->section_count; i++)
		printf("  section   %-16s version %u, %zu bytes\n",
		       file->sections[i].tag, file->sections[i].version,
		       file->sections[i].len);
}

/* The machine as JSON. */
static void write_machine(struct json *json, const struct vm_description *m)
{
	json_object_begin(json, "machine");
	json_uint(json, "cpus", m->cpu_count);
	json_uint(json, "memory_bytes", m->memory_bytes);
	json_string(json, "console",
		    m->console == VM_CONSOLE_VIRTIO ? "virtio" : "serial");
	json_array_begin(json, "disks");
	for (unsigned int i = 0; i < m->disk_count; i++) {
		json_object_begin(json, NULL);
		json_string(json, "path", m->disks[i].path);
		json_bool(json, "read_only", m->disks[i].read_only);
		json_uint(json, "size_bytes", m->disks[i].size_bytes);
		json_object_end(json);
	}
	json_array_end(json);
	json_object_end(json);
}

/* As JSON. */
static void write_json(const struct snap_file *file,
		       const struct vm_description *m, bool verified)
{
	struct json json;

	json_init(&json, stdout, true);
	json_object_begin(&json, NULL);
	json_string(&json, "arch", file->arch);
	json_uint(&json, "created_s", file->created_s);
	json_uint(&json, "present_bytes", file->present_count * PAGE_BYTES);
	json_uint(&json, "runs", file->run_count);
	json_uint(&json, "workingset_pages", workingset_count(file));
	json_bool(&json, "verified", verified);
	write_machine(&json, m);
	json_array_begin(&json, "sections");
	for (unsigned int i = 0; i < file->section_count; i++) {
		json_object_begin(&json, NULL);
		json_string(&json, "tag", file->sections[i].tag);
		json_uint(&json, "version", file->sections[i].version);
		json_uint(&json, "bytes", file->sections[i].len);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_object_end(&json);
	json_finish(&json);
}

/* Inspects; the exit status. */
static int inspect(const char *path, const struct inspect_options *options)
{
	CLEANUP_FREE struct vm_description *machine =
		calloc(1, sizeof(*machine));
	struct snap_file file = { 0 };
	int r = machine ? snap_open(&file, path, NULL) :
			  log_errno(ENOMEM, "%s", path);

	if (r >= 0)
		r = vm_describe(&file, machine);
	if (r >= 0 && options->verify)
		r = snap_verify(&file, NULL, NULL);
	if (r >= 0 && options->json)
		write_json(&file, machine, options->verify);
	else if (r >= 0)
		print_text(&file, machine);
	if (r >= 0 && options->verify && !options->json)
		printf("  every page matches its checksum\n");
	snap_close(&file);
	return r < 0 ? EXIT_HOST : EXIT_DONE;
}

/* The subcommand. */
int inspect_main(int argc, char **argv)
{
	struct inspect_options options = { .verify = false };
	struct option_operands operands;

	switch (option_parse(&spec, argc, argv, &options, &operands)) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_USAGE;
	case OPTION_DONE:
		break;
	}
	return inspect(operands.values[0], &options);
}
