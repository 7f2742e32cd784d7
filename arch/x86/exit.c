/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-specific exits and the register dump.
 *
 * vCPU thread.  The guest is hostile, but KVM bounds its requests: size is 1, 2
 * or 4, and count elements are in the run page.
 */
#include <inttypes.h>

#include "arch/x86/x86.h"
#include "vmm/base/log.h"

/* One IN or OUT, or all elements of a string instruction. */
static void handle_io(struct machine *machine, struct kvm_vcpu *cpu)
{
	struct kvm_run *run = cpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;
	bool known = true;

	if (!range_within(run->io.data_offset, (uint64_t)size * run->io.count,
			  cpu->run_bytes))
		return;
	for (uint32_t i = 0; i < run->io.count; i++, data += size)
		if (run->io.direction == KVM_EXIT_IO_OUT)
			known &= bus_write(&machine->pio, run->io.port, data,
					   size);
		else
			known &= bus_read(&machine->pio, run->io.port, data,
					  size);
	if (!known)
		log_debug("vCPU %u: port 0x%x: no device", cpu->id,
			  run->io.port);
}

enum exit_result arch_vcpu_exit(struct machine *machine, struct kvm_vcpu *cpu)
{
	if (cpu->run->exit_reason != KVM_EXIT_IO)
		return EXIT_UNKNOWN;
	handle_io(machine, cpu);
	return EXIT_HANDLED;
}

const char *arch_exit_reason(const struct kvm_vcpu *cpu)
{
	const struct kvm_run *run = cpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_FAIL_ENTRY:
		/* Intel SDM volume 3, 26.8: bit 31 and basic reason 33. */
		if (run->fail_entry.hardware_entry_failure_reason ==
		    UINT64_C(0x80000021))
			return "invalid guest state";
		return "";
	case KVM_EXIT_HLT:
		return "halted without an in-kernel interrupt controller";
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_TPR_ACCESS:
		return "task priority access";
	default:
		return "";
	}
}

static void dump_segment(FILE *to, const char *name,
			 const struct kvm_segment *s)
{
	fprintf(to,
		"%s %04x base %016llx limit %08x type %x dpl %u l %u db %u\n",
		name, s->selector, (unsigned long long)s->base, s->limit,
		s->type, s->dpl, s->l, s->db);
}

static void dump_general(FILE *to, const struct kvm_regs *r)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "rip", r->rip }, { "rsp", r->rsp }, { "rfl", r->rflags },
		{ "rax", r->rax }, { "rbx", r->rbx }, { "rcx", r->rcx },
		{ "rdx", r->rdx }, { "rsi", r->rsi }, { "rdi", r->rdi },
		{ "rbp", r->rbp }, { "r8 ", r->r8 },  { "r9 ", r->r9 },
		{ "r10", r->r10 }, { "r11", r->r11 }, { "r12", r->r12 },
		{ "r13", r->r13 }, { "r14", r->r14 }, { "r15", r->r15 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		fprintf(to, "%s %016" PRIx64 "%c", rows[i].name, rows[i].value,
			i % 3 == 2 ? '\n' : ' ');
}

void arch_vcpu_dump(struct kvm_vcpu *cpu, FILE *to)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (kvm_call(cpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_call(cpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	dump_general(to, &regs);
	fprintf(to, "cr0 %016llx cr2 %016llx cr3 %016llx\n",
		(unsigned long long)sregs.cr0, (unsigned long long)sregs.cr2,
		(unsigned long long)sregs.cr3);
	fprintf(to, "cr4 %016llx cr8 %016llx efer %016llx\n",
		(unsigned long long)sregs.cr4, (unsigned long long)sregs.cr8,
		(unsigned long long)sregs.efer);
	dump_segment(to, "cs", &sregs.cs);
	dump_segment(to, "ss", &sregs.ss);
	fprintf(to, "gdt %016llx+%x idt %016llx+%x\n",
		(unsigned long long)sregs.gdt.base, sregs.gdt.limit,
		(unsigned long long)sregs.idt.base, sregs.idt.limit);
}
