/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vCPU does with an exit.  Runs on the vCPU's thread.
 *
 * The exits that both architectures share are here; the rest goes to
 * arch_vcpu_exit().  An exit that nobody understands ends the machine with the
 * reason in words and the registers.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/bus/loop.h"
#include "vmm/vm/private.h"

/* How long the guest's last output is waited for. */
#define LAST_WORDS_NS NS_PER_S

/* Logs text of many lines, one line at a time. */
static void log_lines(char *text)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_error("  %s", line);
}

/* A call that only has the loop handle the events before it. */
static void nothing(void *ctx)
{
	(void)ctx;
}

/* Says that the guest cannot go on, shows where it was, ends the machine. */
static void __attribute__((format(printf, 3, 4)))
give_up(struct vcpu *vcpu, enum vm_end_kind kind, const char *format, ...)
{
	CLEANUP_FREE char *text = NULL;
	size_t len;
	char why[256];
	const char *words = arch_exit_reason(vcpu->cpu);
	va_list ap;
	FILE *to;

	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	/* One vCPU's story is enough; the others stop in silence. */
	if (atomic_load(&vcpu->vm->phase) == VM_PHASE_END)
		return;
	/* A guest whose memory has gone fails in any way. */
	if (vm_mapped_check(vcpu->vm))
		return;
	/*
	 * What the guest said last comes before what we say of it, unless the
	 * loop stands still for a page.
	 */
	loop_call_within(vcpu->vm->loop, nothing, NULL, LAST_WORDS_NS);
	log_error("vCPU %u: %s%s%s", vcpu->cpu->id, why, *words ? ": " : "",
		  words);
	to = open_memstream(&text, &len);
	if (to) {
		arch_vcpu_dump(vcpu->cpu, to);
		fclose(to);
		log_lines(text);
	}
	vm_end(vcpu->vm, kind, 0);
}

/* A memory-mapped access. */
static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->cpu->run;
	struct bus *bus = &vcpu->vm->machine.mmio;
	unsigned int size = run->mmio.len > 8 ? 8 : run->mmio.len;
	bool known;

	if (run->mmio.is_write)
		known = bus_write(bus, run->mmio.phys_addr, run->mmio.data,
				  size);
	else
		known = bus_read(bus, run->mmio.phys_addr, run->mmio.data,
				 size);
	if (!known)
		log_debug("vCPU %u: %s of %u bytes at 0x%llx: nobody there",
			  vcpu->cpu->id, run->mmio.is_write ? "write" : "read",
			  size, (unsigned long long)run->mmio.phys_addr);
}

/* The guest's firmware calls for power (PSCI and kin). */
static void handle_system_event(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->cpu->run;

	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_end(vcpu->vm, VM_END_POWER_OFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_end(vcpu->vm, VM_END_RESET, 0);
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		give_up(vcpu, VM_END_CRASH, "the guest says that it crashed");
		break;
	default:
		give_up(vcpu, VM_END_CRASH, "system event %u",
			run->system_event.type);
	}
}

/* KVM could not go on. */
static void handle_internal_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->cpu->run;
	static const char *const words[] = {
		[KVM_INTERNAL_ERROR_EMULATION] =
			"an instruction that KVM cannot emulate",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "simultaneous exceptions",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] =
			"an exit during the delivery of an event",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] =
			"an unexpected exit of the processor",
	};
	uint32_t which = run->internal.suberror;
	const char *word = which < ARRAY_SIZE(words) ? words[which] : NULL;

	give_up(vcpu, VM_END_CRASH, "KVM internal error %u (%s)", which,
		word ? word : "unknown");
}

/* KVM_RUN failed, or a page is absent. */
static void handle_failure(struct vcpu *vcpu, int err)
{
	struct pager *pager = vcpu->vm->pager;
	struct thaw_memory_fault fault;
	bool known = err == EFAULT && kvm_vcpu_fault(vcpu->cpu, &fault);

	/* The pager reports a page that is unavailable, and ends the machine. */
	if (known && pager && (fault.flags & THAW_MEMORY_FAULT_USERFAULT) &&
	    pager_vcpu_fault(pager, vcpu->cpu->id, fault.gpa) != -EFAULT)
		return;
	if (err == EFAULT && vm_mapped_fault(vcpu->vm, known ? fault.gpa : 0))
		return;
	if (known)
		give_up(vcpu, VM_END_HOST,
			"memory fault at 0x%llx, flags 0x%llx",
			(unsigned long long)fault.gpa,
			(unsigned long long)fault.flags);
	else
		give_up(vcpu, VM_END_HOST, "KVM_RUN: %s", strerror(err));
}

/* Exits that only the architecture knows. */
static void handle_other(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->cpu->run;

	if (arch_vcpu_exit(&vcpu->vm->machine, vcpu->cpu) == EXIT_UNKNOWN)
		give_up(vcpu, VM_END_CRASH, "exit %u is not understood",
			run->exit_reason);
}

/* Handles one exit. */
void vcpu_handle_exit(struct vcpu *vcpu, int result)
{
	struct kvm_run *run = vcpu->cpu->run;

	if (result < 0) {
		handle_failure(vcpu, -result);
		return;
	}
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		vcpu->unfinished = true;
		handle_other(vcpu);
		break;
	case KVM_EXIT_MMIO:
		vcpu->unfinished = true;
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	case KVM_EXIT_SHUTDOWN:
		give_up(vcpu, VM_END_CRASH,
			"the guest shut down on a triple fault");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_internal_error(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		give_up(vcpu, VM_END_CRASH,
			"the processor refused to enter the guest, reason "
			"0x%llx",
			(unsigned long long)
				run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		vcpu->unfinished = true;
		handle_other(vcpu);
	}
}
