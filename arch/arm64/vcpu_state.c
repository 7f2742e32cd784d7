/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State of one vCPU: all registers that KVM lists, the run state, pending
 * exceptions, the stolen time address.
 *
 * Firmware registers and ID registers are set first, because other registers
 * depend on them; a host that cannot set them refuses the snapshot.  The
 * counters are skipped: they are set once for all vCPUs.
 *
 * The vCPU does not run; any one thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/arm64/idreg.h"
#include "arch/arm64/private.h"
#include "arch/arm64/refusal.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* KVM lists about 250; SVE adds 49. */
#define REGS_MAX 4096

/* KVM_REG_SIZE_MASK allows 2^15 bytes; arm64 registers have up to 2048 bits. */
#define REG_BYTES_MAX 256

#define STATE_VERSION 1

struct one_reg {
	uint64_t id;
	size_t len_bytes;
	uint8_t value[REG_BYTES_MAX];
};

/* Size of a register by its id; 0: too large. */
static size_t reg_bytes(uint64_t id)
{
	uint64_t shift = (id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT;

	return shift <= 8 ? (size_t)1 << shift : 0;
}

/* Register kind: core, system, firmware... */
static uint64_t reg_kind(uint64_t id)
{
	return id & KVM_REG_ARM_COPROC_MASK;
}

static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

/* Whether the register is set before the others. */
static bool is_early(uint64_t id)
{
	uint64_t kind = reg_kind(id);

	return kind == KVM_REG_ARM_FW || kind == KVM_REG_ARM_FW_FEAT_BMAP ||
	       arm64_reg_is_id(id);
}

/* Reads or writes a register of any size; silent. */
static int reg_call(const struct kvm_vcpu *cpu, unsigned long request,
		    uint64_t id, void *value)
{
	struct kvm_one_reg reg = { .id = id,
				   .addr = (uint64_t)(uintptr_t)value };

	return kvm_ioctl(cpu->fd, request, &reg);
}

/* Lists all registers; the caller frees *@list. -errno, logged. */
static int list_regs(const struct kvm_vcpu *cpu, struct kvm_reg_list **list)
{
	struct kvm_reg_list probe = { .n = 0 };
	int err = kvm_ioctl(cpu->fd, KVM_GET_REG_LIST, &probe);

	if (err != -E2BIG || probe.n > REGS_MAX)
		return log_errno(err < 0 ? -err : ERANGE,
				 "vCPU %u: list registers", cpu->id);
	*list = calloc(1, sizeof(**list) + probe.n * sizeof((*list)->reg[0]));
	if (*list == NULL)
		return log_errno(ENOMEM, "vCPU %u: list registers", cpu->id);
	(*list)->n = probe.n;
	err = kvm_call(cpu->fd, KVM_GET_REG_LIST, *list);
	return err < 0 ? err : 0;
}

static int save_reg(const struct kvm_vcpu *cpu, uint64_t id,
		    struct snap_writer *w)
{
	uint8_t value[REG_BYTES_MAX] = { 0 };
	size_t len = reg_bytes(id);
	int err =
		len == 0 ? -ERANGE : reg_call(cpu, KVM_GET_ONE_REG, id, value);

	if (err != 0)
		return log_errno(-err, "vCPU %u: read register %#" PRIx64,
				 cpu->id, id);
	snap_put_u64(w, id);
	/* Both the host and the format are little-endian. */
	snap_put_bytes(w, value, len);
	return 0;
}

static int save_regs(const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	CLEANUP_FREE struct kvm_reg_list *list = NULL;
	uint32_t count = 0;
	int err = list_regs(cpu, &list);

	if (err != 0)
		return err;
	for (uint64_t i = 0; i < list->n; i++)
		count += !is_counter(list->reg[i]);
	snap_put_u32(w, count);
	for (uint64_t i = 0; i < list->n && err == 0; i++) {
		if (!is_counter(list->reg[i]))
			err = save_reg(cpu, list->reg[i], w);
	}
	return err;
}

/* Reads the next register; false if the snapshot is malformed. */
static bool next_reg(struct snap_reader *r, struct one_reg *reg)
{
	reg->id = snap_get_u64(r);
	reg->len_bytes = reg_bytes(reg->id);
	if (reg->len_bytes == 0 ||
	    (reg->id & KVM_REG_ARCH_MASK) != KVM_REG_ARM64 ||
	    is_counter(reg->id)) {
		snap_reader_fail(r);
		return false;
	}
	memset(reg->value, 0,
	       sizeof(uint64_t)); /* zero for smaller registers */
	snap_get_bytes(r, reg->value, reg->len_bytes);
	return r->error == 0;
}

/*
 * Sets a register unless it has that value: KVM refuses changes of constant
 * registers only.  Refusals are recorded.
 */
static void load_reg(const struct kvm_vcpu *cpu, struct one_reg *reg,
		     struct refusal *refusal)
{
	uint8_t have[REG_BYTES_MAX] = { 0 };
	int err = reg_call(cpu, KVM_GET_ONE_REG, reg->id, have);

	if (err == 0 && memcmp(have, reg->value, reg->len_bytes) == 0)
		return;
	if (err != -ENOENT)
		err = reg_call(cpu, KVM_SET_ONE_REG, reg->id, reg->value);
	/* Cache geometry is for information only. */
	if (err != 0 && reg_kind(reg->id) != KVM_REG_ARM_DEMUX)
		arm64_refusal_note(refusal, reg->id, get_le64(reg->value),
				   get_le64(have), err);
}

/* Sets the registers that are, or are not, early. */
static int load_pass(const struct kvm_vcpu *cpu, struct snap_reader *r,
		     uint32_t count, bool early)
{
	struct refusal refusal = { 0 };
	struct one_reg reg = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		if (!next_reg(r, &reg))
			return r->error;
		if (is_early(reg.id) == early)
			load_reg(cpu, &reg, &refusal);
	}
	return arm64_refusal_report(&refusal, cpu->id);
}

/* MIDR_EL1 as text (Arm DDI 0487, D19.2). */
static void describe_midr(uint64_t midr, char model[ARCH_MODEL_BYTES])
{
	snprintf(model, ARCH_MODEL_BYTES,
		 "implementer %#x, part %#x, revision r%up%u",
		 (unsigned int)(midr >> 24 & 0xff),
		 (unsigned int)(midr >> 4 & 0xfff),
		 (unsigned int)(midr >> 20 & 0xf), (unsigned int)(midr & 0xf));
}

/* The processor model and features, from the ID registers. */
int arch_vcpu_describe(struct snap_reader *r, char model[ARCH_MODEL_BYTES],
		       FILE *features)
{
	struct one_reg reg = { 0 };
	uint32_t version = snap_get_u32(r);
	uint32_t count = snap_get_u32(r);

	if (r->error == 0 && (version != STATE_VERSION || count > REGS_MAX))
		snap_reader_fail(r);
	for (uint32_t i = 0; r->error == 0 && i < count && next_reg(r, &reg);
	     i++) {
		if (!arm64_reg_is_id(reg.id))
			continue;
		if (reg.id == REG_MIDR_EL1)
			describe_midr(get_le64(reg.value), model);
		arm64_features(arm64_id_reg_number(reg.id), get_le64(reg.value),
			       features);
	}
	return r->error;
}

static int load_regs(const struct kvm_vcpu *cpu, struct snap_reader *r)
{
	uint32_t count = snap_get_u32(r);
	struct snap_reader again;
	int err;

	if (r->error == 0 && count > REGS_MAX)
		snap_reader_fail(r);
	if (r->error != 0)
		return r->error;
	again = *r;
	err = load_pass(cpu, &again, count, true);
	return err != 0 ? err : load_pass(cpu, r, count, false);
}

/* Pending exceptions (api.rst, KVM_GET_VCPU_EVENTS). */
static int save_events(const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	struct kvm_vcpu_events events = { 0 };
	int err = kvm_call(cpu->fd, KVM_GET_VCPU_EVENTS, &events);

	if (err < 0)
		return err;
	snap_put_u8(w, events.exception.serror_pending);
	snap_put_u8(w, events.exception.serror_has_esr);
	snap_put_u8(w, events.exception.ext_dabt_pending);
	snap_put_u64(w, events.exception.serror_esr);
	return 0;
}

static int load_events(const struct kvm_vcpu *cpu, struct snap_reader *r)
{
	struct kvm_vcpu_events events = { 0 };
	int err;

	events.exception.serror_pending = snap_get_u8(r);
	events.exception.serror_has_esr = snap_get_u8(r);
	events.exception.ext_dabt_pending = snap_get_u8(r);
	events.exception.serror_esr = snap_get_u64(r);
	if (r->error != 0)
		return r->error;
	err = kvm_call(cpu->fd, KVM_SET_VCPU_EVENTS, &events);
	return err < 0 ? err : 0;
}

/* The stolen time address; all ones: none. */
static void save_pvtime(const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	uint64_t gpa = UINT64_MAX;

	if (kvm_attr_get(cpu->fd, KVM_ARM_VCPU_PVTIME_CTRL,
			 KVM_ARM_VCPU_PVTIME_IPA, &gpa) < 0)
		gpa = UINT64_MAX;
	snap_put_u64(w, gpa);
}

static int load_pvtime(const struct machine *machine,
		       const struct kvm_vcpu *cpu, struct snap_reader *r)
{
	uint64_t gpa = snap_get_u64(r);
	void *hva;
	int err;

	if (r->error != 0 || gpa == UINT64_MAX)
		return r->error;
	/* KVM writes there directly, so the page is filled first. */
	err = memory_map(&machine->memory, align_down(gpa, 64), 64, &hva);
	if (err == 0)
		err = kvm_attr_set(cpu->fd, KVM_ARM_VCPU_PVTIME_CTRL,
				   KVM_ARM_VCPU_PVTIME_IPA, &gpa);
	return err < 0 ?
		       log_errno(-err, "vCPU %u: set stolen time address %#llx",
				 cpu->id, (unsigned long long)gpa) :
		       0;
}

int arch_vcpu_save(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_writer *w)
{
	uint32_t mp_state;
	int err;

	(void)machine;
	snap_put_u32(w, STATE_VERSION);
	err = save_regs(cpu, w);
	if (err == 0)
		err = save_events(cpu, w);
	if (err == 0)
		err = kvm_mp_state_get(cpu, &mp_state);
	if (err < 0)
		return err;
	snap_put_u32(w, mp_state);
	save_pvtime(cpu, w);
	return 0;
}

int arch_vcpu_load(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_reader *r)
{
	uint32_t mp_state;
	int err;

	if (snap_get_u32(r) != STATE_VERSION)
		snap_reader_fail(r);
	if (r->error != 0)
		return r->error;
	err = load_regs(cpu, r);
	if (err == 0)
		err = load_events(cpu, r);
	if (err != 0)
		return err;
	mp_state = snap_get_u32(r);
	if (r->error != 0)
		return r->error;
	err = kvm_mp_state_set(cpu, mp_state);
	return err < 0 ? err : load_pvtime(machine, cpu, r);
}
