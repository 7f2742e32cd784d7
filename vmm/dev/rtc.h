/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PL031 real-time clock (ARM DDI 0224), read-only wall time in seconds; the
 * alarm interrupts nobody.
 */
#ifndef VMM_DEV_RTC_H
#define VMM_DEV_RTC_H

#include <stdint.h>

#include "vmm/bus/device.h"

struct bus;

/* Fills *@device at @base of @bus; -errno, logged. */
int rtc_create(struct device *device, const char *name, struct bus *bus,
	       uint64_t base);

#endif
