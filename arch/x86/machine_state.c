/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's part of a snapshot: clocks, interrupt controllers, pending
 * events.
 *
 * The machine is paused; any one thread.
 */
#include <errno.h>

#include "arch/x86/clock.h"
#include "arch/x86/fields.h"
#include "arch/x86/power.h"
#include "arch/x86/x86.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* The two 8259s, unused, and the IOAPIC. */
#define CHIPS 3

static const struct field pic_fields[] = {
	FIELD(struct kvm_pic_state, last_irr),
	FIELD(struct kvm_pic_state, irr),
	FIELD(struct kvm_pic_state, imr),
	FIELD(struct kvm_pic_state, isr),
	FIELD(struct kvm_pic_state, priority_add),
	FIELD(struct kvm_pic_state, irq_base),
	FIELD(struct kvm_pic_state, read_reg_select),
	FIELD(struct kvm_pic_state, poll),
	FIELD(struct kvm_pic_state, special_mask),
	FIELD(struct kvm_pic_state, init_state),
	FIELD(struct kvm_pic_state, auto_eoi),
	FIELD(struct kvm_pic_state, rotate_on_auto_eoi),
	FIELD(struct kvm_pic_state, special_fully_nested_mode),
	FIELD(struct kvm_pic_state, init4),
	FIELD(struct kvm_pic_state, elcr),
	FIELD(struct kvm_pic_state, elcr_mask),
};

static const struct field ioapic_fields[] = {
	FIELD(struct kvm_ioapic_state, base_address),
	FIELD(struct kvm_ioapic_state, ioregsel),
	FIELD(struct kvm_ioapic_state, id),
	FIELD(struct kvm_ioapic_state, irr),
	FIELDS(struct kvm_ioapic_state, redirtbl),
};

/* The field table and state of chip @id. */
static const struct field *chip_fields(struct kvm_irqchip *chip, size_t *count,
				       void **state)
{
	if (chip->chip_id == KVM_IRQCHIP_IOAPIC) {
		*count = ARRAY_SIZE(ioapic_fields);
		*state = &chip->chip.ioapic;
		return ioapic_fields;
	}
	*count = ARRAY_SIZE(pic_fields);
	*state = &chip->chip.pic;
	return pic_fields;
}

static int save_chip(struct machine *machine, struct snap_writer *w,
		     uint32_t id)
{
	struct kvm_irqchip chip = { .chip_id = id };
	const struct field *rows;
	size_t count;
	void *state;
	int err = kvm_call(machine->vm.fd, KVM_GET_IRQCHIP, &chip);

	if (err < 0)
		return err;
	rows = chip_fields(&chip, &count, &state);
	fields_put(w, rows, count, state);
	return 0;
}

static int load_chip(struct machine *machine, struct snap_reader *r,
		     uint32_t id)
{
	struct kvm_irqchip chip = { .chip_id = id };
	const struct field *rows;
	size_t count;
	void *state;
	int err;

	rows = chip_fields(&chip, &count, &state);
	fields_get(r, rows, count, state);
	if (r->error)
		return -EBADMSG;
	err = kvm_call(machine->vm.fd, KVM_SET_IRQCHIP, &chip);
	return err < 0 ? err : 0;
}

int arch_machine_save(struct machine *machine, struct snap_writer *w)
{
	int err = 0;

	clocks_save(machine->arch->clocks, w);
	for (uint32_t id = 0; id < CHIPS && !err; id++)
		err = save_chip(machine, w, id);
	snap_put_u32(w, atomic_load(&machine->arch->events));
	return err ? err : w->error;
}

int arch_machine_load(struct machine *machine, struct snap_reader *r)
{
	int err = clocks_load(machine->arch->clocks, r);

	for (uint32_t id = 0; id < CHIPS && !err; id++)
		err = load_chip(machine, r, id);
	if (err)
		return err;
	atomic_store(&machine->arch->events, snap_get_u32(r));
	err = snap_reader_error(r);
	if (!err)
		power_event_update(machine);
	return err;
}
