/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PL031 real-time clock (ARM DDI 0224B): the host's wall clock in seconds, and
 * an alarm.
 *
 * The clock itself is the host's, so a guest that reads it after a restore reads
 * the right time.  A guest cannot set it: the load register is a place to write
 * to.
 *
 * The alarm: the raw interrupt is set when the clock comes to the match
 * register.  The clock is not watched at each second, and the host's can be
 * stepped, be stopped while the VM is paused, or be days ahead after a
 * restore.  So the second at which the registers were last looked at is kept
 * (and saved), and a match between that one and now counts, late as it may be.
 * Where the clock went back there is nothing between.
 *
 * vCPU threads touch the registers, the loop thread waits for the timer; one
 * mutex guards all of it.  The timer is armed only while it can cause an
 * interrupt.
 */
#include "vmm/dev/rtc.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/bus/loop.h"
#include "vmm/snap/section.h"

/* Registers, ARM DDI 0224B table 3-1. */
#define RTC_DR	  0x000 /* seconds now, read only */
#define RTC_MR	  0x004 /* match */
#define RTC_LR	  0x008 /* load */
#define RTC_CR	  0x00c /* bit 0: runs; always 1 */
#define RTC_IMSC  0x010 /* interrupt mask; 1: enabled */
#define RTC_RIS	  0x014 /* raw interrupt status */
#define RTC_MIS	  0x018 /* masked interrupt status */
#define RTC_ICR	  0x01c /* interrupt clear */
#define RTC_ID	  0xfe0 /* eight identification bytes, one a word */
#define RTC_BYTES 0x1000

struct rtc {
	struct rtc_config config;
	char name[32];
	int timer_fd; /* of the host's wall clock; -1: none */
	struct loop_source *source;

	pthread_mutex_t lock; /* guards what follows */
	uint32_t match, load;
	bool enabled, raw; /* IMSC and RIS */
	uint32_t seen; /* the second of the last look */
	bool stopped; /* between quiesce and resume */
};

/*
 * Peripheral id 0x00141031 (revision r1p3) and PrimeCell id, DDI 0224B 3.3.9
 * and 3.3.10.
 */
static const uint8_t rtc_id[8] = { 0x31, 0x10, 0x14, 0x00,
				   0x0d, 0xf0, 0x05, 0xb1 };

/* The wall clock; not time(2), which may be a tick behind the timer. */
static int64_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

/* Waits for the match, which @now is not counted as, or no longer; lock held. */
static void arm(struct rtc *rtc, int64_t now)
{
	struct itimerspec at = { 0 };

	/* The next time that the low 32 bits of the clock are those. */
	if (rtc->enabled && !rtc->raw && !rtc->stopped)
		at.it_value.tv_sec =
			now + 1 + (uint32_t)(rtc->match - (uint32_t)now - 1);
	timerfd_settime(rtc->timer_fd,
			TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL);
}

/* Moves the line where the registers say; lock held. */
static void update_line(struct rtc *rtc)
{
	irq_line_set(rtc->config.irqs, rtc->config.gsi, 0,
		     rtc->raw && rtc->enabled);
}

/*
 * Looks at the clock: whether it has come to the match, and what follows for
 * line and timer.  Lock held; does nothing while stopped, as the interrupt
 * controller may be in the middle of being saved.
 */
static void look(struct rtc *rtc)
{
	int64_t now = now_seconds();
	uint32_t passed = (uint32_t)now - rtc->seen;

	if (rtc->stopped)
		return;
	/* Seconds after @seen up to @now, unless the clock went back. */
	if (passed <= INT32_MAX && rtc->match - rtc->seen - 1 < passed)
		rtc->raw = true;
	rtc->seen = (uint32_t)now;
	update_line(rtc);
	arm(rtc, now);
}

/* The timer, or the host's clock was stepped.  Loop thread. */
static void on_timer(void *ctx, uint32_t events)
{
	struct rtc *rtc = ctx;
	uint64_t count;

	(void)events;
	/* -ECANCELED says that the clock was stepped, which is looked at too. */
	(void)!read(rtc->timer_fd, &count, sizeof(count));
	pthread_mutex_lock(&rtc->lock);
	look(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

/* The word at @offset, a multiple of four; lock held. */
static uint32_t rtc_word(const struct rtc *rtc, uint64_t offset)
{
	switch (offset) {
	case RTC_DR:
		return rtc->seen;
	case RTC_MR:
		return rtc->match;
	case RTC_LR:
		return rtc->load;
	case RTC_CR:
		return 1;
	case RTC_IMSC:
		return rtc->enabled;
	case RTC_RIS:
		return rtc->raw;
	case RTC_MIS:
		return rtc->raw && rtc->enabled;
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
	struct rtc *rtc = ctx;
	uint64_t value;

	pthread_mutex_lock(&rtc->lock);
	look(rtc);
	value = rtc_word(rtc, offset & ~UINT64_C(3));
	pthread_mutex_unlock(&rtc->lock);
	value >>= 8 * (offset & 3);
	return size < 8 ? value & ((UINT64_C(1) << (8 * size)) - 1) : value;
}

/* A write of a whole word; lock held. */
static void rtc_put(struct rtc *rtc, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case RTC_MR:
		rtc->match = value;
		/* A match with this very second counts. */
		rtc->seen--;
		break;
	case RTC_LR:
		rtc->load = value;
		break;
	case RTC_IMSC:
		rtc->enabled = value & 1;
		break;
	case RTC_ICR:
		if (value & 1)
			rtc->raw = false;
		break;
	default:
		break;
	}
}

/* A write; only whole words count.  vCPU. */
static void rtc_write(void *ctx, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct rtc *rtc = ctx;

	if (size != 4)
		return;
	pthread_mutex_lock(&rtc->lock);
	look(rtc);
	rtc_put(rtc, offset, (uint32_t)value);
	look(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_bus_ops = {
	.read = rtc_read,
	.write = rtc_write,
};

/* Back to power-on; lock held. */
static void clear(struct rtc *rtc)
{
	rtc->match = rtc->load = 0;
	rtc->enabled = rtc->raw = false;
	rtc->seen = (uint32_t)now_seconds();
}

static void rtc_reset(void *state)
{
	struct rtc *rtc = state;

	pthread_mutex_lock(&rtc->lock);
	clear(rtc);
	update_line(rtc);
	arm(rtc, rtc->seen);
	pthread_mutex_unlock(&rtc->lock);
}

/* From here on the alarm waits. */
static int rtc_quiesce(void *state)
{
	struct rtc *rtc = state;

	pthread_mutex_lock(&rtc->lock);
	look(rtc);
	rtc->stopped = true;
	arm(rtc, rtc->seen);
	pthread_mutex_unlock(&rtc->lock);
	return 0;
}

/* What was missed meanwhile comes now. */
static void rtc_resume(void *state)
{
	struct rtc *rtc = state;

	pthread_mutex_lock(&rtc->lock);
	rtc->stopped = false;
	look(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

/*
 * Version 1 ends after the mask: those guests had no alarm.  The two fields that
 * follow are of version 2.
 */
static int rtc_save(void *state, struct snap_writer *w)
{
	struct rtc *rtc = state;

	pthread_mutex_lock(&rtc->lock);
	snap_put_u32(w, rtc->match);
	snap_put_u32(w, rtc->load);
	snap_put_u32(w, rtc->enabled);
	snap_put_u32(w, rtc->raw);
	snap_put_u32(w, rtc->seen);
	pthread_mutex_unlock(&rtc->lock);
	return w->error;
}

/* Reads what rtc_save() wrote, of either version; lock held. */
static void get_state(struct rtc *rtc, struct snap_reader *r)
{
	uint32_t enabled, raw = 0;

	rtc->match = snap_get_u32(r);
	rtc->load = snap_get_u32(r);
	enabled = snap_get_u32(r);
	if (r->version >= 2) {
		raw = snap_get_u32(r);
		rtc->seen = snap_get_u32(r);
	}
	if (enabled > 1 || raw > 1)
		snap_reader_fail(r);
	rtc->enabled = enabled;
	rtc->raw = raw;
}

static int rtc_load(void *state, struct snap_reader *r)
{
	struct rtc *rtc = state;

	pthread_mutex_lock(&rtc->lock);
	clear(rtc);
	get_state(rtc, r);
	if (snap_reader_error(r))
		clear(rtc);
	/* The level that the line had when it was saved; resume looks anew. */
	update_line(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return snap_reader_error(r);
}

/* Frees what create made, as far as it came. */
static void rtc_free(struct rtc *rtc)
{
	loop_remove(rtc->source);
	if (rtc->timer_fd >= 0)
		close(rtc->timer_fd);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

static void rtc_destroy(void *state)
{
	struct rtc *rtc = state;

	if (!rtc)
		return;
	bus_remove(rtc->config.bus, rtc->config.base, rtc);
	rtc_free(rtc);
}

static const struct device_ops rtc_ops = {
	.kind = "pl031",
	.version = 2,
	.reset = rtc_reset,
	.quiesce = rtc_quiesce,
	.resume = rtc_resume,
	.save = rtc_save,
	.load = rtc_load,
	.destroy = rtc_destroy,
};

/* Makes the timer, and puts the registers on the bus. */
static int rtc_set_up(struct rtc *rtc)
{
	struct bus_range range = { rtc->config.base, RTC_BYTES, &rtc_bus_ops,
				   rtc, "rtc" };
	int err;

	rtc->timer_fd =
		timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (rtc->timer_fd < 0)
		return -errno;
	err = loop_add(rtc->config.loop, &rtc->source, rtc->timer_fd, EPOLLIN,
		       on_timer, rtc);
	return err ? err : bus_add(rtc->config.bus, &range);
}

int rtc_create(struct device *device, const char *name,
	       const struct rtc_config *config)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int err;

	if (!rtc)
		return log_errno(ENOMEM, "%s", name);
	rtc->config = *config;
	pthread_mutex_init(&rtc->lock, NULL);
	clear(rtc);
	err = rtc_set_up(rtc);
	if (err) {
		rtc_free(rtc);
		return log_errno(-err, "%s at %#llx", name,
				 (unsigned long long)config->base);
	}
	*device = (struct device){ .ops = &rtc_ops, .state = rtc };
	snprintf(device->name, sizeof(device->name), "%s", name);
	return 0;
}
