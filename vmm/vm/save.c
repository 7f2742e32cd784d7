/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving a VM.  It is paused, so only KVM changes its state meanwhile: an ITS
 * saves its tables into guest memory, so memory comes last.
 *
 * Control thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/io/disk.h"
#include "vmm/mem/resident.h"
#include "vmm/snap/save.h"
#include "vmm/snap/section.h"
#include "vmm/vm/private.h"
#include "vmm/vm/sections.h"
#include "vmm/vm/snapshot.h"

/* Writes the section for display; describe_about() reads it. */
static void put_about(const struct vm *vm, struct snap_writer *w)
{
	snap_put_blob(w, THAW_VERSION, strlen(THAW_VERSION));
	snap_put_u32(w, vm->device_count);
	for (unsigned int i = 0; i < vm->device_count; i++) {
		const struct device *device = &vm->devices[i];

		snap_put_blob(w, device->name, strlen(device->name));
		snap_put_blob(w, device->ops->kind, strlen(device->ops->kind));
	}
}

/*
 * Writes a path of the host: absolute, because a restore may run in another directory;
 * as the user wrote it where that is too long.
 */
static void put_path(const char *path, struct snap_writer *w)
{
	CLEANUP_FREE char *here = *path == '/' ? NULL : getcwd(NULL, 0);
	CLEANUP_FREE char *whole = NULL;

	if (here && asprintf(&whole, "%s/%s", here, path) < 0)
		whole = NULL;
	if (whole && strlen(whole) < VM_PATH_BYTES)
		path = whole;
	snap_put_blob(w, path, strlen(path));
}

/* Writes the VM's size and disks; describe_machine() reads them. */
static void put_machine(const struct vm *vm, struct snap_writer *w)
{
	const struct vm_config *config = &vm->config;

	snap_put_u64(w, config->memory_bytes);
	snap_put_u32(w, config->cpu_count);
	snap_put_u32(w, config->console);
	snap_put_u32(w, config->disk_count);
	for (unsigned int i = 0; i < config->disk_count; i++) {
		const struct disk *disk = &config->disks[i];

		snap_put_u64(w, disk->size_bytes);
		snap_put_u8(w, disk->read_only);
		put_path(disk->path, w);
	}
}

/* Writes the shares; vm_describe() reads them. */
static void put_shares(const struct vm *vm, struct snap_writer *w)
{
	snap_put_u32(w, vm->config.share_count);
	for (unsigned int i = 0; i < vm->config.share_count; i++) {
		const struct virtio_fs_share *share = &vm->config.shares[i];
		const struct fs_config *fs = &share->fs;

		snap_put_blob(w, share->tag, strlen(share->tag));
		put_path(fs->path, w);
		snap_put_u8(w, fs->read_only);
		snap_put_u8(w, (uint8_t)fs->cache);
		snap_put_u32(w, fs->guest_uid);
		snap_put_u32(w, fs->guest_gid);
		snap_put_u8(w, fs->squash);
		snap_put_u32(w, fs->squash_uid);
		snap_put_u32(w, fs->squash_gid);
	}
}

/* Writes the names of the ports; vm_describe() reads them. */
static void put_ports(const struct vm *vm, struct snap_writer *w)
{
	const struct virtio_ports *ports = vm->config.ports;

	snap_put_u32(w, ports->count);
	for (unsigned int i = 0; i < ports->count; i++)
		snap_put_blob(w, ports->list[i].name,
			      strlen(ports->list[i].name));
}

/* Writes the networks; vm_describe() reads them. */
static void put_nets(const struct vm *vm, struct snap_writer *w)
{
	snap_put_u32(w, vm->config.net_count);
	for (unsigned int i = 0; i < vm->config.net_count; i++) {
		const struct virtio_net_link *link = &vm->config.nets[i];

		snap_put_blob(w, link->net->name, strlen(link->net->name));
		snap_put_bytes(w, link->mac, sizeof(link->mac));
		snap_put_u16(w, link->mtu);
		snap_put_u8(w, link->net->offloads);
	}
}

/* Adds a section, whose contents have been written with result @r, and frees it. */
static int finish_version(struct snap_save *save, const char *tag,
			  uint32_t version, int r, struct snap_writer *w)
{
	if (r < 0)
		log_fail(-r, "snapshot: %s cannot be saved", tag);
	else
		r = snap_save_section(save, tag, version, w);
	snap_writer_finish(w);
	return r;
}

static int finish_section(struct snap_save *save, const char *tag, int r,
			  struct snap_writer *w)
{
	return finish_version(save, tag, VM_SECTION_VERSION, r, w);
}

/* Saves a section of the description. */
static int save_part(const struct vm *vm, struct snap_save *save,
		     const char *tag,
		     void (*put)(const struct vm *vm, struct snap_writer *w))
{
	struct snap_writer w = { 0 };

	put(vm, &w);
	return finish_section(save, tag, 0, &w);
}

/* Saves the sections that are the description. */
static int save_description(const struct vm *vm, struct snap_save *save)
{
	int r = save_part(vm, save, VM_TAG_ABOUT, put_about);

	if (r >= 0)
		r = save_part(vm, save, VM_TAG_MACHINE, put_machine);
	if (r >= 0 && vm->config.share_count)
		r = save_part(vm, save, VM_TAG_SHARES, put_shares);
	if (r >= 0 && vm->config.ports)
		r = save_part(vm, save, VM_TAG_PORTS, put_ports);
	if (r >= 0 && vm->config.net_count)
		r = save_part(vm, save, VM_TAG_NETS, put_nets);
	return r;
}

/* Saves the description, the vCPUs and the machine's part. */
static int save_machine(struct vm *vm, struct snap_save *save)
{
	struct machine *m = &vm->machine;
	struct snap_writer w = { 0 };
	int r = save_description(vm, save);

	for (unsigned int i = 0; r >= 0 && i < m->cpu_count; i++) {
		char tag[VM_TAG_BYTES];

		w = (struct snap_writer){ 0 };
		vm_tag_cpu(tag, i);
		r = arch_vcpu_save(m, &m->cpus[i], &w);
		r = finish_section(save, tag, r, &w);
	}
	if (r < 0)
		return r;
	w = (struct snap_writer){ 0 };
	return finish_section(save, VM_TAG_ARCH, arch_machine_save(m, &w), &w);
}

static int save_devices(struct vm *vm, struct snap_save *save,
			bool accept_stale)
{
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < vm->device_count; i++) {
		struct device *device = &vm->devices[i];
		struct snap_writer w = { .accept_stale = accept_stale };
		char tag[VM_TAG_BYTES];

		vm_tag_device(tag, device->name);
		r = device->ops->save(device->state, &w);
		r = finish_version(save, tag, vm_device_version(device), r, &w);
	}
	return r;
}

/* Saves present pages; those whose @may is 0 are zero, and left out. */
static int save_chunk(struct snap_save *save, uint64_t page, uint64_t count,
		      const uint8_t *may, const uint8_t *hva)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t n = 0;
		int r;

		while (i + n < count && may[i + n])
			n++;
		if (!n)
			continue;
		r = snap_save_pages(save, page + i, n, hva + i * PAGE_BYTES);
		if (r < 0)
			return r;
		i += n;
	}
	return 0;
}

static int save_region(struct vm *vm, struct snap_save *save,
		       const struct memory_region *region,
		       const struct vm_progress *progress)
{
	const struct memory *memory = &vm->machine.memory;
	uint64_t pages = region->size_bytes / PAGE_BYTES;
	struct resident resident;
	int r = 0;

	resident_open(&resident, memory);
	for (uint64_t i = 0; r >= 0 && i < pages; i += RESIDENT_PAGES_MAX) {
		uint64_t n = min_u64(pages - i, RESIDENT_PAGES_MAX);
		gpa_t gpa = region->gpa + i * PAGE_BYTES;
		uint64_t page = memory_page(region, gpa);
		uint8_t may[RESIDENT_PAGES_MAX];
		void *hva;

		/* At the end, threads blocked on pages are woken and see zeros. */
		if (atomic_load(&vm->phase) == VM_PHASE_END) {
			r = log_fail(ECANCELED, "snapshot: the VM has ended");
			break;
		}
		r = memory_map(memory, gpa, n * PAGE_BYTES, &hva);
		if (r < 0) {
			log_errno(-r, "snapshot: memory at 0x%llx",
				  (unsigned long long)gpa);
			break;
		}
		resident_look(&resident, page, n, may);
		r = save_chunk(save, page, n, may, hva);
		if (progress)
			progress->tell(progress->ctx, page + n,
				       memory->size_bytes / PAGE_BYTES);
	}
	resident_close(&resident);
	return r;
}

/* The populator of memory during a save: fails where a source does. */
static int populate_or_fail(void *ctx, gpa_t gpa, uint64_t len_bytes)
{
	const struct vm *vm = ctx;
	const struct memory_region *region =
		memory_find(&vm->machine.memory, gpa, len_bytes);
	uint64_t page = memory_page(region, gpa);
	uint64_t last = memory_page(region, gpa + len_bytes - 1);

	return pager_try_fill(vm->pager, page, last - page + 1);
}

/*
 * Saves everything.  The calling thread accesses memory here, the tables of an
 * ITS included, and must not block on an unavailable page, which only a command
 * to it can retry.  No vCPU and no device uses the accessor meanwhile.
 */
static int save_all(struct vm *vm, struct snap_save *save,
		    const struct vm_save_options *options)
{
	struct memory *memory = &vm->machine.memory;
	struct memory_populator before = memory->populator;
	int r;

	if (vm->pager)
		memory->populator =
			(struct memory_populator){ populate_or_fail, vm };
	r = save_machine(vm, save);
	if (r >= 0)
		r = save_devices(vm, save, options->accept_stale);
	for (unsigned int i = 0; r >= 0 && i < memory->region_count; i++)
		r = save_region(vm, save, &memory->regions[i],
				options->progress);
	memory->populator = before;
	/* After the end, zeros may have been read in place of contents. */
	if (r >= 0 && atomic_load(&vm->phase) == VM_PHASE_END)
		r = log_fail(ECANCELED, "snapshot: the VM has ended");
	return r;
}

/*
 * Syncs the disks: the restored guest relies on its earlier writes, even after a
 * power failure of the host.  The devices are quiesced, so no write follows.
 */
static int sync_disks(const struct vm *vm)
{
	for (unsigned int i = 0; i < vm->config.disk_count; i++) {
		struct disk *disk = &vm->config.disks[i];
		int r = disk->read_only ? 0 : disk_sync(disk);

		if (r < 0)
			return log_errno(-r, "snapshot: sync disk %s",
					 disk->path);
	}
	return 0;
}

int vm_save_begin(struct vm *vm, const char *path,
		  const struct vm_save_options *options,
		  struct snap_save **save)
{
	const struct memory *memory = &vm->machine.memory;
	struct snap_range ranges[MEMORY_RANGES_MAX];
	struct snap_save_config config = { .path = path,
					   .arch = arch_name(),
					   .sum = arch_crc32c,
					   .ranges = ranges,
					   .range_count =
						   memory->region_count };
	int r;

	for (unsigned int i = 0; i < memory->region_count; i++)
		ranges[i] = (struct snap_range){
			memory->regions[i].gpa,
			memory->regions[i].size_bytes,
			memory->regions[i].offset_bytes,
		};
	r = snap_save_begin(save, &config);
	if (r < 0)
		return r;
	r = sync_disks(vm);
	if (r >= 0)
		r = save_all(vm, *save, options);
	if (r < 0)
		snap_save_abort(*save);
	return r;
}

int vm_save(struct vm *vm, const char *path,
	    const struct vm_save_options *options)
{
	struct snap_save *save;
	int r = vm_save_begin(vm, path, options, &save);

	return r < 0 ? r : snap_save_commit(save);
}
