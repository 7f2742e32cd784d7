/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PCI function: its config space, BARs, capabilities and interrupts
 * (PCI Local Bus Specification 3.0; "PCI" with a section below is that one).
 *
 * A device embeds a struct pci_function, describes it with pci_function_init(),
 * _bar(), _capability() and _msix(), and then attaches it to the host, after
 * which the guest reaches it.  All BARs are 32-bit memory.
 *
 * Threads and locks.  Config space and BAR placement are guarded by the host's
 * lock; interrupts (MSI-X, INTx) by the function's own irq_lock.  Taken in that
 * order; neither is held during an access to a BAR or during config_touch(), and
 * under neither is guest memory touched.  Descriptions are made by one thread
 * before attaching.
 */
#ifndef VMM_PCI_FUNCTION_H
#define VMM_PCI_FUNCTION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/memory.h"

struct pci_function;
struct pci_host;
struct snap_reader;
struct snap_writer;

#define PCI_BARS	  6
#define PCI_CONFIG_BYTES  256 /* beyond it a plain PCI function has nothing */
#define PCI_MSIX_MAX	  128 /* vectors: table and PBA share 4 KiB */
#define PCI_MSIX_BAR_SIZE 4096
#define PCI_MSIX_PBA_AT	  2048

/* What a function does; @ctx is what pci_function_init() was given. */
struct pci_function_ops {
	/*
	 * An access of a BAR (not the MSI-X one), as struct bus_ops says: 1, 2,
	 * 4 or 8 bytes at any offset.  vCPU thread, no lock held.
	 */
	uint64_t (*bar_read)(void *ctx, unsigned int bar, uint64_t offset,
			     unsigned int size);
	void (*bar_write)(void *ctx, unsigned int bar, uint64_t offset,
			  unsigned int size, uint64_t value);
	/*
	 * The BAR is decoded at @gpa from now on, or no longer.  Host's lock
	 * held.  May be NULL.
	 */
	void (*bar_moved)(void *ctx, unsigned int bar, gpa_t gpa, bool decoded);
	/*
	 * Called after a config write of @size bytes at @reg took effect, and
	 * before a config read is answered.  vCPU thread, no lock held.  May be
	 * NULL.
	 */
	void (*config_touch)(void *ctx, unsigned int reg, unsigned int size,
			     bool write);
};

/* The identification registers of a function. */
struct pci_identity {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* class, subclass, interface: 0xccsspp */
	uint8_t revision;
};

struct pci_bar {
	struct pci_function *function;
	uint32_t size_bytes; /* a power of two of 16 or more; 0: none */
	bool decoded; /* in the MMIO bus, at gpa */
	gpa_t gpa;
};

/* The interrupt of one MSI-X vector. */
struct pci_vector {
	int gsi; /* -1: none */
	int eventfd; /* -1: none */
	bool bound; /* the eventfd is bound to the GSI, routed as below */
	uint64_t addr;
	uint32_t data;
};

/* MSI-X (PCI 6.8.2); guarded by irq_lock. */
struct pci_msix {
	unsigned int count; /* vectors; 0: the function has no MSI-X */
	unsigned int bar;
	unsigned int cap; /* offset of the capability */
	bool enabled, masked; /* the two bits of message control */
	uint8_t *table; /* 16 bytes a vector, as the guest sees it; owned */
	uint64_t pending[PCI_MSIX_MAX / 64];
	struct pci_vector *vectors; /* owned */
};

struct pci_function {
	const struct pci_function_ops *ops;
	void *ctx;
	const char *name; /* for messages; not owned */
	struct pci_host *host; /* NULL: not attached */
	unsigned int slot;
	uint32_t gsi; /* of INTA */

	/* Config space; the host's lock. */
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES]; /* bits that the guest may set */
	uint8_t power_on[PCI_CONFIG_BYTES];
	unsigned int cap_last, cap_end;
	struct pci_bar bars[PCI_BARS];

	/* Interrupts. */
	pthread_mutex_t irq_lock;
	bool intx_wanted; /* the device asserts INTA */
	bool intx_disabled; /* the guest's command bit */
	bool intx_out; /* the line as it is driven */
	bool master; /* the guest's command bit: memory and MSI-X are allowed */
	struct pci_msix msix;
};

/*
 * Starts the description of a function.  @name and @ops stay the caller's.
 * 0 or -errno, silent.
 */
int pci_function_init(struct pci_function *f, const struct pci_identity *id,
		      const char *name, const struct pci_function_ops *ops,
		      void *ctx);

/* Adds BAR @bar of @size_bytes, a power of two from 16 up. */
void pci_function_bar(struct pci_function *f, unsigned int bar,
		      uint32_t size_bytes);

/*
 * Adds a capability of @len bytes, its two header bytes included; returns its
 * offset.  Its body is zero and read-only until pci_config_put() and
 * pci_config_allow().  There must be room: a device's list is constant.
 */
unsigned int pci_function_capability(struct pci_function *f, uint8_t id,
				     unsigned int len);

/*
 * Adds MSI-X with @count vectors, table and PBA in a BAR of their own, and an
 * interrupt pin as the fallback.  0 or -ENOMEM.
 */
int pci_function_msix(struct pci_function *f, unsigned int count,
		      unsigned int bar);

/*
 * Attaches it to the next free slot and assigns addresses to the BARs.  -ENOSPC
 * (no slot, no room in the window, no GSI) or errors of eventfd(2), logged.
 */
int pci_function_attach(struct pci_function *f, struct pci_host *host);

/* Detaches and frees; a zeroed @f is fine.  vCPUs are stopped. */
void pci_function_finish(struct pci_function *f);

/*
 * Config space as the guest sees it: any register, 1 to 8 bytes.  Reads beyond
 * PCI_CONFIG_BYTES give zeros.  vCPU thread, no lock held.
 */
uint64_t pci_config_read(struct pci_function *f, unsigned int reg,
			 unsigned int size);
void pci_config_write(struct pci_function *f, unsigned int reg,
		      unsigned int size, uint64_t value);

/*
 * The device's own access to its registers: get and put ignore masks and have no
 * side effects; allow sets which bits the guest may write, before attaching.  1 to
 * 8 bytes within config space.  put and get take the host's lock once attached.
 */
uint64_t pci_config_get(struct pci_function *f, unsigned int reg,
			unsigned int size);
void pci_config_put(struct pci_function *f, unsigned int reg, unsigned int size,
		    uint64_t value);
void pci_config_allow(struct pci_function *f, unsigned int reg,
		      unsigned int size, uint64_t mask);

/*
 * Whether the guest enabled bus mastering (PCI 6.2.2).  If not, the device must
 * not touch guest memory; config_touch() reports changes.  MSI-X messages are
 * withheld by the function itself.  Any thread.
 */
bool pci_function_is_master(struct pci_function *f);

/*
 * Raises MSI-X vector @vector: delivered, or pending while it is masked or the
 * function is not bus master.  Vectors out of range are ignored.  False if MSI-X
 * is disabled: the device uses INTx then.  Any thread.
 */
bool pci_msix_raise(struct pci_function *f, unsigned int vector);

/* Asserts or deasserts INTA.  Any thread. */
void pci_intx_set(struct pci_function *f, bool level);

/* Power-on state: config space, BARs, MSI-X, INTA low.  No lock held. */
void pci_function_reset(struct pci_function *f);

/*
 * Config space, BARs and MSI-X.  After load the device sets INTA again.  Load
 * fails with -EBADMSG, not logged, unless the slot and the function are the
 * saved ones; the function is as after reset then.
 */
void pci_function_save(struct pci_function *f, struct snap_writer *w);
int pci_function_load(struct pci_function *f, struct snap_reader *r);

#endif
