/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State of the ITS, in the order of
 * Documentation/virt/kvm/devices/arm-vgic-its.rst: GITS_CBASER, the other
 * registers, the tables in guest memory, GITS_CTLR last.
 *
 * KVM accesses the tables in guest memory directly, not through the pager.  So
 * all their pages are filled first: the device and collection tables of
 * GITS_BASER, the translation tables of valid device entries, and the LPI
 * tables of each redistributor.  Entries have the layout of ABI revision 0 of
 * that document.
 *
 * vCPUs do not run; any one thread.
 */
#include <errno.h>

#include "arch/arm64/private.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* CBASER first, CTLR last (Arm IHI 0069, 12.19.1). */
#define GITS_BASER	 0x0100
#define GITS_BASER_COUNT 8

static const struct its_reg {
	const char *name;
	uint32_t offset;
} its_regs[] = {
	{ "GITS_IIDR", 0x0004 },   { "GITS_CBASER", 0x0080 },
	{ "GITS_CREADR", 0x0090 }, { "GITS_CWRITER", 0x0088 },
	{ "GITS_BASER0", 0x0100 }, { "GITS_BASER1", 0x0108 },
	{ "GITS_BASER2", 0x0110 }, { "GITS_BASER3", 0x0118 },
	{ "GITS_BASER4", 0x0120 }, { "GITS_BASER5", 0x0128 },
	{ "GITS_BASER6", 0x0130 }, { "GITS_BASER7", 0x0138 },
};

#define GITS_CTLR 0x0000

/* GITS_BASER<n> (12.19.1): address, size and type of a table. */
#define BASER_VALID	  (UINT64_C(1) << 63)
#define BASER_INDIRECT	  (UINT64_C(1) << 62)
#define BASER_TYPE(b)	  ((b) >> 56 & 7)
#define BASER_TYPE_DEVICE 1
#define BASER_PAGE(b)	  ((b) >> 8 & 3)
#define BASER_PAGES(b)	  (((b)&0xff) + 1)

/* Table entries have eight bytes; device ids have 16 bits. */
#define ENTRY_BYTES   8
#define DEVICES_MAX   65536
#define ENTRY_VALID   (UINT64_C(1) << 63)
#define L2_BYTES      (64 * KIB)
#define L2_GPA(e)     ((e)&UINT64_C(0x000fffffffff0000))
#define DTE_ITT(e)    (((e) >> 5 & UINT64_C(0xfffffffffff)) << 8)
#define DTE_EVENTS(e) (UINT64_C(2) << ((e)&31))

/* GICR_PROPBASER and GICR_PENDBASER (12.11): a byte and a bit for each LPI. */
#define PROPBASER_GPA(r)  ((r)&UINT64_C(0x000ffffffffff000))
#define PROPBASER_BITS(r) (((r)&0x1f) + 1)
#define PENDBASER_GPA(r)  ((r)&UINT64_C(0x000fffffffff0000))
#define LPI_BITS_MAX	  16
#define LPI_FIRST	  8192

/*
 * Fills the pages of a table.  A table outside RAM is a guest error, which KVM
 * reports.
 */
static int touch(const struct machine *machine, gpa_t gpa, uint64_t len_bytes)
{
	void *hva;
	int err = memory_map(&machine->memory, gpa, len_bytes, &hva);

	if (err == -EFAULT)
		return 0;
	return err != 0 ? log_errno(-err, "ITS: table at %#llx",
				    (unsigned long long)gpa) :
			  0;
}

/* The translation tables of the devices in a flat table. */
static int touch_devices(const struct machine *machine, gpa_t gpa,
			 uint64_t count)
{
	int err = touch(machine, gpa, count * ENTRY_BYTES);

	for (uint64_t i = 0; i < count && err == 0; i++) {
		uint8_t raw[ENTRY_BYTES];
		uint64_t entry;

		if (memory_read(&machine->memory, gpa + i * ENTRY_BYTES, raw,
				sizeof(raw)) != 0)
			break;
		entry = get_le64(raw);
		if (entry & ENTRY_VALID)
			err = touch(machine, DTE_ITT(entry),
				    DTE_EVENTS(entry) * ENTRY_BYTES);
	}
	return err;
}

/* The translation tables of the devices in a two-level table. */
static int touch_indirect(const struct machine *machine, gpa_t gpa,
			  uint64_t len_bytes)
{
	const uint64_t each = L2_BYTES / ENTRY_BYTES;
	uint64_t count = min_u64(len_bytes / ENTRY_BYTES, DEVICES_MAX / each);
	int err = touch(machine, gpa, len_bytes);

	for (uint64_t i = 0; i < count && err == 0; i++) {
		uint8_t raw[ENTRY_BYTES];

		if (memory_read(&machine->memory, gpa + i * ENTRY_BYTES, raw,
				sizeof(raw)) != 0)
			break;
		if (get_le64(raw) & ENTRY_VALID)
			err = touch_devices(machine, L2_GPA(get_le64(raw)),
					    each);
	}
	return err;
}

/* Address of a table: with 64 KiB pages, bits 15:12 are address bits 51:48. */
static gpa_t baser_gpa(uint64_t baser)
{
	if (BASER_PAGE(baser) >= 2)
		return (baser & UINT64_C(0x0000ffffffff0000)) | (baser & 0xf000)
									<< 36;
	return baser & UINT64_C(0x0000fffffffff000);
}

/* Fills the pages of a GITS_BASER table. */
static int touch_baser(const struct machine *machine, uint64_t baser)
{
	static const uint64_t page_bytes[] = { 4 * KIB, 16 * KIB, 64 * KIB,
					       64 * KIB };
	uint64_t len = BASER_PAGES(baser) * page_bytes[BASER_PAGE(baser)];
	gpa_t gpa = baser_gpa(baser);

	if (!(baser & BASER_VALID))
		return 0;
	if (BASER_TYPE(baser) != BASER_TYPE_DEVICE)
		return touch(machine, gpa, len);
	if (baser & BASER_INDIRECT)
		return touch_indirect(machine, gpa, len);
	return touch_devices(machine, gpa,
			     min_u64(len / ENTRY_BYTES, DEVICES_MAX));
}

/* Fills the pages of a redistributor's LPI tables. */
static int touch_lpis(const struct machine *machine, uint64_t propbaser,
		      uint64_t pendbaser)
{
	uint64_t bits = min_u64(PROPBASER_BITS(propbaser), LPI_BITS_MAX);
	uint64_t lpis = UINT64_C(1) << bits;
	int err = 0;

	if (lpis > LPI_FIRST)
		err = touch(machine, PROPBASER_GPA(propbaser),
			    lpis - LPI_FIRST);
	return err != 0 ? err :
			  touch(machine, PENDBASER_GPA(pendbaser), lpis / 8);
}

int arm64_its_touch(const struct machine *machine)
{
	int fd = machine->arch->its_fd;
	int err = 0;

	for (unsigned int i = 0; i < GITS_BASER_COUNT && err == 0; i++) {
		uint64_t baser = 0;

		if (kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
				 GITS_BASER + 8 * i, &baser) == 0)
			err = touch_baser(machine, baser);
	}
	for (unsigned int i = 0; i < machine->cpu_count && err == 0; i++) {
		uint64_t prop, pend;
		bool enabled;

		err = arm64_gic_lpis(machine, i, &enabled, &prop, &pend);
		if (err == 0 && enabled)
			err = touch_lpis(machine, prop, pend);
	}
	return err;
}

int arm64_its_save(struct machine *machine, struct snap_writer *w)
{
	int fd = machine->arch->its_fd;
	uint64_t value = 0;
	int err = kvm_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
			       KVM_DEV_ARM_ITS_SAVE_TABLES, NULL);

	if (err < 0)
		return log_errno(-err, "ITS: save tables");
	for (size_t i = 0; i < ARRAY_SIZE(its_regs) && err >= 0; i++) {
		err = kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
				   its_regs[i].offset, &value);
		if (err < 0)
			return log_errno(-err, "ITS: read %s",
					 its_regs[i].name);
		snap_put_u64(w, value);
	}
	err = kvm_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, GITS_CTLR,
			   &value);
	if (err < 0)
		return log_errno(-err, "ITS: read GITS_CTLR");
	snap_put_u64(w, value);
	return 0;
}

int arm64_its_load(struct machine *machine, struct snap_reader *r)
{
	int fd = machine->arch->its_fd;
	uint64_t value;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(its_regs); i++) {
		value = snap_get_u64(r);
		if (r->error != 0)
			return r->error;
		err = kvm_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
				   its_regs[i].offset, &value);
		if (err < 0)
			return log_errno(-err, "ITS: set %s", its_regs[i].name);
	}
	value = snap_get_u64(r);
	if (r->error != 0)
		return r->error;
	err = arm64_its_touch(machine);
	if (err != 0)
		return err;
	err = kvm_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
			   KVM_DEV_ARM_ITS_RESTORE_TABLES, NULL);
	if (err < 0)
		return log_errno(-err, "ITS: restore tables");
	err = kvm_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, GITS_CTLR,
			   &value);
	return err < 0 ? log_errno(-err, "ITS: set GITS_CTLR") : 0;
}
