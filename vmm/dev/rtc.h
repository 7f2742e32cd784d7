/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PL031 real-time clock (ARM DDI 0224): wall-clock time in seconds, which
 * a guest cannot set, and an alarm on an interrupt line.
 */
#ifndef VMM_DEV_RTC_H
#define VMM_DEV_RTC_H

#include <stdint.h>

#include "vmm/bus/device.h"

struct bus;
struct irqs;
struct loop;

struct rtc_config {
	struct bus *bus; /* MMIO or ports */
	uint64_t base;
	struct irqs *irqs;
	uint32_t gsi;
	struct loop *loop;
};

/* Fills *@device; 0, or -errno, which is logged. */
int rtc_create(struct device *device, const char *name,
	       const struct rtc_config *config);

#endif
