/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State save and load; not there yet, and says so.
 */
#include <errno.h>

#include "arch/x86/x86.h"
#include "vmm/base/log.h"

/* Says that it is not there yet. */
static int not_yet(void)
{
	return log_fail(ENOSYS, "x86 state cannot be saved yet");
}

int arch_machine_save(struct machine *machine, struct snap_writer *w)
{
	(void)machine;
	(void)w;
	return not_yet();
}

int arch_machine_load(struct machine *machine, struct snap_reader *r)
{
	(void)machine;
	(void)r;
	return not_yet();
}

int arch_vcpu_save(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_writer *w)
{
	(void)machine;
	(void)cpu;
	(void)w;
	return not_yet();
}

int arch_vcpu_load(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_reader *r)
{
	(void)machine;
	(void)cpu;
	(void)r;
	return not_yet();
}

void arch_vcpu_resume(struct kvm_vcpu *cpu)
{
	(void)cpu;
}
