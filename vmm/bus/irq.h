/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of one VM: lines (level, shared or not), and message-signalled
 * ones through the GSI routing table and irqfd.
 *
 * Any thread; one mutex guards the routing table.
 */
#ifndef VMM_BUS_IRQ_H
#define VMM_BUS_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm_vm;
struct kvm_irq_routing_entry;

#define IRQ_LINES_MAX 64
#define IRQ_MSIS_MAX  1024

/* The architecture's numbering and routing of lines. */
struct irq_map {
	uint32_t line_count; /* GSIs 0 .. line_count - 1 are lines */
	uint32_t msi_first; /* GSIs from here on are free for MSIs */
	bool msi_devid; /* MSIs carry the PCI requester id (arm64 ITS) */
	/* The number that KVM_IRQ_LINE takes for line @gsi. */
	uint32_t (*line_encode)(uint32_t gsi);
	/*
	 * Fills the fixed routes of the lines into @entries, which has room
	 * for @room; returns how many.
	 */
	size_t (*line_routes)(struct kvm_irq_routing_entry *entries,
			      size_t room);
};

/* One MSI vector's route. */
struct irq_msi {
	bool used, set;
	uint64_t addr;
	uint32_t data;
	uint32_t devid;
};

struct irqs {
	pthread_mutex_t lock;
	const struct kvm_vm *kvm; /* NULL: nothing is delivered, for tests */
	const struct irq_map *map;
	/* Which of up to 64 sources hold each line up. */
	uint64_t line_sources[IRQ_LINES_MAX];
	struct irq_msi *msis; /* IRQ_MSIS_MAX of them */
	unsigned int raised; /* count of rising edges, for tests */
};

/* Sets up the tables; 0, or -errno, which is logged. */
int irqs_init(struct irqs *irqs, const struct kvm_vm *kvm,
	      const struct irq_map *map);
void irqs_finish(struct irqs *irqs);

/*
 * Raises or lowers line @gsi on behalf of @source (0 to 63): the line is up
 * while any source holds it up.  Kernel errors are not returned.
 */
void irq_line_set(struct irqs *irqs, uint32_t gsi, unsigned int source,
		  bool level);

/*
 * Reserves a GSI for an MSI; the GSI, or -ENOSPC.  It has no route until
 * irq_msi_route(), which takes effect at once: 0 or -errno; on failure the
 * previous route stays.
 */
int irq_msi_alloc(struct irqs *irqs);
void irq_msi_free(struct irqs *irqs, int gsi);
int irq_msi_route(struct irqs *irqs, int gsi, uint64_t addr, uint32_t data,
		  uint32_t devid);

/* Binds @eventfd to @gsi: a write to it delivers the interrupt.  0 or -errno. */
int irq_fd_bind(struct irqs *irqs, int gsi, int eventfd);
void irq_fd_unbind(struct irqs *irqs, int gsi, int eventfd);

#endif
