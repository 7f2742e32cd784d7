/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PL031 real-time clock (ARM DDI 0224B): the host's wall clock in seconds, and
 * an alarm.
 *
 * The time is the host's, so it is right after a restore.  A guest cannot set
 * it: the load register keeps what is written and has no effect.
 *
 * The alarm: the raw interrupt is set when the clock reaches the match register.
 * The clock is not sampled each second, the host may step it, and it advances
 * while the VM is paused or saved.  So the second of the last update is kept
 * (and saved), and a match after it and up to now sets the interrupt, however
 * late.  If the clock was stepped back, there is no match.
 *
 * vCPU threads access the registers, the loop thread waits for the timer; one
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
	uint32_t seen; /* the clock at the last update, in seconds */
	bool stopped; /* between quiesce and resume */
};

/*
 * Peripheral id 0x00141031 (revision r1p3) and PrimeCell id, DDI 0224B 3.3.9
 * and 3.3.10.
 */
static const uint8_t rtc_id[8] = { 0x31, 0x10, 0x14, 0x00,
				   0x0d, 0xf0, 0x05, 0xb1 };

/* CLOCK_REALTIME; time(2) may be a tick behind the timer. */
static int64_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

/* Arms the timer for the next match after @now, or disarms it; lock held. */
static void arm(struct rtc *rtc, int64_t now)
{
	struct itimerspec at = { 0 };

	/* The next second whose low 32 bits equal the match register. */
	if (rtc->enabled && !rtc->raw && !rtc->stopped)
		at.it_value.tv_sec =
			now + 1 + (uint32_t)(rtc->match - (uint32_t)now - 1);
	timerfd_settime(rtc->timer_fd,
			TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL);
}

/* Sets the interrupt line to what the registers imply; lock held. */
static void update_line(struct rtc *rtc)
{
	irq_line_set(rtc->config.irqs, rtc->config.gsi, 0,
		     rtc->raw && rtc->enabled);
}

/*
 * Brings the raw interrupt, the line and the timer up to date with the clock.
 * Lock held.  Does nothing while stopped, because the interrupt controller is
 * being saved.
 */
static void update(struct rtc *rtc)
{
	int64_t now = now_seconds();
	uint32_t passed = (uint32_t)now - rtc->seen;

	if (rtc->stopped)
		return;
	/* Seconds after @seen up to @now, unless the clock was stepped back. */
	if (passed <= INT32_MAX && rtc->match - rtc->seen - 1 < passed)
		rtc->raw = true;
	rtc->seen = (uint32_t)now;
	update_line(rtc);
	arm(rtc, now);
}

/* The timer expired, or the host's clock was stepped.  Loop thread. */
static void on_timer(void *ctx, uint32_t events)
{
	struct rtc *rtc = ctx;
	uint64_t count;

	(void)events;
	/* ECANCELED: the clock was stepped. */
	(void)!read(rtc->timer_fd, &count, sizeof(count));
	pthread_mutex_lock(&rtc->lock);
	update(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

/* Reads the register at @offset, a multiple of four; lock held. */
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
	update(rtc);
	value = rtc_word(rtc, offset & ~UINT64_C(3));
	pthread_mutex_unlock(&rtc->lock);
	value >>= 8 * (offset & 3);
	return size < 8 ? value & ((UINT64_C(1) << (8 * size)) - 1) : value;
}

/* Writes the register at @offset; lock held. */
static void rtc_put(struct rtc *rtc, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case RTC_MR:
		rtc->match = value;
		/* A match with the current second counts. */
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

/* Writes of other sizes than four bytes are ignored.  vCPU. */
static void rtc_write(void *ctx, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct rtc *rtc = ctx;

	if (size != 4)
		return;
	pthread_mutex_lock(&rtc->lock);
	update(rtc);
	rtc_put(rtc, offset, (uint32_t)value);
	update(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_bus_ops = {
	.read = rtc_read,
	.write = rtc_write,
};

/* Sets the power-on state; lock held. */
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

/* Stops the alarm until resume. */
static int rtc_quiesce(void *state, uint64_t deadline_ns)
{
	struct rtc *rtc = state;

	(void)deadline_ns;
	pthread_mutex_lock(&rtc->lock);
	update(rtc);
	rtc->stopped = true;
	arm(rtc, rtc->seen);
	pthread_mutex_unlock(&rtc->lock);
	return 0;
}

/* Raises an alarm that passed since quiesce. */
static void rtc_resume(void *state)
{
	struct rtc *rtc = state;

	pthread_mutex_lock(&rtc->lock);
	rtc->stopped = false;
	update(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

/*
 * Version 1 ends after the mask and has no alarm; version 2 adds raw and seen.
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
	/* The line as it was saved; resume checks the clock. */
	update_line(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return snap_reader_error(r);
}

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

/* Creates the timer and adds the registers to the bus.  0 or -errno, silent. */
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
