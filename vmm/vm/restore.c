/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Restoring a VM from a snapshot, which is untrusted: its description of the VM is
 * validated here, a device's section by the device.
 *
 * Main thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/io/disk.h"
#include "vmm/snap/file.h"
#include "vmm/snap/section.h"
#include "vmm/virtio/virtio.h"
#include "vmm/vm/private.h"
#include "vmm/vm/sections.h"
#include "vmm/vm/snapshot.h"

#define GENERATION_ID_BYTES 16

/* Reads a string without zeros into @room bytes, which are zero. */
static void get_string(struct snap_reader *r, char *to, size_t room)
{
	size_t len;
	const uint8_t *text = snap_get_blob(r, room - 1, &len);

	if (text)
		memcpy(to, text, len);
	if (strlen(to) != len)
		snap_reader_fail(r);
}

static void get_disk(struct snap_reader *r, struct vm_disk *disk)
{
	disk->size_bytes = snap_get_u64(r);
	disk->read_only = snap_get_u8(r) != 0;
	get_string(r, disk->path, sizeof(disk->path));
}

/* Reads the section for display, which is optional. */
static int describe_about(const struct snap_file *file,
			  struct vm_description *d)
{
	struct snap_reader r;
	int err;

	if (!snap_find(file, VM_TAG_ABOUT))
		return 0;
	err = snap_read_section(file, VM_TAG_ABOUT, VM_SECTION_VERSION, &r);
	if (err < 0)
		return err;
	get_string(&r, d->thaw, sizeof(d->thaw));
	d->device_count = snap_get_u32(&r);
	if (d->device_count > VM_DEVICES_MAX) {
		snap_reader_fail(&r);
		d->device_count = 0;
	}
	for (unsigned int i = 0; i < d->device_count; i++) {
		struct vm_device_names *names = &d->devices[i];

		get_string(&r, names->name, sizeof(names->name));
		get_string(&r, names->kind, sizeof(names->kind));
	}
	return snap_reader_error(&r) < 0 ?
		       snap_section_bad(file, VM_TAG_ABOUT) :
		       0;
}

/* Notes which disks have a copy, and checks that each is of a writable disk. */
static int describe_copies(const struct snap_file *file,
			   struct vm_description *d)
{
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++) {
		if (!file->disk_bytes[i])
			continue;
		if (i >= d->disk_count || d->disks[i].read_only ||
		    d->disks[i].size_bytes != file->disk_bytes[i])
			return snap_section_bad(file, SNAP_DISK_TAG);
		d->disks[i].copied = true;
	}
	return 0;
}

/* Reads the section of the VM's size and disks. */
static int describe_machine(const struct snap_file *file,
			    struct vm_description *d)
{
	struct snap_reader r;
	int err =
		snap_read_section(file, VM_TAG_MACHINE, VM_MACHINE_VERSION, &r);

	if (err < 0)
		return err;
	d->memory_bytes = snap_get_u64(&r);
	d->cpu_count = snap_get_u32(&r);
	d->console = (enum vm_console)snap_get_u32(&r);
	d->disk_count = snap_get_u32(&r);
	d->disk_queues = err > 1 ? snap_get_u32(&r) : 1;
	if (d->memory_bytes != file->memory_bytes || d->cpu_count < 1 ||
	    d->cpu_count > MACHINE_CPUS_MAX || d->console > VM_CONSOLE_VIRTIO ||
	    d->disk_count > VM_DISKS_MAX || d->disk_queues < 1 ||
	    d->disk_queues > VIRTIO_BLK_QUEUES_MAX) {
		snap_reader_fail(&r);
		d->disk_count = 0;
	}
	for (unsigned int i = 0; i < d->disk_count; i++)
		get_disk(&r, &d->disks[i]);
	return snap_reader_error(&r) < 0 ?
		       snap_section_bad(file, VM_TAG_MACHINE) :
		       describe_copies(file, d);
}

static void get_share(struct snap_reader *r, struct vm_description *d,
		      unsigned int n)
{
	struct vm_share *s = &d->shares[n];
	struct fs_config *fs = &s->share.fs;

	get_string(r, s->share.tag, sizeof(s->share.tag));
	get_string(r, s->path, sizeof(s->path));
	fs->path = s->path;
	fs->read_only = snap_get_u8(r) != 0;
	fs->cache = (enum fs_cache)snap_get_u8(r);
	fs->guest_uid = snap_get_u32(r);
	fs->guest_gid = snap_get_u32(r);
	fs->squash = snap_get_u8(r) != 0;
	fs->squash_uid = snap_get_u32(r);
	fs->squash_gid = snap_get_u32(r);
	if (!s->share.tag[0] || !s->path[0] || fs->cache > FS_CACHE_NEVER)
		snap_reader_fail(r);
}

static void get_port(struct snap_reader *r, struct vm_description *d,
		     unsigned int n)
{
	char *name = d->port_names[n];

	get_string(r, name, sizeof(d->port_names[n]));
	if (!name[0])
		snap_reader_fail(r);
	d->ports.list[n] = (struct virtio_port){ name, -1, -1 };
}

static void get_net(struct snap_reader *r, struct vm_description *d,
		    unsigned int n)
{
	struct vm_net *net = &d->nets[n];
	uint8_t offloads;

	get_string(r, net->host, sizeof(net->host));
	snap_get_bytes(r, net->mac, sizeof(net->mac));
	net->mtu = snap_get_u16(r);
	offloads = snap_get_u8(r);
	net->offloads = offloads != 0;
	if (net->mtu < NET_MTU_MIN || offloads > 1 ||
	    !net_mac_is_station(net->mac))
		snap_reader_fail(r);
}

/* A section that is a list: their number, and each of them. */
struct list_section {
	const char *tag;
	unsigned int min, max;
	void (*get)(struct snap_reader *r, struct vm_description *d,
		    unsigned int n);
};

static const struct list_section shares_section = { VM_TAG_SHARES, 0,
						    VM_SHARES_MAX, get_share };
static const struct list_section ports_section = { VM_TAG_PORTS, 1,
						   VIRTIO_PORTS_MAX, get_port };
static const struct list_section nets_section = { VM_TAG_NETS, 0, VM_NETS_MAX,
						  get_net };

/* Reads such a section; only a machine that has some of them has it. */
static int describe_list(const struct snap_file *file, struct vm_description *d,
			 const struct list_section *section,
			 unsigned int *count)
{
	struct snap_reader r;
	int err;

	if (!snap_find(file, section->tag))
		return 0;
	err = snap_read_section(file, section->tag, VM_SECTION_VERSION, &r);
	if (err < 0)
		return err;
	*count = snap_get_u32(&r);
	if (*count < section->min || *count > section->max) {
		snap_reader_fail(&r);
		*count = 0;
	}
	for (unsigned int i = 0; i < *count; i++)
		section->get(&r, d, i);
	return snap_reader_error(&r) < 0 ?
		       snap_section_bad(file, section->tag) :
		       0;
}

int vm_describe(const struct snap_file *file, struct vm_description *d)
{
	int r;

	*d = (struct vm_description){ .thaw = "" };
	r = describe_about(file, d);
	if (r >= 0)
		r = describe_machine(file, d);
	if (r >= 0)
		r = describe_list(file, d, &shares_section, &d->share_count);
	if (r >= 0)
		r = describe_list(file, d, &ports_section, &d->ports.count);
	if (r >= 0)
		r = describe_list(file, d, &nets_section, &d->net_count);
	return r;
}

/* From the first vCPU; the others have the same model and features. */
int vm_describe_cpu(const struct snap_file *file, char model[ARCH_MODEL_BYTES],
		    FILE *features)
{
	char tag[VM_TAG_BYTES];
	struct snap_reader r;
	int err;

	model[0] = '\0';
	if (strcmp(file->arch, arch_name()) != 0)
		return -ENOEXEC;
	vm_tag_cpu(tag, 0);
	err = snap_read_section(file, tag, VM_SECTION_VERSION, &r);
	if (err < 0)
		return err;
	err = arch_vcpu_describe(&r, model, features);
	return err == -EBADMSG ? snap_section_bad(file, tag) : err;
}

/* -EBADMSG, logged, if the snapshot's RAM ranges differ from the VM's. */
static int check_layout(const struct vm *vm, const struct snap_file *file)
{
	const struct memory *memory = &vm->machine.memory;
	bool same = memory->region_count == file->range_count;

	for (unsigned int i = 0; same && i < memory->region_count; i++)
		same = memory->regions[i].gpa == file->ranges[i].gpa &&
		       memory->regions[i].size_bytes ==
			       file->ranges[i].size_bytes;
	if (same)
		return 0;
	return log_fail(EBADMSG, "%s: memory layout differs from this VM's",
			file->path);
}

/* How one section is loaded. */
struct loader {
	int (*load)(struct vm *vm, unsigned int n, struct snap_reader *r);
	unsigned int n;
	uint32_t version; /* the newest that is read */
};

static int load_arch(struct vm *vm, unsigned int n, struct snap_reader *r)
{
	(void)n;
	return arch_machine_load(&vm->machine, r);
}

static int load_cpu(struct vm *vm, unsigned int n, struct snap_reader *r)
{
	return arch_vcpu_load(&vm->machine, &vm->machine.cpus[n], r);
}

static int load_device(struct vm *vm, unsigned int n, struct snap_reader *r)
{
	return vm->devices[n].ops->load(vm->devices[n].state, r);
}

static int load_section(struct vm *vm, const char *tag, struct loader loader)
{
	const struct snap_file *file = vm->config.snapshot;
	struct snap_reader r;
	int err = snap_read_section(file, tag, loader.version, &r);

	if (err < 0)
		return err;
	err = loader.load(vm, loader.n, &r);
	if (err == 0)
		err = snap_reader_error(&r);
	return err == -EBADMSG ? snap_section_bad(file, tag) : err;
}

/* Whether the VM has the part that a section is of. */
static bool is_known(const struct vm *vm, const char *section)
{
	char tag[VM_TAG_BYTES];

	if (!strcmp(section, VM_TAG_ABOUT) ||
	    !strcmp(section, VM_TAG_MACHINE) ||
	    !strcmp(section, VM_TAG_SHARES) || !strcmp(section, VM_TAG_PORTS) ||
	    !strcmp(section, VM_TAG_NETS) || !strcmp(section, VM_TAG_ARCH) ||
	    !strcmp(section, SNAP_BASE_TAG) || !strcmp(section, SNAP_DISK_TAG))
		return true;
	for (unsigned int i = 0; i < vm->machine.cpu_count; i++) {
		vm_tag_cpu(tag, i);
		if (!strcmp(section, tag))
			return true;
	}
	for (unsigned int i = 0; i < vm->device_count; i++) {
		vm_tag_device(tag, vm->devices[i].name);
		if (!strcmp(section, tag))
			return true;
	}
	return false;
}

/* Refuses sections of parts that this VM lacks: the guest has them. */
static int check_sections(const struct vm *vm)
{
	const struct snap_file *file = vm->config.snapshot;

	for (unsigned int i = 0; i < file->section_count; i++)
		if (!is_known(vm, file->sections[i].tag))
			return log_fail(EPROTONOSUPPORT,
					"%s/%s: section %s is not supported by "
					"this version of thaw",
					file->path, SNAP_STATE_NAME,
					file->sections[i].tag);
	return 0;
}

/* Loads machine, vCPUs and devices, in that order. */
static int load_sections(struct vm *vm)
{
	char tag[VM_TAG_BYTES];
	int r = check_sections(vm);

	if (r >= 0)
		r = load_section(vm, VM_TAG_ARCH,
				 (struct loader){ load_arch, 0,
						  VM_SECTION_VERSION });
	for (unsigned int i = 0; r >= 0 && i < vm->machine.cpu_count; i++) {
		vm_tag_cpu(tag, i);
		r = load_section(vm, tag,
				 (struct loader){ load_cpu, i,
						  VM_SECTION_VERSION });
	}
	for (unsigned int i = 0; r >= 0 && i < vm->device_count; i++) {
		const struct device *device = &vm->devices[i];

		vm_tag_device(tag, device->name);
		r = load_section(vm, tag,
				 (struct loader){ load_device, i,
						  vm_device_version(device) });
	}
	return r;
}

/* Writes a new generation id, and notifies the guest. */
static int renew_generation(struct vm *vm)
{
	struct machine *m = &vm->machine;
	uint8_t id[GENERATION_ID_BYTES];
	int r;

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return log_errno(errno, "generation id");
	r = memory_write(&m->memory, m->layout.generation_gpa, id, sizeof(id));
	/* The pager has reported the unavailable page. */
	if (r == -EIO)
		return r;
	if (r < 0)
		return log_errno(-r, "generation id");
	return arch_notify(m, MACHINE_NOTICE_GENERATION);
}

int vm_restore(struct vm *vm)
{
	int r = check_layout(vm, vm->config.snapshot);

	/* Before the first write: KVM loads tables of an ITS. */
	if (r >= 0 && vm->config.track)
		r = vm_track_since(vm, vm->config.snapshot->id);
	for (unsigned int i = 0; r >= 0 && i < vm->device_count; i++)
		/* Nothing is in flight. */
		r = vm->devices[i].ops->quiesce(vm->devices[i].state, 0);
	if (r >= 0)
		r = vm_memory_from_snapshot(vm);
	if (r >= 0)
		r = load_sections(vm);
	if (r >= 0)
		r = renew_generation(vm);
	vm->paused = true;
	vm->loaded = true;
	return r;
}
