/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines and MSI routes.
 *
 * The lock guards the sources of the lines and the table of MSIs, and keeps
 * the kernel's routes in the order of the table's changes.
 */
#include "vmm/bus/irq.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/kvm/kvm.h"

/* Sets up the tables; the kernel gets them with the first route. */
int irqs_init(struct irqs *irqs, const struct kvm_vm *kvm,
	      const struct irq_map *map)
{
	int r;

	*irqs = (struct irqs){ .kvm = kvm, .map = map };
	irqs->msis = calloc(IRQ_MSIS_MAX, sizeof(irqs->msis[0]));
	if (!irqs->msis)
		return log_errno(ENOMEM, "interrupt routes");
	r = pthread_mutex_init(&irqs->lock, NULL);
	return r ? log_errno(r, "interrupt lock") : 0;
}

void irqs_finish(struct irqs *irqs)
{
	if (!irqs->msis)
		return;
	free(irqs->msis);
	irqs->msis = NULL;
	pthread_mutex_destroy(&irqs->lock);
}

void irq_line_set(struct irqs *irqs, uint32_t gsi, unsigned int source,
		  bool level)
{
	uint64_t bit = UINT64_C(1) << (source & 63), before, after;

	if (gsi >= IRQ_LINES_MAX)
		return;
	pthread_mutex_lock(&irqs->lock);
	before = irqs->line_sources[gsi];
	after = level ? before | bit : before & ~bit;
	irqs->line_sources[gsi] = after;
	if (!before != !after) {
		irqs->raised += after != 0;
		if (irqs->kvm)
			kvm_irq_line(irqs->kvm, irqs->map->line_encode(gsi),
				     after != 0);
	}
	pthread_mutex_unlock(&irqs->lock);
}

/* An MSI route as KVM_SET_GSI_ROUTING takes it. */
static struct kvm_irq_routing_entry route_of(const struct irqs *irqs,
					     unsigned int index)
{
	const struct irq_msi *msi = &irqs->msis[index];
	bool devid = irqs->map->msi_devid;
	struct kvm_irq_routing_entry entry = {
		.gsi = irqs->map->msi_first + index,
		.type = KVM_IRQ_ROUTING_MSI,
		.flags = devid ? KVM_MSI_VALID_DEVID : 0,
	};

	entry.u.msi.address_lo = (uint32_t)msi->addr;
	entry.u.msi.address_hi = (uint32_t)(msi->addr >> 32);
	entry.u.msi.data = msi->data;
	if (devid)
		entry.u.msi.devid = msi->devid;
	return entry;
}

/* Passes the whole routing table to KVM; lock held.  0 or -errno. */
static int routes_push(struct irqs *irqs)
{
	CLEANUP_FREE struct kvm_irq_routing_entry *entries = NULL;
	size_t room = 2 * IRQ_LINES_MAX + IRQ_MSIS_MAX, count;

	if (!irqs->kvm)
		return 0;
	entries = calloc(room, sizeof(entries[0]));
	if (!entries)
		return log_errno(ENOMEM, "interrupt routes");
	count = irqs->map->line_routes(entries, 2 * IRQ_LINES_MAX);
	for (unsigned int i = 0; i < IRQ_MSIS_MAX; i++)
		if (irqs->msis[i].set)
			entries[count++] = route_of(irqs, i);
	return kvm_routes_set(irqs->kvm, entries, count);
}

int irq_msi_alloc(struct irqs *irqs)
{
	int gsi = -ENOSPC;

	pthread_mutex_lock(&irqs->lock);
	for (unsigned int i = 0; i < IRQ_MSIS_MAX; i++) {
		if (irqs->msis[i].used)
			continue;
		irqs->msis[i] = (struct irq_msi){ .used = true };
		gsi = (int)(irqs->map->msi_first + i);
		break;
	}
	pthread_mutex_unlock(&irqs->lock);
	return gsi;
}

/* The MSI of a GSI, or NULL. */
static struct irq_msi *msi_of(struct irqs *irqs, int gsi)
{
	uint32_t index = (uint32_t)gsi - irqs->map->msi_first;

	return index < IRQ_MSIS_MAX ? &irqs->msis[index] : NULL;
}

void irq_msi_free(struct irqs *irqs, int gsi)
{
	struct irq_msi *msi = msi_of(irqs, gsi);

	if (!msi)
		return;
	pthread_mutex_lock(&irqs->lock);
	*msi = (struct irq_msi){ 0 };
	pthread_mutex_unlock(&irqs->lock);
}

int irq_msi_route(struct irqs *irqs, int gsi, uint64_t addr, uint32_t data,
		  uint32_t devid)
{
	struct irq_msi *msi = msi_of(irqs, gsi), before;
	int r = 0;

	if (!msi)
		return -EINVAL;
	pthread_mutex_lock(&irqs->lock);
	before = *msi;
	if (!msi->set || msi->addr != addr || msi->data != data ||
	    msi->devid != devid) {
		*msi = (struct irq_msi){ .used = true,
					 .set = true,
					 .addr = addr,
					 .data = data,
					 .devid = devid };
		r = routes_push(irqs);
		/* A route that KVM rejects must not fail later updates. */
		if (r < 0)
			*msi = before;
	}
	pthread_mutex_unlock(&irqs->lock);
	return r;
}

int irq_fd_bind(struct irqs *irqs, int gsi, int eventfd)
{
	if (!irqs->kvm)
		return 0;
	return kvm_irqfd_bind(irqs->kvm, eventfd, (uint32_t)gsi);
}

void irq_fd_unbind(struct irqs *irqs, int gsi, int eventfd)
{
	if (irqs->kvm)
		kvm_irqfd_unbind(irqs->kvm, eventfd, (uint32_t)gsi);
}
