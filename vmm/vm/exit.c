/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handling of exits from KVM_RUN, on the vCPU's thread.
 *
 * Exits common to both architectures are here; the rest goes to
 * arch_vcpu_exit().  An exit that neither handles ends the VM, with the
 * reason and the registers logged.
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

/* How long to wait for the guest's last output. */
#define LAST_OUTPUT_NS NS_PER_S

/* Logs each line of @text. */
static void log_lines(char *text)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_error("  %s", line);
}

/* Logs the reason and the registers, and ends the VM. */
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
	/* Only the first vCPU reports. */
	if (atomic_load(&vcpu->vm->phase) == VM_PHASE_END)
		return;
	/* Lost memory makes a guest fail in any way, and is the reason then. */
	if (vm_mapped_check(vcpu->vm))
		return;
	/*
	 * The guest's last output comes before the report, unless the loop is
	 * blocked on a page.
	 */
	loop_sync(vcpu->vm->loop, LAST_OUTPUT_NS);
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
		log_debug("vCPU %u: %s of %u bytes at 0x%llx: no device",
			  vcpu->cpu->id, run->mmio.is_write ? "write" : "read",
			  size, (unsigned long long)run->mmio.phys_addr);
}

/* Power requests of the guest (PSCI and the like). */
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
		give_up(vcpu, VM_END_CRASH, "guest reported a crash");
		break;
	default:
		give_up(vcpu, VM_END_CRASH, "system event %u",
			run->system_event.type);
	}
}

/* Sixteen 64-bit numbers, with " 0x" each, and ", data". */
#define INTERNAL_DATA_TEXT (16 * 19 + 8)

/* What the data mean depends on the error and on the processor's vendor. */
static void handle_internal_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->cpu->run;
	static const char *const names[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "instruction not emulated",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "simultaneous exceptions",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "exit during event delivery",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] =
			"unexpected exit reason",
	};
	uint32_t which = run->internal.suberror;
	const char *name = which < ARRAY_SIZE(names) ? names[which] : NULL;
	char data[INTERNAL_DATA_TEXT] = "";

	for (size_t i = 0, at = 0;
	     i < run->internal.ndata && i < ARRAY_SIZE(run->internal.data); i++)
		at += sprintf(data + at, "%s0x%llx", i ? " " : ", data ",
			      (unsigned long long)run->internal.data[i]);
	give_up(vcpu, VM_END_CRASH, "KVM internal error %u (%s)%s", which,
		name ? name : "unknown", data);
}

/*
 * Has the pager fill an absent page; false if it is not in RAM.  The pager reports a
 * page that is unavailable, and ends the VM.  What was filled around the page is
 * mapped at once, where KVM can: else each of its pages costs a fault in the host.
 */
static bool fill_absent(struct vcpu *vcpu, gpa_t gpa)
{
	struct memory_range filled;
	int r = pager_vcpu_fault(vcpu->vm->pager, vcpu->cpu->id, gpa, &filled);

	if (filled.size_bytes > PAGE_BYTES && !vcpu->no_prefault)
		vcpu->no_prefault =
			kvm_vcpu_prefault(vcpu->cpu, filled.gpa,
					  filled.size_bytes) == -EOPNOTSUPP;
	return r != -EFAULT;
}

/* KVM_RUN failed with @err; EFAULT: a memory fault, such as an absent page. */
static void handle_failure(struct vcpu *vcpu, int err)
{
	struct thaw_memory_fault fault;
	bool known = err == EFAULT && kvm_vcpu_fault(vcpu->cpu, &fault);

	if (known && vcpu->vm->pager &&
	    (fault.flags & THAW_MEMORY_FAULT_USERFAULT) &&
	    fill_absent(vcpu, fault.gpa))
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

static void handle_other(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->cpu->run;

	if (arch_vcpu_exit(&vcpu->vm->machine, vcpu->cpu) == EXIT_UNKNOWN)
		give_up(vcpu, VM_END_CRASH, "unknown exit reason %u",
			run->exit_reason);
}

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
		give_up(vcpu, VM_END_CRASH, "triple fault");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_internal_error(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		give_up(vcpu, VM_END_CRASH,
			"guest entry failed, hardware reason 0x%llx",
			(unsigned long long)
				run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		vcpu->unfinished = true;
		handle_other(vcpu);
	}
}
