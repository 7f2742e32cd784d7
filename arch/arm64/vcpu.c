/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One vCPU: initialisation, PMU, arm64-specific exits, register dump.
 * Initialised on the main thread, then used by its own thread.
 */
#include <errno.h>
#include <inttypes.h>

#include "arch/arm64/layout.h"
#include "arch/arm64/private.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

int arch_vcpu_setup(struct machine *machine, struct kvm_vcpu *cpu)
{
	struct kvm_vcpu_init init = machine->arch->init;
	int sve = KVM_ARM_VCPU_SVE;
	int err;

	/* The first vCPU starts the others by PSCI. */
	if (cpu->id != 0)
		init.features[0] |= 1U << KVM_ARM_VCPU_POWER_OFF;
	err = kvm_call(cpu->fd, KVM_ARM_VCPU_INIT, &init);
	if (err == 0 && arm64_has_feature(machine->arch, KVM_ARM_VCPU_SVE))
		err = kvm_call(cpu->fd, KVM_ARM_VCPU_FINALIZE, &sve);
	return err < 0 ? err : 0;
}

/* Sets the interrupt of a PMU and initialises it (devices/vcpu.rst, 1). */
static int pmu_init(const struct kvm_vcpu *cpu)
{
	const int irq = ARM64_PMU_INTID;
	int err = kvm_attr_set(cpu->fd, KVM_ARM_VCPU_PMU_V3_CTRL,
			       KVM_ARM_VCPU_PMU_V3_IRQ, &irq);

	if (err == 0)
		err = kvm_attr_set(cpu->fd, KVM_ARM_VCPU_PMU_V3_CTRL,
				   KVM_ARM_VCPU_PMU_V3_INIT, NULL);
	return err < 0 ? log_errno(-err, "vCPU %u: set up the PMU", cpu->id) :
			 0;
}

int arm64_pmu_finish(struct machine *machine)
{
	int err = 0;

	if (!arm64_has_feature(machine->arch, KVM_ARM_VCPU_PMU_V3))
		return 0;
	for (unsigned int i = 0; i < machine->cpu_count && err == 0; i++)
		err = pmu_init(&machine->cpus[i]);
	return err;
}

enum exit_result arch_vcpu_exit(struct machine *machine, struct kvm_vcpu *cpu)
{
	const struct kvm_run *run = cpu->run;

	(void)machine;
	if (run->exit_reason == KVM_EXIT_ARM_NISV)
		log_error("vCPU %u: access outside memory at guest address "
			  "%#llx without instruction syndrome (ISS %#llx)",
			  cpu->id, (unsigned long long)run->arm_nisv.fault_ipa,
			  (unsigned long long)run->arm_nisv.esr_iss);
	return EXIT_UNKNOWN;
}

const char *arch_exit_reason(const struct kvm_vcpu *cpu)
{
	const struct kvm_run *run = cpu->run;

	if (run->exit_reason == KVM_EXIT_ARM_NISV)
		return "access outside memory without instruction syndrome: a "
		       "load or store with writeback, of a pair, or of a "
		       "vector register";
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY &&
	    run->fail_entry.hardware_entry_failure_reason &
		    KVM_EXIT_FAIL_ENTRY_CPU_UNSUPPORTED)
		return "the host CPU lacks a feature of the vCPU (usually its "
		       "PMU: pin thaw to CPUs of one type)";
	return "";
}

/* Registers of a dump besides x0 to x30. */
static const struct named_reg {
	const char *name;
	uint64_t id;
} dump_regs[] = {
	{ "pc", CORE_REG(regs.pc) },	  { "pstate", CORE_REG(regs.pstate) },
	{ "sp_el0", CORE_REG(regs.sp) },  { "sp_el1", CORE_REG(sp_el1) },
	{ "elr_el1", CORE_REG(elr_el1) }, { "esr_el1", REG_ESR_EL1 },
	{ "far_el1", REG_FAR_EL1 },	  { "vbar_el1", REG_VBAR_EL1 },
	{ "sctlr_el1", REG_SCTLR_EL1 },	  { "mpidr_el1", REG_MPIDR_EL1 },
	{ "ttbr0_el1", REG_TTBR0_EL1 },	  { "ttbr1_el1", REG_TTBR1_EL1 },
};

/* Prints one register; dashes if KVM refuses it. */
static void dump_one(const struct kvm_vcpu *cpu, const char *name, uint64_t id,
		     FILE *to)
{
	uint64_t value;

	if (arm64_reg_get(cpu, id, &value) == 0)
		fprintf(to, "%9s %016" PRIx64, name, value);
	else
		fprintf(to, "%9s ----------------", name);
}

void arch_vcpu_dump(struct kvm_vcpu *cpu, FILE *to)
{
	char name[8];

	for (size_t i = 0; i < ARRAY_SIZE(dump_regs); i++) {
		dump_one(cpu, dump_regs[i].name, dump_regs[i].id, to);
		fputc(i % 2 != 0 ? '\n' : ' ', to);
	}
	for (unsigned int n = 0; n <= 30; n++) {
		snprintf(name, sizeof(name), "x%u", n);
		dump_one(cpu, name, CORE_X(n), to);
		fputc(n % 2 != 0 || n == 30 ? '\n' : ' ', to);
	}
}

void arch_vcpu_resume(struct kvm_vcpu *cpu)
{
	/* arm64 has no paravirtual clock to notify. */
	(void)cpu;
}
