/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arch seam: what an architecture sees of a machine, and the few functions
 * that it implements.  arch/x86 and arch/arm64 each define all of them; one is
 * linked in, so a missing hook is a link error.
 *
 * The order in which vm/ calls them, on the main thread until vCPUs run:
 *
 *	arch_layout            the address map
 *	arch_ram_ranges        where RAM lies
 *	arch_vm_type           the argument of KVM_CREATE_VM
 *	arch_vm_setup          the VM exists, no memslot yet
 *	(memory_attach)        memslots come before the irqchip, which saves a
 *	                       grace period of some 7 ms
 *	arch_irqchip_create    before the vCPUs
 *	arch_vcpu_setup        for each vCPU, in order of id
 *	arch_irqchip_finish    after the vCPUs
 *	(devices are created)
 *	arch_boot              kernel, initrd, tables, registers
 *	arch_vcpu_exit         from vCPU threads, for exits that are not common
 */
#ifndef VMM_ARCH_H
#define VMM_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/boot/release.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/kvm/kvm.h"
#include "vmm/mem/memory.h"
#include "vmm/mem/plan.h"

struct image;
struct snap_writer;
struct snap_reader;
struct arch_private;

#define MACHINE_CPUS_MAX 255

/* The guest's address map; constant for an architecture. */
struct layout {
	/* PCI: the ECAM window of bus 0 (1 MiB) and the window of the BARs. */
	gpa_t ecam_gpa;
	uint64_t ecam_bytes;
	gpa_t pci_mmio_gpa;
	uint64_t pci_mmio_bytes;
	/* INTx lines of PCI: slot n uses GSI intx_first + n % intx_count. */
	uint32_t intx_first, intx_count;
	/* The 16550: in the port space or the MMIO space. */
	bool serial_is_pio;
	uint64_t serial_base;
	uint32_t serial_gsi;
	/* PL031 real-time clock; 0: the architecture has another clock. */
	gpa_t rtc_gpa;
	uint32_t rtc_gsi;
	/* The platform's power button and generation-id events. */
	uint32_t event_gsi;
	/* The 16 bytes of the VM generation id, in RAM. */
	gpa_t generation_gpa;
	/* Interrupt lines and MSIs. */
	struct irq_map irq_map;
};

/* Why a machine ends by itself. */
enum machine_event {
	MACHINE_POWER_OFF,
	MACHINE_RESET,
	MACHINE_CRASH, /* the guest crashed; already logged */
};

/*
 * A machine as an architecture sees it.  Embedded in struct vm, which owns all
 * of it; @arch is the architecture's own.
 */
struct machine {
	struct kvm kvm;
	struct kvm_vm vm;
	struct memory memory;
	struct bus mmio, pio;
	struct irqs irqs;
	struct layout layout;
	struct kvm_vcpu *cpus; /* cpu_count of them */
	unsigned int cpu_count;
	struct arch_private *arch;
	/*
	 * Makes the machine end; any thread, does not wait.  For the register
	 * writes of a power device.
	 */
	void (*raise)(struct machine *machine, enum machine_event event);
};

/* What is booted; descriptors and strings are the caller's. */
struct boot_config {
	int kernel_fd;
	const char *kernel_name; /* for messages */
	int initrd_fd; /* -1: none */
	const char *initrd_name;
	const char *cmdline; /* never NULL */
	bool has_serial; /* the serial port is there */
};

/* Fills *@layout.  The same for every machine of an architecture. */
void arch_layout(struct layout *layout);

/*
 * Splits @size_bytes of RAM into ranges; their number, or -ERANGE, logged, when
 * the architecture or this KVM does not support as much.
 */
int arch_ram_ranges(const struct kvm *kvm, uint64_t size_bytes,
		    struct memory_range ranges[MEMORY_RANGES_MAX]);

/* The argument of KVM_CREATE_VM for RAM that ends at @ram_end. */
int arch_vm_type(const struct kvm *kvm, gpa_t ram_end, unsigned long *type);

/* See the order above; each returns 0 or -errno, logged. */
int arch_vm_setup(struct machine *machine);
int arch_irqchip_create(struct machine *machine);
int arch_vcpu_setup(struct machine *machine, struct kvm_vcpu *cpu);
int arch_irqchip_finish(struct machine *machine);

/* Frees what the architecture holds; a machine half set up is fine. */
void arch_vm_finish(struct machine *machine);

/*
 * Adds kernel, initrd, command line and tables to @plan, and sets the registers
 * of all vCPUs for the boot protocol.  A bad image, logged: -EINVAL, -ENOEXEC
 * (for another architecture), -EFBIG (does not fit into RAM).
 */
int arch_boot(struct machine *machine, const struct boot_config *boot,
	      struct plan *plan);

/*
 * Finds the release of a Linux kernel image, also of a compressed one; "" if it
 * has none.  0, or -errno, logged: a read, or a compression that this build does
 * not support.  Needs no machine.
 */
int arch_kernel_release(const struct image *image,
			char release[KERNEL_RELEASE_BYTES]);

/* Events that the platform delivers to the guest. */
enum machine_notice {
	MACHINE_NOTICE_POWER_BUTTON,
	MACHINE_NOTICE_GENERATION, /* the generation id has changed */
};
/* Delivers one; the guest sees it when it runs.  Any thread. */
int arch_notify(struct machine *machine, enum machine_notice notice);

enum exit_result {
	EXIT_HANDLED, /* enter the guest again */
	EXIT_UNKNOWN, /* vm/ logs it with the registers, and ends */
};

/* Handles an exit that vm/ does not: port I/O on x86.  vCPU thread. */
enum exit_result arch_vcpu_exit(struct machine *machine, struct kvm_vcpu *cpu);

/*
 * dump: the main registers as lines of text.  exit_reason: details of @cpu's last
 * exit as text, "" for none.  The vCPU is not running.
 */
void arch_vcpu_dump(struct kvm_vcpu *cpu, FILE *to);
const char *arch_exit_reason(const struct kvm_vcpu *cpu);

/* One line of `thaw probe`: a name, whether it is supported, a sentence. */
struct probe_item {
	const char *name;
	bool yes;
	char text[160];
};
/* The lines of the architecture; their number, at most @room. */
size_t arch_probe(const struct kvm *kvm, const struct kvm_vm *vm,
		  struct probe_item *items, size_t room);

/* The architecture's name as in uname(2), also in snapshots. */
const char *arch_name(void);

/* crc32c() of vmm/base/crc32c.h, with instructions of this CPU. */
uint32_t arch_crc32c(uint32_t crc, const void *data, size_t len);

/* The embedded guest: a kernel image for arch_boot(). */
const uint8_t *arch_embedded_guest(size_t *len_bytes);

/*
 * State of a paused machine, in the order that the kernel needs: the machine's part
 * (irqchip, clock), then each vCPU's.  Loading happens after
 * arch_irqchip_finish(), instead of arch_boot().
 */
int arch_machine_save(struct machine *machine, struct snap_writer *w);
int arch_machine_load(struct machine *machine, struct snap_reader *r);
int arch_vcpu_save(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_writer *w);
int arch_vcpu_load(struct machine *machine, struct kvm_vcpu *cpu,
		   struct snap_reader *r);
/*
 * A guest's clocks.  stop: all vCPUs have just been parked; records the clocks,
 * for a snapshot as well.  start: sets them to what was recorded or loaded,
 * ahead by the wall time that has passed since if @follow, and arms their
 * timers; no device raises an interrupt meanwhile, and the vCPUs run right
 * after it.  0 or -errno, logged.
 */
int arch_clocks_stop(struct machine *machine);
int arch_clocks_start(struct machine *machine, bool follow);
/* Before the first entry after a restore or a pause (KVM_KVMCLOCK_CTRL). */
void arch_vcpu_resume(struct kvm_vcpu *cpu);

#define ARCH_MODEL_BYTES 160
/*
 * The CPU that arch_vcpu_save() wrote to @r, as text: its model, and to @features
 * the name of each feature on a line.  Needs no KVM; @r is untrusted: -EBADMSG,
 * not logged.
 */
int arch_vcpu_describe(struct snap_reader *r, char model[ARCH_MODEL_BYTES],
		       FILE *features);

#endif
