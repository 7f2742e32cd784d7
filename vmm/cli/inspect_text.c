/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of `thaw inspect`. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmm/base/bytes.h"
#include "vmm/cli/inspection.h"
#include "vmm/cli/print.h"

/* The column of values, and the width of wrapped lines. */
#define TEXT_COLUMN 14
#define LINE_COLUMN 80

/* The creation time in UTC. */
static const char *created(const struct snap_file *file, char text[40])
{
	time_t t = (time_t)file->created_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, 40, "%F %T UTC", &tm))
		snprintf(text, 40, "unknown time");
	return text;
}

/* Begins a line; @label is "" on the further lines of a list. */
static void print_label(const char *label)
{
	printf("  %-*s", TEXT_COLUMN - 2, label);
}

/* Prints the features, wrapped between them. */
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

static void print_cpu(const struct inspection *in)
{
	print_label("processor");
	if (!in->has_cpu) {
		printf("not shown: run inspect with thaw for %s\n",
		       in->file.arch);
		return;
	}
	print_name(in->model);
	putchar('\n');
	print_features(in->features);
}

static void print_memory(const struct inspection *in)
{
	const struct snap_file *file = &in->file;
	uint64_t holes = file->page_count - file->present_count;

	print_label("memory");
	printf("%" PRIu64 " KiB in %" PRIu64 " pages, %" PRIu64
	       " runs; %" PRIu64 " KiB on disk\n",
	       file->present_count * (PAGE_BYTES / KIB), file->present_count,
	       file->run_count, in->disk_bytes / KIB);
	print_label("zero");
	printf("%" PRIu64 " KiB in %" PRIu64 " pages, not stored\n",
	       holes * (PAGE_BYTES / KIB), holes);
	if (snap_is_fsverity(file)) {
		print_label("fs-verity");
		puts("enabled: the host kernel verifies the memory file");
	}
	for (unsigned int i = 0; i < file->range_count; i++) {
		print_label(i ? "" : "ranges");
		printf("0x%09" PRIx64 "  %" PRIu64 " MiB\n",
		       file->ranges[i].gpa, file->ranges[i].size_bytes / MIB);
	}
}

static void print_shares(const struct vm_description *machine)
{
	for (unsigned int i = 0; i < machine->share_count; i++) {
		const struct vm_share *share = &machine->shares[i];

		print_label(i ? "" : "shares");
		print_name(share->share.tag);
		fputs(": ", stdout);
		print_name(share->path);
		printf("%s: restore needs --share or --trust-paths\n",
		       share->share.fs.read_only ? ", read-only" : "");
	}
}

static void print_networks(const struct vm_description *machine)
{
	for (unsigned int i = 0; i < machine->net_count; i++) {
		const struct vm_net *net = &machine->nets[i];
		char mac[NET_MAC_TEXT_BYTES];

		net_mac_text(mac, net->mac);
		print_label(i ? "" : "networks");
		printf("%s, mtu %u, host side ", mac, net->mtu);
		print_name(net->host);
		printf("%s: restore needs --net\n",
		       net->offloads ? " with offloads" : "");
	}
}

static void print_ports(const struct vm_description *machine)
{
	for (unsigned int i = 0; i < machine->ports.count; i++) {
		print_label(i ? "" : "ports");
		print_name(machine->port_names[i]);
		puts(": closed after thaw restore");
	}
}

/* Where a restore finds disk @n. */
static const char *disk_place(const struct inspection *in, unsigned int n)
{
	if (in->machine.disks[n].copied)
		return ", copied: each restore has its own";
	return vm_disk_inside(&in->file, &in->machine, n) ?
		       ", inside the snapshot" :
		       ", outside: restore needs -d or --trust-paths";
}

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
		       disk->read_only ? ", read-only" : "", disk_place(in, i));
	}
	print_shares(machine);
	print_networks(machine);
	print_ports(machine);
}

static void print_base(const struct snap_file *file)
{
	uint64_t pages = 0;
	unsigned int chain = 0;

	if (!file->base)
		return;
	for (const struct snap_file *at = file; at; at = at->base)
		chain++;
	for (uint64_t i = 0; i < file->own_count; i++)
		pages += file->own[i].count;
	print_label("base");
	print_name(file->base_name);
	printf(", in a chain of %u snapshots; %" PRIu64 " page%s not in it\n",
	       chain, pages, pages == 1 ? " is" : "s are");
}

void inspection_print(const struct inspection *in)
{
	const struct snap_file *file = &in->file;
	const struct vm_description *m = &in->machine;
	char text[40];

	print_name(file->path);
	printf(": %s guest, saved %s", file->arch, created(file, text));
	if (m->thaw[0]) {
		fputs(" by thaw ", stdout);
		print_name(m->thaw);
	}
	printf(" (format %" PRIu32 ")\n", file->version);
	print_label("machine");
	printf("%u vCPU%s, %" PRIu64 " MiB, %s console\n", m->cpu_count,
	       m->cpu_count == 1 ? "" : "s", m->memory_bytes / MIB,
	       inspection_console(m));
	print_cpu(in);
	print_memory(in);
	print_devices(in);
	print_base(file);
	if (in->has_workingset) {
		print_label("working set");
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
		puts("all checksums match");
	}
}
