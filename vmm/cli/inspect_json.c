/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw inspect --json`. */
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/json.h"
#include "vmm/cli/inspection.h"

/* Writes null for the CPU of another architecture. */
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

static void write_shares(struct json *json, const struct vm_description *m)
{
	json_array_begin(json, "shares");
	for (unsigned int i = 0; i < m->share_count; i++) {
		json_object_begin(json, NULL);
		json_string(json, "tag", m->shares[i].share.tag);
		json_string(json, "path", m->shares[i].path);
		json_bool(json, "read_only", m->shares[i].share.fs.read_only);
		json_object_end(json);
	}
	json_array_end(json);
}

static void write_networks(struct json *json, const struct vm_description *m)
{
	json_array_begin(json, "networks");
	for (unsigned int i = 0; i < m->net_count; i++) {
		char mac[NET_MAC_TEXT_BYTES];

		net_mac_text(mac, m->nets[i].mac);
		json_object_begin(json, NULL);
		json_string(json, "host", m->nets[i].host);
		json_string(json, "mac", mac);
		json_uint(json, "mtu", m->nets[i].mtu);
		json_bool(json, "offloads", m->nets[i].offloads);
		json_object_end(json);
	}
	json_array_end(json);
}

static void write_ports(struct json *json, const struct vm_description *m)
{
	json_array_begin(json, "ports");
	for (unsigned int i = 0; i < m->ports.count; i++)
		json_string(json, NULL, m->port_names[i]);
	json_array_end(json);
}

static void write_machine(struct json *json, const struct inspection *in)
{
	const struct vm_description *m = &in->machine;

	json_object_begin(json, "machine");
	json_uint(json, "cpus", m->cpu_count);
	json_uint(json, "memory_bytes", m->memory_bytes);
	json_string(json, "console", inspection_console(m));
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
		json_bool(json, "copied", m->disks[i].copied);
		json_object_end(json);
	}
	json_array_end(json);
	write_shares(json, m);
	write_networks(json, m);
	write_ports(json, m);
	json_object_end(json);
}

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
	json_bool(json, "fsverity", snap_is_fsverity(file));
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

void inspection_write_json(const struct inspection *in)
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
	json_array_begin(&json, "bases");
	for (const struct snap_file *at = file; at->base; at = at->base)
		json_string(&json, NULL, at->base_name);
	json_array_end(&json);
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
