/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving a VM.  It is paused, so only KVM changes its state meanwhile: an ITS
 * saves its tables into guest memory, so memory comes last.
 *
 * Control thread.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/io/disk.h"
#include "vmm/mem/resident.h"
#include "vmm/snap/file.h"
#include "vmm/snap/save.h"
#include "vmm/snap/section.h"
#include "vmm/vm/disk_copies.h"
#include "vmm/vm/private.h"
#include "vmm/vm/sections.h"
#include "vmm/vm/snapshot.h"

/* Pages at once with a rate limit, of 1 MiB/s at least, so that a cancel is seen. */
#define LIMITED_PAGES 32

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
	snap_put_u32(w, config->disk_queues);
	for (unsigned int i = 0; i < config->disk_count; i++) {
		const struct disk *disk = &config->disks[i];

		snap_put_u64(w, disk->size_bytes);
		snap_put_u8(w, disk->read_only);
		put_path(disk_name(disk), w);
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
		     const char *tag, uint32_t version,
		     void (*put)(const struct vm *vm, struct snap_writer *w))
{
	struct snap_writer w = { 0 };

	put(vm, &w);
	return finish_version(save, tag, version, 0, &w);
}

/* Saves the sections that are the description. */
static int save_description(const struct vm *vm, struct snap_save *save)
{
	int r = save_part(vm, save, VM_TAG_ABOUT, VM_SECTION_VERSION,
			  put_about);

	if (r >= 0)
		r = save_part(vm, save, VM_TAG_MACHINE, VM_MACHINE_VERSION,
			      put_machine);
	if (r >= 0 && vm->config.share_count)
		r = save_part(vm, save, VM_TAG_SHARES, VM_SECTION_VERSION,
			      put_shares);
	if (r >= 0 && vm->config.ports)
		r = save_part(vm, save, VM_TAG_PORTS, VM_SECTION_VERSION,
			      put_ports);
	if (r >= 0 && vm->config.net_count)
		r = save_part(vm, save, VM_TAG_NETS, VM_SECTION_VERSION,
			      put_nets);
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

/* Fills pages, which fails where their source does, and finds their address. */
static int reach_pages(struct vm *vm, uint64_t page, uint64_t count, void **hva)
{
	const struct memory *memory = &vm->machine.memory;

	if (!vm->pager)
		return memory_map(memory, memory_page_gpa(memory, page),
				  count * PAGE_BYTES, hva);
	*hva = memory_page_hva(memory, page);
	return pager_try_fill(vm->pager, page, count);
}

static int save_region(struct vm *vm, struct snap_save *save,
		       const struct memory_region *region,
		       const struct vm_save_options *options)
{
	const struct memory *memory = &vm->machine.memory;
	uint64_t first = region->offset_bytes / PAGE_BYTES;
	uint64_t pages = region->size_bytes / PAGE_BYTES;
	uint64_t step =
		options->rate_bytes_s ? LIMITED_PAGES : RESIDENT_PAGES_MAX;
	struct resident resident;
	int r = 0;

	resident_open(&resident, memory);
	for (uint64_t i = 0; r >= 0 && i < pages; i += step) {
		uint64_t n = min_u64(pages - i, step);
		uint64_t page = first + i;
		uint8_t may[RESIDENT_PAGES_MAX];
		void *hva;

		r = vm_save_report(vm, options, page,
				   memory->size_bytes / PAGE_BYTES);
		if (r < 0)
			break;
		r = reach_pages(vm, page, n, &hva);
		if (r < 0) {
			log_errno(-r, "snapshot: memory at 0x%llx",
				  (unsigned long long)memory_page_gpa(memory,
								      page));
			break;
		}
		resident_look(&resident, page, n, may);
		r = save_chunk(save, page, n, may, hva);
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
 * The calling thread accesses memory here, the tables of an ITS included, and must
 * not block on an unavailable page, which only a command to it can retry.  No vCPU
 * and no device uses the accessor meanwhile.
 */
int vm_save_state(struct vm *vm, struct snap_save *save,
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
	memory->populator = before;
	return r;
}

int vm_save_memory(struct vm *vm, struct snap_save *save,
		   const struct vm_save_options *options)
{
	const struct memory *memory = &vm->machine.memory;
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < memory->region_count; i++)
		r = save_region(vm, save, &memory->regions[i], options);
	/* After the end, zeros may have been read in place of contents. */
	return r >= 0 ? vm_save_check_end(vm) : r;
}

/*
 * The restored guest relies on its earlier writes, even after a power failure of the
 * host.
 */
int vm_save_sync_disks(const struct vm *vm)
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

/* Opens the directory @name beside the one to save to. */
static int open_beside(struct snap_file *base, const char *path,
		       const char *name)
{
	CLEANUP_FREE char *copy = strdup(path), *beside = NULL;

	if (!copy || asprintf(&beside, "%s/%s", dirname(copy), name) < 0) {
		beside = NULL;
		return log_errno(ENOMEM, "snapshot %s", path);
	}
	return snap_open(base, beside, arch_name());
}

bool vm_is_trackable(const struct vm *vm)
{
	return vm->machine.memory.backing != MEMORY_GUEST_MEMFD;
}

/*
 * Opens the base, which is the snapshot since which writes are known. -EINVAL, logged
 * with the reason.
 */
static int open_base(const struct vm *vm, struct snap_file *base,
		     const char *path, const char *name)
{
	if (!vm_is_trackable(vm))
		return log_fail(EINVAL, "snapshot: no base: KVM does not track "
					"writes to a guest_memfd");
	if (!vm->since)
		return log_fail(EINVAL,
				"snapshot: no base: writes are not tracked "
				"yet; save once without --base and --pause");
	if (!snap_base_name_is_valid(name))
		return log_fail(EINVAL,
				"snapshot: base %s: not a name without /",
				name);
	if (open_beside(base, path, name) < 0)
		return -EINVAL;
	if (!memcmp(base->id, vm->since_id, SNAP_ID_BYTES))
		return 0;
	log_error(
		"snapshot: %s is not the snapshot that this VM was last saved "
		"to or restored from",
		base->path);
	snap_close(base);
	return -EINVAL;
}

/* A disk that ends with the VM must be in the snapshot. */
static int check_private(const struct vm *vm,
			 const struct vm_save_options *options)
{
	for (unsigned int i = 0; i < vm->config.disk_count; i++)
		if (vm->config.disks[i].private && !options->copy_disks)
			return log_fail(ENOMEDIUM,
					"snapshot: disk %s is private to this "
					"VM and ends with it; use --disks=copy",
					vm->config.disks[i].path);
	return 0;
}

int vm_save_open(struct vm *vm, const char *path,
		 const struct vm_save_options *options, struct snap_save **save)
{
	const struct memory *memory = &vm->machine.memory;
	struct snap_range ranges[MEMORY_RANGES_MAX];
	struct snap_file base = { .path = NULL };
	struct snap_save_config config = { .path = path,
					   .arch = arch_name(),
					   .sum = arch_crc32c,
					   .fsverity = options->fsverity,
					   .base_name = options->base,
					   .ranges = ranges,
					   .range_count =
						   memory->region_count };
	int r = check_private(vm, options);

	for (unsigned int i = 0; i < memory->region_count; i++)
		ranges[i] = (struct snap_range){
			memory->regions[i].gpa,
			memory->regions[i].size_bytes,
			memory->regions[i].offset_bytes,
		};
	if (r == 0 && options->base)
		r = open_base(vm, &base, path, options->base);
	if (r < 0)
		return r;
	config.base = options->base ? &base : NULL;
	r = snap_save_begin(save, &config);
	if (r == 0)
		vm_mapped_record(vm);
	return r;
}

/* Copies the disks of a VM that is paused. */
static int save_disks(struct vm *vm, struct snap_save *save,
		      const struct vm_save_options *options)
{
	struct disk_copies copies;
	int r = disk_copies_begin(&copies, vm, options, save);

	if (r >= 0)
		r = disk_copies_cut(&copies);
	disk_copies_end(&copies);
	return r;
}

/* The devices are quiesced, so no write follows the sync of the disks. */
int vm_save_begin(struct vm *vm, const char *path,
		  const struct vm_save_options *options,
		  struct snap_save **save)
{
	int r = vm_save_open(vm, path, options, save);

	if (r < 0)
		return r;
	r = vm_save_sync_disks(vm);
	if (r >= 0)
		r = save_disks(vm, *save, options);
	if (r >= 0)
		r = vm_save_state(vm, *save, options);
	if (r >= 0)
		r = vm_save_memory(vm, *save, options);
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
