/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host side of the serial port: moves input from the terminal to the
 * receiver FIFO and output from the ring to the terminal.
 *
 * Loop thread, or any thread while the pump is stopped.  The port's lock is
 * held for the FIFO and the ring's indices, and released for system calls on
 * the terminal.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/bus/loop.h"
#include "vmm/dev/serial_private.h"
#include "vmm/io/terminal.h"

#define BACKLOG_BYTES 4096

static void pump(void *ctx, uint32_t events);

/*
 * Watches a descriptor of the terminal, or with @events 0 stops watching.  The
 * source is removed because epoll reports a hang-up even with an empty event
 * mask.  Sets *@always for a file that epoll does not support.
 */
static void watch(struct serial *s, struct loop_source **source, int fd,
		  uint32_t events, bool *always)
{
	int err;

	if (!events) {
		loop_remove(*source);
		*source = NULL;
	} else if (!*source && !*always) {
		err = loop_add(s->config.loop, source, fd, events, pump, s);
		*always = err == -EPERM;
		if (*always)
			serial_wake(s);
		else if (err)
			log_errno(-err, "%s: watch the terminal", s->name);
	}
}

/* Reads from the terminal until the backlog is full. */
static void read_ahead(struct serial *s)
{
	ssize_t n;

	if (s->in_ended || s->backlog_len == BACKLOG_BYTES)
		return;
	if (s->backlog_at) {
		memmove(s->backlog, s->backlog + s->backlog_at, s->backlog_len);
		s->backlog_at = 0;
	}
	n = terminal_read(s->config.terminal, s->backlog + s->backlog_len,
			  BACKLOG_BYTES - s->backlog_len);
	if (n >= 0)
		s->backlog_len += (size_t)n;
	else
		s->in_ended = true;
	if (n < 0 && n != -ENODATA)
		log_errno((int)-n, "%s: read the terminal", s->name);
}

/* Sets the timer to expire at @at_ns on CLOCK_MONOTONIC. */
static void arm_timer(struct serial *s, int64_t at_ns)
{
	struct itimerspec when = {
		.it_value = { .tv_sec = at_ns / 1000000000,
			      .tv_nsec = at_ns % 1000000000 },
	};

	timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Moves bytes from the backlog to an empty FIFO; lock held. */
static void fill_fifo(struct serial *s)
{
	int64_t now = serial_now_ns();
	size_t n;

	if (!s->backlog_len)
		return;
	if (s->uart.fifo_len || !uart_listens(&s->uart)) {
		s->backlog_waiting = true;
		return;
	}
	if (now < s->refill_ns) {
		arm_timer(s, s->refill_ns);
		return;
	}
	n = uart_receive(&s->uart, s->backlog + s->backlog_at, s->backlog_len);
	s->backlog_at += n;
	s->backlog_len -= n;
	s->backlog_waiting = s->backlog_len || s->in_always;
	s->filled_ns = now;
	serial_update_line(s);
}

/* Input: terminal to backlog to FIFO. */
static void pump_input(struct serial *s)
{
	/* Not above half: that would cost a read for each FIFO of bytes. */
	if (s->backlog_len <= BACKLOG_BYTES / 2)
		read_ahead(s);
	pthread_mutex_lock(&s->lock);
	fill_fifo(s);
	pthread_mutex_unlock(&s->lock);
	if (s->in_ended || s->backlog_len > BACKLOG_BYTES / 2)
		watch(s, &s->in_source, -1, 0, &s->in_always);
	else
		watch(s, &s->in_source, terminal_in_fd(s->config.terminal),
		      EPOLLIN, &s->in_always);
}

void serial_release_transmitter(struct serial *s)
{
	if (s->uart.ready || s->tx_head - s->tx_tail > TX_MARK_BYTES / 2)
		return;
	uart_set_ready(&s->uart, true);
	serial_update_line(s);
}

/*
 * Writes contiguous bytes of the ring to the terminal; returns the number of
 * bytes written, 0 when the ring is empty or the terminal full.  Lock held at
 * entry and return, released for the write.
 */
static size_t write_some(struct serial *s)
{
	size_t at = s->tx_tail % TX_BYTES, len;
	ssize_t n;

	len = min_u64(s->tx_head - s->tx_tail, TX_BYTES - at);
	if (!len)
		return 0;
	pthread_mutex_unlock(&s->lock);
	n = terminal_write(s->config.terminal, s->tx + at, len);
	if (n < 0)
		log_errno((int)-n, "%s: write to the terminal", s->name);
	pthread_mutex_lock(&s->lock);
	if (n < 0) {
		/* Later output is dropped, so this is logged once. */
		s->tx_failed = true;
		s->tx_tail = s->tx_head;
	} else {
		s->tx_tail += (uint64_t)n;
	}
	serial_release_transmitter(s);
	return n > 0 ? (size_t)n : 0;
}

/*
 * Output: ring to terminal.  At most a ring's size at a time, so that a guest
 * that never stops writing does not starve other devices.
 */
static void pump_output(struct serial *s)
{
	size_t total = 0, n;
	bool left;

	pthread_mutex_lock(&s->lock);
	do {
		n = write_some(s);
		total += n;
	} while (n && total < TX_BYTES);
	left = s->tx_head != s->tx_tail;
	pthread_mutex_unlock(&s->lock);
	watch(s, &s->out_source, terminal_out_fd(s->config.terminal),
	      left ? EPOLLOUT : 0, &s->out_always);
	if (left && s->out_always)
		serial_wake(s);
}

/* The loop's handler of the terminal's two descriptors. */
static void pump(void *ctx, uint32_t events)
{
	struct serial *s = ctx;

	(void)events;
	if (!s->config.terminal || s->stopped)
		return;
	pump_output(s);
	pump_input(s);
}

/* The loop's handler of the eventfd and the timer. */
static void on_wake(void *ctx, uint32_t events)
{
	struct serial *s = ctx;

	event_clear(s->wake_fd);
	event_clear(s->timer_fd);
	pump(s, events);
}

void serial_pump_flush(struct serial *s, int idle_ms, int64_t total_ms)
{
	int64_t end = serial_now_ns() + total_ms * 1000000;
	struct pollfd p = { .events = POLLOUT };

	if (!s->config.terminal)
		return;
	p.fd = terminal_out_fd(s->config.terminal);
	pthread_mutex_lock(&s->lock);
	while (s->tx_head != s->tx_tail && serial_now_ns() < end) {
		if (!write_some(s) && s->tx_head != s->tx_tail &&
		    poll(&p, 1, idle_ms) <= 0)
			break;
	}
	pthread_mutex_unlock(&s->lock);
}

static void stop_on_loop(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	pthread_mutex_unlock(&s->lock);
	watch(s, &s->in_source, -1, 0, &s->in_always);
	watch(s, &s->out_source, -1, 0, &s->out_always);
}

void serial_pump_stop(struct serial *s)
{
	loop_call(s->config.loop, stop_on_loop, s);
}

static void start_on_loop(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->stopped = false;
	pthread_mutex_unlock(&s->lock);
	pump(s, 0);
}

void serial_pump_start(struct serial *s)
{
	loop_call(s->config.loop, start_on_loop, s);
}

int serial_pump_init(struct serial *s)
{
	struct loop *loop = s->config.loop;
	int err;

	s->wake_fd = s->timer_fd = -1;
	s->tx = malloc(TX_BYTES);
	s->backlog = malloc(BACKLOG_BYTES);
	if (!s->tx || !s->backlog)
		return -ENOMEM;
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->wake_fd < 0 || s->timer_fd < 0)
		return -errno;
	err = loop_add(loop, &s->wake_source, s->wake_fd, EPOLLIN, on_wake, s);
	if (err)
		return err;
	return loop_add(loop, &s->timer_source, s->timer_fd, EPOLLIN, on_wake,
			s);
}

void serial_pump_finish(struct serial *s)
{
	loop_remove(s->wake_source);
	loop_remove(s->timer_source);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	free(s->backlog);
	free(s->tx);
}
