/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw inspect DIR`: what a snapshot is and what is in it.  Main thread.
 *
 * All is found first and written then, so that a snapshot that is refused
 * leaves nothing on standard output.  Names in it are hostile: the terminal
 * sees none of their control characters.
 */
#include "vmm/cli/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/snap/file.h"
#include "vmm/vm/snapshot.h"

/* Where lists of words start, and where their lines end. */
#define TEXT_COLUMN 14
#define LINE_COLUMN 80

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

/* What was found. */
struct inspection {
	struct snap_file file;
	struct vm_description machine;
	bool has_cpu; /* model and features: not of another architecture */
	char model[ARCH_MODEL_BYTES];
	char *features; /* each ended by a newline; owned */
	bool has_workingset;
	uint64_t workingset_pages;
	uint64_t disk_bytes; /* what `memory` takes on the disk */
	bool verified;
};

/* Finds what processors they are. */
static int look_at_cpu(struct inspection *in)
{
	size_t len = 0;
	FILE *to = open_memstream(&in->features, &len);
	int r;

	if (!to)
		return log_errno(errno, "%s", in->file.path);
	r = vm_describe_cpu(&in->file, in->model, to);
	if (fclose(to) != 0)
		return log_errno(ENOMEM, "%s", in->file.path);
	in->has_cpu = r >= 0;
	return r == -ENOEXEC ? 0 : r;
}

/*
 * Finds the working set.  The snapshot is whole without it, so a bad one, of
 * which the log has told, matters to who wants all of it checked only.
 */
static int look_at_workingset(struct inspection *in, bool verify)
{
	CLEANUP_FREE uint64_t *pages = NULL;
	int r = snap_workingset_read(&in->file, &pages, &in->workingset_pages);

	in->has_workingset = r >= 0;
	return verify && r < 0 && r != -ENOENT ? r : 0;
}

/* Finds what there is to tell. */
static int look(struct inspection *in, const char *path, bool verify)
{
	struct stat st;
	int r = snap_open(&in->file, path, NULL);

	if (r >= 0)
		r = vm_describe(&in->file, &in->machine);
	if (r >= 0)
		r = look_at_cpu(in);
	if (r >= 0)
		r = look_at_workingset(in, verify);
	if (r < 0)
		return r;
	if (fstat(in->file.memory_fd, &st) == 0)
		in->disk_bytes = (uint64_t)st.st_blocks * 512;
	in->file.sum = arch_crc32c;
	r = verify ? snap_verify(&in->file, NULL, NULL) : 0;
	in->verified = verify && r >= 0;
	return r;
}

/* The time of the snapshot, in UTC. */
static const char *created(const struct snap_file *file, char text[40])
{
	time_t t = (time_t)file->created_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, 40, "%F %T UTC", &tm))
		snprintf(text, 40, "an unknown time");
	return text;
}

/* The word for a console. */
static const char *console_word(const struct vm_description *machine)
{
	return machine->console == VM_CONSOLE_VIRTIO ? "virtio" : "serial";
}

/* Writes @len bytes of a name, without what a terminal would obey. */
static void print_bytes(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		putchar(c < ' ' || c == 0x7f ? '?' : c);
	}
}

/* The same of a whole string. */
static void print_name(const char *name)
{
	print_bytes(name, strlen(name));
}

/* Begins a line; @label is "" where the line before has it. */
static void print_label(const char *label)
{
	printf("  %-*s", TEXT_COLUMN - 2, label);
}

/* Names the features, wrapped between them; they may have blanks. */
static void print_features(const char *features)
{
	size_t at = TEXT_COLUMN;

	print_label("features");
	while (*features) {
		size_t len = strcspn(features, "\n");
		bool more = features[len] && features[len + 1];

		if (at > TEXT_COLUMN && at + 1 + len + more > LINE_COLUMN) {
			printf("\n%*s", TEXT_COLUMN, "");
			at = TEXT_COLUMN;
		} else if (at > TEXT_COLUMN) {
			putchar(' ');
			at++;
		}
		print_bytes(features, len);
		if (more)
			putchar(',');
		at += len + more;
		features += len + (features[len] != '\0');
	}
	putchar('\n');
}

/* Tells of the processors. */
static void print_cpu(const struct inspection *in)
{
	print_label("processor");
	if (!in->has_cpu) {
		printf("of %s; a thaw for that tells its features\n",
		       in->file.arch);
		return;
	}
	print_name(in->model);
	putchar('\n');
	print_features(in->features);
}

/* Tells of the memory. */
static void print_memory(const struct inspection *in)
{
	const struct snap_file *file = &in->file;
	uint64_t holes = file->page_count - file->present_count;

	print_label("memory");
	printf("%" PRIu64 " pages in %" PRIu64 " runs, %" PRIu64
	       " KiB; %" PRIu64 " KiB on disk\n",
	       file->present_count, file->run_count,
	       file->present_count * (PAGE_BYTES / KIB), in->disk_bytes / KIB);
	print_label("holes");
	printf("%" PRIu64 " pages, %" PRIu64 " KiB, are zero\n", holes,
	       holes * (PAGE_BYTES / KIB));
	for (unsigned int i = 0; i < file->range_count; i++) {
		print_label(i ? "" : "ranges");
		printf("0x%09" PRIx64 "  %" PRIu64 " MiB\n",
		       file->ranges[i].gpa, file->ranges[i].size_bytes / MIB);
	}
}

/* Tells of the devices and of what is behind them. */
static void print_devices(const struct inspection *in)
{
	const struct vm_description *machine = &in->machine;

	for (unsigned int i = 0; i < machine->device_count; i++) {
		print_label(i ? "" : "devices");
		print_name(machine->devices[i].name);
		fputs(": ", stdout);
		print_name(machine->devices[i].kind);
		putchar('\n');
	}
	for (unsigned int i = 0; i < machine->disk_count; i++) {
		const struct vm_disk *disk = &machine->disks[i];

		print_label(i ? "" : "disks");
		printf("%u: ", i);
		print_name(disk->path);
		printf(", %" PRIu64 " bytes%s%s\n", disk->size_bytes,
		       disk->read_only ? ", read-only" : "",
		       vm_disk_inside(&in->file, machine, i) ?
			       ", in this directory" :
			       "; restore needs -d or --trust-paths");
	}
}

/* As text. */
static void print_text(const struct inspection *in)
{
	const struct snap_file *file = &in->file;
	const struct vm_description *m = &in->machine;
	char text[40];

	print_name(file->path);
	printf(": an %s guest, saved at %s", file->arch, created(file, text));
	if (m->thaw[0]) {
		fputs(" by thaw ", stdout);
		print_name(m->thaw);
	}
	printf(" (format %" PRIu32 ")\n", file->version);
	print_label("machine");
	printf("%u vCPU%s, %" PRIu64 " MiB of memory, %s console\n",
	       m->cpu_count, m->cpu_count == 1 ? "" : "s",
	       m->memory_bytes / MIB, console_word(m));
	print_cpu(in);
	print_memory(in);
	print_devices(in);
	if (in->has_workingset) {
		print_label("workingset");
		printf("%" PRIu64 " pages\n", in->workingset_pages);
	}
	for (unsigned int i = 0; i < file->section_count; i++) {
		print_label(i ? "" : "sections");
		printf("%-16s version %" PRIu32 ", %zu bytes\n",
		       file->sections[i].tag, file->sections[i].version,
		       file->sections[i].len);
	}
	if (in->verified) {
		print_label("verified");
		puts("every page and section matches its checksum");
	}
}

/* The processor as JSON: null where it is of another architecture. */
static void write_cpu(struct json *json, const struct inspection *in)
{
	CLEANUP_FREE char *features = strdup(in->features);
	char *rest = features, *name;

	if (!in->has_cpu || !features) {
		json_null(json, "cpu");
		return;
	}
	json_object_begin(json, "cpu");
	json_string(json, "model", in->model);
	json_array_begin(json, "features");
	while ((name = strsep(&rest, "\n")) != NULL)
		if (*name)
			json_string(json, NULL, name);
	json_array_end(json);
	json_object_end(json);
}

/* The machine as JSON. */
static void write_machine(struct json *json, const struct inspection *in)
{
	const struct vm_description *m = &in->machine;

	json_object_begin(json, "machine");
	json_uint(json, "cpus", m->cpu_count);
	json_uint(json, "memory_bytes", m->memory_bytes);
	json_string(json, "console", console_word(m));
	json_array_begin(json, "devices");
	for (unsigned int i = 0; i < m->device_count; i++) {
		json_object_begin(json, NULL);
		json_string(json, "name", m->devices[i].name);
		json_string(json, "kind", m->devices[i].kind);
		json_object_end(json);
	}
	json_array_end(json);
	json_array_begin(json, "disks");
	for (unsigned int i = 0; i < m->disk_count; i++) {
		json_object_begin(json, NULL);
		json_string(json, "path", m->disks[i].path);
		json_bool(json, "read_only", m->disks[i].read_only);
		json_uint(json, "size_bytes", m->disks[i].size_bytes);
		json_bool(json, "inside",
			  vm_disk_inside(&in->file, m, i) != NULL);
		json_object_end(json);
	}
	json_array_end(json);
	json_object_end(json);
}

/* The memory as JSON. */
static void write_memory(struct json *json, const struct inspection *in)
{
	const struct snap_file *file = &in->file;

	json_object_begin(json, "memory");
	json_uint(json, "page_bytes", PAGE_BYTES);
	json_uint(json, "pages", file->page_count);
	json_uint(json, "present_pages", file->present_count);
	json_uint(json, "present_bytes", file->present_count * PAGE_BYTES);
	json_uint(json, "runs", file->run_count);
	json_uint(json, "disk_bytes", in->disk_bytes);
	json_array_begin(json, "ranges");
	for (unsigned int i = 0; i < file->range_count; i++) {
		json_object_begin(json, NULL);
		json_uint(json, "gpa", file->ranges[i].gpa);
		json_uint(json, "size_bytes", file->ranges[i].size_bytes);
		json_object_end(json);
	}
	json_array_end(json);
	json_object_end(json);
}

/* As JSON. */
static void write_json(const struct inspection *in)
{
	const struct snap_file *file = &in->file;
	struct json json;

	json_init(&json, stdout, true);
	json_object_begin(&json, NULL);
	json_string(&json, "arch", file->arch);
	json_uint(&json, "format", file->version);
	json_string(&json, "thaw",
		    in->machine.thaw[0] ? in->machine.thaw : NULL);
	json_uint(&json, "created_s", file->created_s);
	write_machine(&json, in);
	write_cpu(&json, in);
	write_memory(&json, in);
	if (in->has_workingset)
		json_uint(&json, "workingset_pages", in->workingset_pages);
	else
		json_null(&json, "workingset_pages");
	json_array_begin(&json, "sections");
	for (unsigned int i = 0; i < file->section_count; i++) {
		json_object_begin(&json, NULL);
		json_string(&json, "tag", file->sections[i].tag);
		json_uint(&json, "version", file->sections[i].version);
		json_uint(&json, "bytes", file->sections[i].len);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_bool(&json, "verified", in->verified);
	json_object_end(&json);
	json_finish(&json);
}

/* Inspects; the exit status. */
static int inspect(const char *path, const struct inspect_options *options)
{
	CLEANUP_FREE struct inspection *in = calloc(1, sizeof(*in));
	int r = in ? look(in, path, options->verify) :
		     log_errno(ENOMEM, "%s", path);

	if (r >= 0 && options->json)
		write_json(in);
	else if (r >= 0)
		print_text(in);
	if (in) {
		snap_close(&in->file);
		free(in->features);
	}
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
