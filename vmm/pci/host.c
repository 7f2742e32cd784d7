// SPDX-License-Identifier: BSD-2-Clause
/*
 * The PCI host: decodes ECAM into slots, and is itself the function in slot 0.
 *
 * ECAM accesses come from vCPU threads.  The host's lock guards slots, config
 * spaces and BARs; it is not held while a function's config_touch() runs.  The
 * slots do not change while vCPUs run.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/device.h"
#include "vmm/pci/private.h"
#include "vmm/snap/section.h"

/* PCI Express Base Specification 7.2.2: bus, device, function, register. */
#define ECAM_SLOT(offset)     ((unsigned int)((offset) >> 15 & 0x1f))
#define ECAM_FUNCTION(offset) ((unsigned int)((offset) >> 12 & 0x7))
#define ECAM_REGISTER(offset) ((unsigned int)((offset)&0xfff))
#define ECAM_BUS_BYTES	      MIB

/* A plain host bridge of the PCI ID list, with no quirks in guest kernels. */
static const struct pci_identity bridge_identity = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.class_code = 0x060000,
};

static const struct pci_function_ops bridge_ops = { 0 };

/*
 * The function at an ECAM offset, or NULL when there is none or the access
 * runs across the end of its config space.
 */
static struct pci_function *ecam_find(const struct pci_host *host,
				      uint64_t offset, unsigned int size)
{
	if (offset >= ECAM_BUS_BYTES || ECAM_FUNCTION(offset) != 0 ||
	    ECAM_REGISTER(offset) + size > 0x1000)
		return NULL;
	return host->slots[ECAM_SLOT(offset)];
}

static uint64_t ecam_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct pci_function *f = ecam_find(ctx, offset, size);

	if (f == NULL)
		return UINT64_MAX;
	return pci_config_read(f, ECAM_REGISTER(offset), size);
}

static void ecam_write(void *ctx, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct pci_function *f = ecam_find(ctx, offset, size);

	if (f)
		pci_config_write(f, ECAM_REGISTER(offset), size, value);
}

static const struct bus_ops ecam_ops = {
	.read = ecam_read,
	.write = ecam_write,
};

/* Checks the layout given by the architecture. */
static int config_check(const struct pci_host_config *c)
{
	if (c->ecam_bytes < ECAM_BUS_BYTES || c->intx_count == 0 ||
	    !range_within(c->mmio_gpa, c->mmio_bytes, 4 * GIB))
		return log_fail(EINVAL, "PCI host: layout cannot be used");
	return 0;
}

static void host_destroy(void *state)
{
	struct pci_host *host = state;

	bus_remove(host->config.mmio, host->config.ecam_gpa, host);
	pci_function_finish(&host->bridge);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

int pci_host_create(struct pci_host **out, const struct pci_host_config *config)
{
	struct bus_range ecam = {
		.base = config->ecam_gpa,
		.size = config->ecam_bytes,
		.ops = &ecam_ops,
		.name = "PCI config space",
	};
	struct pci_host *host;
	int err = config_check(config);

	if (err < 0)
		return err;
	host = calloc(1, sizeof(*host));
	if (!host)
		return log_errno(ENOMEM, "PCI host");
	host->config = *config;
	pthread_mutex_init(&host->lock, NULL);
	err = pci_function_init(&host->bridge, &bridge_identity, "PCI host",
				&bridge_ops, host);
	if (err == 0)
		err = pci_function_attach(&host->bridge, host);
	ecam.ctx = host;
	if (err == 0)
		err = bus_add(config->mmio, &ecam);
	if (err < 0) {
		host_destroy(host);
		return log_errno(-err, "PCI host");
	}
	*out = host;
	return 0;
}

static void host_reset(void *state)
{
	struct pci_host *host = state;

	pci_function_reset(&host->bridge);
}

static int host_quiesce(void *state, uint64_t deadline_ns)
{
	(void)state;
	(void)deadline_ns;
	return 0;
}

static void host_resume(void *state)
{
	(void)state;
}

static int host_save(void *state, struct snap_writer *w)
{
	struct pci_host *host = state;

	pci_function_save(&host->bridge, w);
	return w->error;
}

static int host_load(void *state, struct snap_reader *r)
{
	struct pci_host *host = state;
	int err = pci_function_load(&host->bridge, r);

	if (err == 0)
		err = snap_reader_error(r);
	if (err < 0)
		pci_function_reset(&host->bridge);
	return err;
}

static const struct device_ops host_device_ops = {
	.kind = "pci-host",
	.reset = host_reset,
	.quiesce = host_quiesce,
	.resume = host_resume,
	.save = host_save,
	.load = host_load,
	.destroy = host_destroy,
};

void pci_host_device(struct pci_host *host, struct device *device)
{
	device->ops = &host_device_ops;
	device->state = host;
	snprintf(device->name, sizeof(device->name), "pci");
}
