/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State of one vCPU, saved and loaded.
 *
 * The vCPU does not run; any one thread.
 *
 * Save: first the run state, because KVM_GET_MP_STATE makes KVM process a
 * pending INIT or SIPI, which changes the rest; last the pending events.
 *
 * Load: CPUID first, since other state depends on it; the control registers,
 * with the LAPIC mode; XCR0 before the state that it enables; the LAPIC before
 * the MSRs; run state and events last. arch_clocks_start() sets the TSC and the
 * timers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/clock.h"
#include "arch/x86/fields.h"
#include "arch/x86/msr.h"
#include "arch/x86/state.h"
#include "arch/x86/x86.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/snap/section.h"

/* Legacy area and header (Intel SDM volume 1, 13.4); AMX has 11 KiB. */
#define XSAVE_BYTES	4096
#define XSAVE_BYTES_MAX (64 * KIB)

#define SEGMENT(in, segment)                                          \
	FIELD(in, segment.base), FIELD(in, segment.limit),            \
		FIELD(in, segment.selector), FIELD(in, segment.type), \
		FIELD(in, segment.present), FIELD(in, segment.dpl),   \
		FIELD(in, segment.db), FIELD(in, segment.s),          \
		FIELD(in, segment.l), FIELD(in, segment.g),           \
		FIELD(in, segment.avl), FIELD(in, segment.unusable)

static const struct field regs_fields[] = {
	FIELD(struct kvm_regs, rax), FIELD(struct kvm_regs, rbx),
	FIELD(struct kvm_regs, rcx), FIELD(struct kvm_regs, rdx),
	FIELD(struct kvm_regs, rsi), FIELD(struct kvm_regs, rdi),
	FIELD(struct kvm_regs, rsp), FIELD(struct kvm_regs, rbp),
	FIELD(struct kvm_regs, r8),  FIELD(struct kvm_regs, r9),
	FIELD(struct kvm_regs, r10), FIELD(struct kvm_regs, r11),
	FIELD(struct kvm_regs, r12), FIELD(struct kvm_regs, r13),
	FIELD(struct kvm_regs, r14), FIELD(struct kvm_regs, r15),
	FIELD(struct kvm_regs, rip), FIELD(struct kvm_regs, rflags),
};

static const struct field sregs_fields[] = {
	SEGMENT(struct kvm_sregs2, cs),
	SEGMENT(struct kvm_sregs2, ds),
	SEGMENT(struct kvm_sregs2, es),
	SEGMENT(struct kvm_sregs2, fs),
	SEGMENT(struct kvm_sregs2, gs),
	SEGMENT(struct kvm_sregs2, ss),
	SEGMENT(struct kvm_sregs2, tr),
	SEGMENT(struct kvm_sregs2, ldt),
	FIELD(struct kvm_sregs2, gdt.base),
	FIELD(struct kvm_sregs2, gdt.limit),
	FIELD(struct kvm_sregs2, idt.base),
	FIELD(struct kvm_sregs2, idt.limit),
	FIELD(struct kvm_sregs2, cr0),
	FIELD(struct kvm_sregs2, cr2),
	FIELD(struct kvm_sregs2, cr3),
	FIELD(struct kvm_sregs2, cr4),
	FIELD(struct kvm_sregs2, cr8),
	FIELD(struct kvm_sregs2, efer),
	FIELD(struct kvm_sregs2, apic_base),
	FIELD(struct kvm_sregs2, flags),
	FIELDS(struct kvm_sregs2, pdptrs),
};

static const struct field debug_fields[] = {
	FIELDS(struct kvm_debugregs, db),
	FIELD(struct kvm_debugregs, dr6),
	FIELD(struct kvm_debugregs, dr7),
	FIELD(struct kvm_debugregs, flags),
};

static const struct field event_fields[] = {
	FIELD(struct kvm_vcpu_events, exception.injected),
	FIELD(struct kvm_vcpu_events, exception.nr),
	FIELD(struct kvm_vcpu_events, exception.has_error_code),
	FIELD(struct kvm_vcpu_events, exception.pending),
	FIELD(struct kvm_vcpu_events, exception.error_code),
	FIELD(struct kvm_vcpu_events, interrupt.injected),
	FIELD(struct kvm_vcpu_events, interrupt.nr),
	FIELD(struct kvm_vcpu_events, interrupt.soft),
	FIELD(struct kvm_vcpu_events, interrupt.shadow),
	FIELD(struct kvm_vcpu_events, nmi.injected),
	FIELD(struct kvm_vcpu_events, nmi.pending),
	FIELD(struct kvm_vcpu_events, nmi.masked),
	FIELD(struct kvm_vcpu_events, sipi_vector),
	FIELD(struct kvm_vcpu_events, flags),
	FIELD(struct kvm_vcpu_events, smi.smm),
	FIELD(struct kvm_vcpu_events, smi.pending),
	FIELD(struct kvm_vcpu_events, smi.smm_inside_nmi),
	FIELD(struct kvm_vcpu_events, smi.latched_init),
	FIELD(struct kvm_vcpu_events, triple_fault.pending),
	FIELD(struct kvm_vcpu_events, exception_has_payload),
	FIELD(struct kvm_vcpu_events, exception_payload),
};

static const struct field xcr_fields[] = {
	FIELD(struct kvm_xcr, xcr),
	FIELD(struct kvm_xcr, value),
};

/* A structure with a get and a set ioctl. */
#define SAVE(cpu, w, request, type, rows)                          \
	save_simple(cpu, w, request, #request, &(type){ 0 }, rows, \
		    ARRAY_SIZE(rows))
#define LOAD(cpu, r, request, type, rows)                          \
	load_simple(cpu, r, request, #request, &(type){ 0 }, rows, \
		    ARRAY_SIZE(rows))

static int save_simple(const struct kvm_vcpu *cpu, struct snap_writer *w,
		       unsigned long request, const char *name, void *state,
		       const struct field *rows, size_t count)
{
	int err = kvm_ioctl_named(cpu->fd, request, state, name);

	fields_put(w, rows, count, state);
	return err < 0 ? err : 0;
}

static int load_simple(const struct kvm_vcpu *cpu, struct snap_reader *r,
		       unsigned long request, const char *name, void *state,
		       const struct field *rows, size_t count)
{
	int err;

	fields_get(r, rows, count, state);
	if (r->error)
		return -EBADMSG;
	err = kvm_ioctl_named(cpu->fd, request, state, name);
	return err < 0 ? err : 0;
}

/* ---- run state ---- */

static int save_mp_state(const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	uint32_t mp_state;
	int err = kvm_mp_state_get(cpu, &mp_state);

	snap_put_u32(w, mp_state);
	return err < 0 ? err : 0;
}

static int load_mp_state(const struct kvm_vcpu *cpu, uint32_t mp_state)
{
	int err = kvm_mp_state_set(cpu, mp_state);

	return err < 0 ? err : 0;
}

/* ---- control registers ---- */

/* The common prefix of struct kvm_sregs and struct kvm_sregs2. */
#define SREGS_COMMON offsetof(struct kvm_sregs2, flags)
_Static_assert(SREGS_COMMON == offsetof(struct kvm_sregs, interrupt_bitmap),
	       "sregs and sregs2 differ");

static int save_sregs(const struct machine *machine, const struct kvm_vcpu *cpu,
		      struct snap_writer *w)
{
	struct kvm_sregs2 sregs2 = { 0 };
	struct kvm_sregs sregs;
	int err;

	if (machine->arch->has_sregs2) {
		err = kvm_call(cpu->fd, KVM_GET_SREGS2, &sregs2);
	} else {
		err = kvm_call(cpu->fd, KVM_GET_SREGS, &sregs);
		if (err >= 0)
			memcpy(&sregs2, &sregs, SREGS_COMMON);
	}
	fields_put(w, sregs_fields, ARRAY_SIZE(sregs_fields), &sregs2);
	return err < 0 ? err : 0;
}

static int load_sregs(const struct machine *machine, const struct kvm_vcpu *cpu,
		      struct snap_reader *r)
{
	struct kvm_sregs2 sregs2 = { 0 };
	struct kvm_sregs sregs = { 0 };
	int err;

	fields_get(r, sregs_fields, ARRAY_SIZE(sregs_fields), &sregs2);
	if (r->error)
		return -EBADMSG;
	if (machine->arch->has_sregs2) {
		err = kvm_call(cpu->fd, KVM_SET_SREGS2, &sregs2);
	} else {
		memcpy(&sregs, &sregs2, SREGS_COMMON);
		err = kvm_call(cpu->fd, KVM_SET_SREGS, &sregs);
	}
	return err < 0 ? err : 0;
}

/* ---- vector state ---- */

static int save_xcrs(const struct kvm_vcpu *cpu, struct snap_writer *w)
{
	struct kvm_xcrs xcrs = { 0 };
	int err = kvm_ioctl(cpu->fd, KVM_GET_XCRS, &xcrs);

	/* Processors without XSAVE have no XCRs. */
	if (err < 0)
		xcrs.nr_xcrs = 0;
	snap_put_u32(w, xcrs.nr_xcrs);
	for (uint32_t i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++)
		fields_put(w, xcr_fields, ARRAY_SIZE(xcr_fields),
			   &xcrs.xcrs[i]);
	return 0;
}

static int load_xcrs(const struct kvm_vcpu *cpu, struct snap_reader *r)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = snap_get_u32(r) };
	int err;

	if (xcrs.nr_xcrs > KVM_MAX_XCRS)
		snap_reader_fail(r);
	for (uint32_t i = 0; i < xcrs.nr_xcrs && !r->error; i++)
		fields_get(r, xcr_fields, ARRAY_SIZE(xcr_fields),
			   &xcrs.xcrs[i]);
	if (r->error)
		return -EBADMSG;
	if (!xcrs.nr_xcrs)
		return 0;
	err = kvm_call(cpu->fd, KVM_SET_XCRS, &xcrs);
	return err < 0 ? err : 0;
}

/* Size of KVM's XSAVE area. */
static size_t xsave_bytes(const struct machine *machine)
{
	return max_u64(machine->arch->xsave_bytes, XSAVE_BYTES);
}

static int save_xsave(const struct machine *machine, const struct kvm_vcpu *cpu,
		      struct snap_writer *w)
{
	size_t len = xsave_bytes(machine);
	CLEANUP_FREE uint8_t *area = calloc(1, len);
	int err;

	if (!area)
		return log_errno(ENOMEM, "vCPU %u: vector state", cpu->id);
	err = machine->arch->xsave_bytes ?
		      kvm_call(cpu->fd, KVM_GET_XSAVE2, area) :
		      kvm_call(cpu->fd, KVM_GET_XSAVE, area);
	snap_put_blob(w, area, len);
	return err < 0 ? err : 0;
}

static int load_xsave(const struct machine *machine, const struct kvm_vcpu *cpu,
		      struct snap_reader *r)
{
	size_t room = xsave_bytes(machine), len = 0;
	CLEANUP_FREE uint8_t *area = calloc(1, room);
	const uint8_t *saved = snap_get_blob(r, XSAVE_BYTES_MAX, &len);
	int err;

	if (!area)
		return log_errno(ENOMEM, "vCPU %u: vector state", cpu->id);
	if (!saved || len < XSAVE_BYTES)
		return -EBADMSG;
	if (len > room)
		return log_fail(EOPNOTSUPP,
				"snapshot needs %zu bytes of vector state; "
				"this host has %zu",
				len, room);
	memcpy(area, saved, len);
	err = kvm_call(cpu->fd, KVM_SET_XSAVE, area);
	return err < 0 ? err : 0;
}

/* ---- local APIC ---- */

/* The timer has counted since the vCPU was parked: use the recorded count. */
static int save_lapic(const struct cpu_clock *clock, const struct kvm_vcpu *cpu,
		      struct snap_writer *w)
{
	struct kvm_lapic_state lapic = { 0 };
	int err = kvm_call(cpu->fd, KVM_GET_LAPIC, &lapic);

	if (clock->timer_count)
		put_le32(lapic.regs + LAPIC_TIMER_COUNT, clock->timer_count);
	/* 32-bit registers, 16 bytes apart. */
	snap_put_bytes(w, lapic.regs, sizeof(lapic.regs));
	return err < 0 ? err : 0;
}

static int load_lapic(struct cpu_clock *clock, const struct kvm_vcpu *cpu,
		      struct snap_reader *r)
{
	struct kvm_lapic_state lapic = { 0 };
	int err;

	snap_get_bytes(r, lapic.regs, sizeof(lapic.regs));
	if (r->error)
		return -EBADMSG;
	clock->timer_count = get_le32(lapic.regs + LAPIC_TIMER_COUNT);
	err = kvm_call(cpu->fd, KVM_SET_LAPIC, &lapic);
	return err < 0 ? err : 0;
}

/* ---- all of it ---- */

int arch_vcpu_save(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_writer *w)
{
	const struct cpu_clock *clock = &machine->arch->clocks->cpus[cpu->id];
	int err = save_mp_state(cpu, w);

	if (!err)
		err = cpuid_save(cpu, w);
	if (!err)
		err = save_sregs(machine, cpu, w);
	if (!err)
		err = save_xcrs(cpu, w);
	if (!err)
		err = save_xsave(machine, cpu, w);
	if (!err)
		err = SAVE(cpu, w, KVM_GET_REGS, struct kvm_regs, regs_fields);
	if (!err)
		err = SAVE(cpu, w, KVM_GET_DEBUGREGS, struct kvm_debugregs,
			   debug_fields);
	if (!err)
		err = save_lapic(clock, cpu, w);
	if (!err)
		err = msrs_save(machine->arch, &machine->kvm, cpu, w);
	tsc_save(clock, w);
	if (!err)
		err = SAVE(cpu, w, KVM_GET_VCPU_EVENTS, struct kvm_vcpu_events,
			   event_fields);
	return err ? err : w->error;
}

int arch_vcpu_load(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_reader *r)
{
	struct cpu_clock *clock = &machine->arch->clocks->cpus[cpu->id];
	uint32_t mp_state = snap_get_u32(r);
	int err = cpuid_load(cpu, r);

	if (!err)
		err = load_sregs(machine, cpu, r);
	if (!err)
		err = load_xcrs(cpu, r);
	if (!err)
		err = load_xsave(machine, cpu, r);
	if (!err)
		err = LOAD(cpu, r, KVM_SET_REGS, struct kvm_regs, regs_fields);
	if (!err)
		err = LOAD(cpu, r, KVM_SET_DEBUGREGS, struct kvm_debugregs,
			   debug_fields);
	if (!err)
		err = load_lapic(clock, cpu, r);
	if (!err)
		err = msrs_load(cpu, r);
	if (!err)
		err = tsc_load(clock, r);
	if (!err)
		err = load_mp_state(cpu, mp_state);
	if (!err)
		err = LOAD(cpu, r, KVM_SET_VCPU_EVENTS, struct kvm_vcpu_events,
			   event_fields);
	if (!err)
		err = snap_reader_error(r);
	if (!err)
		tsc_set_rate(clock, cpu);
	return err;
}

/* The CPUID table follows the run state. */
int arch_vcpu_describe(struct snap_reader *r, char model[ARCH_MODEL_BYTES],
		       FILE *features)
{
	snap_get_u32(r);
	return cpuid_describe(r, model, ARCH_MODEL_BYTES, features);
}

/*
 * Sets the guest-stopped flag of kvmclock, so that the guest's watchdogs ignore
 * the gap.  KVM refuses it for a guest without kvmclock.
 */
void arch_vcpu_resume(struct kvm_vcpu *cpu)
{
	kvm_ioctl(cpu->fd, KVM_KVMCLOCK_CTRL, NULL);
}
