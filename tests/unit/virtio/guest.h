/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest without a processor: a machine of real memory, bus, PCI host and
 * event loop but no KVM, and a driver that finds virtio devices on the bus and
 * works them by registers and rings as a kernel's driver would.
 *
 * Guest memory is two ranges with a hole between them.
 */
#ifndef TESTS_UNIT_VIRTIO_GUEST_H
#define TESTS_UNIT_VIRTIO_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/bus/bus.h"
#include "vmm/bus/device.h"
#include "vmm/bus/irq.h"
#include "vmm/mem/memory.h"
#include "vmm/virtio/virtio.h"

#define GUEST_LOW_BYTES	 (2 * MIB)
#define GUEST_HIGH	 (4 * MIB)
#define GUEST_HIGH_BYTES (4 * MIB)
#define GUEST_QUEUES	 10
#define GUEST_INTX	 16

/* Descriptor flags, virtio 1.2, 2.7.5. */
enum { GUEST_NEXT = 1, GUEST_WRITE = 2, GUEST_INDIRECT = 4 };

struct guest {
	struct memory memory;
	struct bus bus;
	struct irqs irqs;
	struct loop *loop;
	struct pci_host *pci;
	struct virtio_host host;
	int stderr_fd; /* where standard error went; -1: it is not redirected */
	int log_fd; /* the captured log */
};

/* One virtqueue, driver side. */
struct guest_queue {
	gpa_t desc, avail, used;
	uint16_t size;
	uint16_t next_desc, avail_idx, used_idx;
};

/* One device, driver side. */
struct guest_device {
	struct guest *g;
	unsigned int slot;
	uint64_t common, isr, config, notify; /* addresses */
	uint32_t notify_step;
	uint64_t msix; /* the table's address */
	unsigned int msix_cap, window_cap;
	uint64_t features; /* agreed */
	struct guest_queue queues[GUEST_QUEUES];
};

/* A buffer of a chain. */
struct guest_buffer {
	gpa_t gpa;
	uint32_t len;
	uint16_t flags; /* GUEST_WRITE */
};

void guest_init(struct guest *g);
void guest_finish(struct guest *g);

/* Destroys a device as a machine does, while the event loop is stopped. */
void guest_destroy(struct guest *g, struct device *device);

/* Waits until the loop thread has handled all earlier kicks. */
void guest_sync(struct guest *g);

/* Collects log lines from now on; how many there were. */
void guest_log_begin(struct guest *g);
unsigned int guest_log_end(struct guest *g);

/* Bus accesses, little-endian. */
uint64_t guest_read(struct guest *g, uint64_t at, unsigned int size);
void guest_write(struct guest *g, uint64_t at, unsigned int size,
		 uint64_t value);
uint64_t guest_config_read(struct guest *g, unsigned int slot, unsigned int reg,
			   unsigned int size);
void guest_config_write(struct guest *g, unsigned int slot, unsigned int reg,
			unsigned int size, uint64_t value);

/* Guest memory. */
void *guest_ptr(struct guest *g, gpa_t gpa, uint64_t len);
void guest_put16(struct guest *g, gpa_t gpa, uint16_t value);
uint16_t guest_get16(struct guest *g, gpa_t gpa);

/* Finds the parts of the device in @slot and turns memory and MSI-X on. */
void guest_find(struct guest *g, struct guest_device *d, unsigned int slot);

/* Registers of the common structure (linux/virtio_pci.h has the offsets). */
uint64_t guest_common(struct guest_device *d, unsigned int at,
		      unsigned int size);
void guest_common_set(struct guest_device *d, unsigned int at,
		      unsigned int size, uint64_t value);
uint8_t guest_status(struct guest_device *d);

/* Reset, ACKNOWLEDGE, DRIVER, the features of @wanted that are offered, ok. */
void guest_negotiate(struct guest_device *d, uint64_t wanted);
/* Places queue @q of @size entries at @at (64 KiB) and enables it. */
void guest_queue_start(struct guest_device *d, unsigned int q, uint16_t size,
		       gpa_t at);
void guest_driver_ok(struct guest_device *d);
/* All of these: @queues queues of 64 entries from 1 MiB on. */
void guest_start(struct guest_device *d, uint64_t wanted, unsigned int queues);

/* Writes one descriptor. */
void guest_desc(struct guest *g, gpa_t table, unsigned int index, gpa_t gpa,
		uint32_t len, uint16_t flags, uint16_t next);
/* Adds a chain to queue @q without a kick; returns its head. */
uint16_t guest_add(struct guest_device *d, unsigned int q,
		   const struct guest_buffer *buffers, unsigned int count);
/* The same through an indirect table at @table. */
uint16_t guest_add_indirect(struct guest_device *d, unsigned int q, gpa_t table,
			    const struct guest_buffer *buffers,
			    unsigned int count);
/* Makes descriptor @head available. */
void guest_offer(struct guest_device *d, unsigned int q, uint16_t head);
void guest_kick(struct guest_device *d, unsigned int q);

/*
 * Takes the next used entry: true with its head and length, after waiting a
 * while (some seconds) for it.  guest_used_now() does not wait.
 */
bool guest_used(struct guest_device *d, unsigned int q, uint32_t *head,
		uint32_t *len);
bool guest_used_now(struct guest_device *d, unsigned int q, uint32_t *head,
		    uint32_t *len);

/* How often MSI-X vector @v fired since last asked.  0: config; q + 1. */
uint64_t guest_fired(struct guest_device *d, unsigned int v);

#endif
