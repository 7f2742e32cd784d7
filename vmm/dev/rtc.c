/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PL031 real-time clock (ARM DDI 0224B): the host's wall clock in seconds.
 *
 * The clock itself is the host's, so nothing about time is saved, and a guest
 * that reads it after a restore reads the right time.  A guest cannot set it:
 * the load register is a place to write to.  The match register and the
 * interrupt mask hold what is written, and no interrupt ever comes.
 *
 * Registers are touched by vCPU threads; each is one atomic word, so there is
 * no lock.  Relaxed order: a word carries nothing but itself.
 */
#include "vmm/dev/rtc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "vmm/base/log.h"
#include "vmm/bus/bus.h"
#include "vmm/snap/section.h"

/* Registers, ARM DDI 0224B table 3-1. */
#define RTC_DR	  0x000 /* seconds now, read only */
#define RTC_MR	  0x004 /* match */
#define RTC_LR	  0x008 /* load */
#define RTC_CR	  0x00c /* bit 0: runs; always 1 */
#define RTC_IMSC  0x010 /* interrupt mask */
#define RTC_RIS	  0x014 /* raw interrupt status: never any */
#define RTC_MIS	  0x018 /* masked interrupt status */
#define RTC_ICR	  0x01c /* interrupt clear */
#define RTC_ID	  0xfe0 /* eight identification bytes, one a word */
#define RTC_BYTES 0x1000

struct rtc {
	struct bus *bus;
	uint64_t base;
	/* What a guest wrote and may read back. */
	_Atomic uint32_t match, load, mask;
};

/* Peripheral id 0x00041031 and PrimeCell id, DDI 0224B 3.3.9 and 3.3.10. */
static const uint8_t rtc_id[8] = { 0x31, 0x10, 0x04, 0x00,
				   0x0d, 0xf0, 0x05, 0xb1 };

/* The word at @offset, a multiple of four. */
static uint32_t rtc_word(struct rtc *rtc, uint64_t offset)
{
	switch (offset) {
	case RTC_DR:
		return (uint32_t)time(NULL);
	case RTC_MR:
		return atomic_load_explicit(&rtc->match, memory_order_relaxed);
	case RTC_LR:
		return atomic_load_explicit(&rtc->load, memory_order_relaxed);
	case RTC_CR:
		return 1;
	case RTC_IMSC:
		return atomic_load_explicit(&rtc->mask, memory_order_relaxed);
	default:
		break;
	}
	if (offset >= RTC_ID && offset < RTC_BYTES)
		return rtc_id[(offset - RTC_ID) / 4];
	return 0;
}

/* A read of any size; bytes beyond the addressed word are zero.  vCPU. */
static uint64_t rtc_read(void *ctx, uint64_t offset, unsigned int size)
{
	uint64_t value = rtc_word(ctx, offset & ~UINT64_C(3));

	value >>= 8 * (offset & 3);
	return size < 8 ? value & ((UINT64_C(1) << (8 * size)) - 1) : value;
}

/* A write; only whole words count.  vCPU. */
static void rtc_write(void *ctx, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct rtc *rtc = ctx;

	if (size != 4)
		return;
	if (offset == RTC_MR)
		atomic_store_explicit(&rtc->match, (uint32_t)value,
				      memory_order_relaxed);
	else if (offset == RTC_LR)
		atomic_store_explicit(&rtc->load, (uint32_t)value,
				      memory_order_relaxed);
	else if (offset == RTC_IMSC)
		atomic_store_explicit(&rtc->mask, (uint32_t)value & 1,
				      memory_order_relaxed);
}

static const struct bus_ops rtc_bus_ops = {
	.read = rtc_read,
	.write = rtc_write,
};

/* Back to power-on. */
static void rtc_reset(void *state)
{
	struct rtc *rtc = state;

	atomic_store_explicit(&rtc->match, 0, memory_order_relaxed);
	atomic_store_explicit(&rtc->load, 0, memory_order_relaxed);
	atomic_store_explicit(&rtc->mask, 0, memory_order_relaxed);
}

/* There is no host side to stop. */
static int rtc_quiesce(void *state)
{
	(void)state;
	return 0;
}

/* Nor to resume. */
static void rtc_resume(void *state)
{
	(void)state;
}

/* Writes the three registers that hold something. */
static int rtc_save(void *state, struct snap_writer *w)
{
	struct rtc *rtc = state;

	snap_put_u32(w, rtc_word(rtc, RTC_MR));
	snap_put_u32(w, rtc_word(rtc, RTC_LR));
	snap_put_u32(w, rtc_word(rtc, RTC_IMSC));
	return w->error;
}

/* Reads what rtc_save() wrote. */
static int rtc_load(void *state, struct snap_reader *r)
{
	struct rtc *rtc = state;
	uint32_t match = snap_get_u32(r), load = snap_get_u32(r);
	uint32_t mask = snap_get_u32(r);

	rtc_reset(rtc);
	if (mask > 1)
		snap_reader_fail(r);
	if (snap_reader_error(r))
		return snap_reader_error(r);
	atomic_store_explicit(&rtc->match, match, memory_order_relaxed);
	atomic_store_explicit(&rtc->load, load, memory_order_relaxed);
	atomic_store_explicit(&rtc->mask, mask, memory_order_relaxed);
	return 0;
}

/* Frees it. */
static void rtc_destroy(void *state)
{
	struct rtc *rtc = state;

	if (!rtc)
		return;
	bus_remove(rtc->bus, rtc->base, rtc);
	free(rtc);
}

static const struct device_ops rtc_ops = {
	.kind = "pl031",
	.reset = rtc_reset,
	.quiesce = rtc_quiesce,
	.resume = rtc_resume,
	.save = rtc_save,
	.load = rtc_load,
	.destroy = rtc_destroy,
};

/* Makes the clock. */
int rtc_create(struct device *device, const char *name, struct bus *bus,
	       uint64_t base)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	struct bus_range range = { base, RTC_BYTES, &rtc_bus_ops, rtc, "rtc" };
	int err;

	if (!rtc)
		return log_errno(ENOMEM, "%s", name);
	rtc->bus = bus;
	rtc->base = base;
	err = bus_add(bus, &range);
	if (err) {
		free(rtc);
		return log_errno(-err, "%s at %#llx", name,
				 (unsigned long long)base);
	}
	*device = (struct device){ .ops = &rtc_ops, .state = rtc };
	snprintf(device->name, sizeof(device->name), "%s", name);
	return 0;
}
