/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A serial port: the registers of uart.c, on a bus, with an interrupt
 * line and a terminal.
 *
 * Two sides meet here.  vCPU threads read and write registers; the event loop
 * moves bytes between the buffers and the terminal.  One mutex guards all of
 * struct serial but its configuration and the loop's own part; no thread holds it
 * across a system call other than the one that moves the interrupt line, so a
 * vCPU never waits for a reader of the output.  Lock order: serial, then irqs.
 *
 * Output.  A byte written to THR goes into a ring, and the loop writes the ring
 * to the terminal.  A vCPU wakes the loop only when it puts the first byte into
 * an empty ring, so a line of text costs one wake-up.  To the guest a byte is
 * sent at once, until the ring is filled to its mark: then THRE and TEMT stay
 * low until the loop has written half of it, which is how a slow reader holds
 * the guest back.  Drivers write some bytes regardless (Linux gives up waiting
 * after 10 ms a byte), so the ring is four times as large as the mark.
 *
 * Input.  The loop reads ahead into a backlog, so that the leave sequence is
 * seen even when the guest does not read, and hands the backlog on through the
 * 16 bytes of the receiver FIFO.  When the backlog is full it stops reading:
 * what was typed or pasted waits in the terminal.  Two rules make a long paste
 * arrive whole:
 *
 * - The FIFO is filled again only when the guest has emptied it, and then only
 *   after a pause as long as the guest took for it, at most REFILL_PAUSE_NS.
 *   With no pause the driver's interrupt handler would find new bytes for ever,
 *   the rest of the guest would not run, and its buffers would overflow.
 * - Input waits for a guest that listens: RTS is up, or the guest has never
 *   touched RTS but enabled the receiver interrupt or polls the line status.
 *   A driver clears the FIFO when it starts; what came earlier would be lost.
 *   A guest that lowers RTS again (crtscts, or a port that is closed) is
 *   obeyed.
 */
#include "vmm/dev/serial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/bus/loop.h"
#include "vmm/dev/uart.h"
#include "vmm/io/terminal.h"
#include "vmm/snap/section.h"

#define BACKLOG_BYTES 4096
#define TX_MARK_BYTES 16384
#define TX_BYTES      (4 * TX_MARK_BYTES)

#define REFILL_PAUSE_NS INT64_C(2000000)

/* How long the last bytes of output are waited for: without progress, in all. */
#define QUIESCE_IDLE_MS	 100
#define QUIESCE_TOTAL_MS 1000
#define DESTROY_IDLE_MS	 2000
#define DESTROY_TOTAL_MS 30000

struct serial {
	struct serial_config config;
	char name[32];

	pthread_mutex_t lock;
	struct uart uart;
	bool line_up; /* the interrupt line as we set it */
	bool tx_gone; /* there is no reader: output is dropped */
	bool stopped; /* quiesced */
	bool backlog_waiting; /* bytes for the FIFO when it is empty */
	uint64_t tx_head, tx_tail; /* put at head, taken at tail */
	uint64_t tx_lost; /* bytes that found the ring full */
	uint8_t *tx; /* TX_BYTES */
	int64_t filled_ns; /* when the FIFO was last filled */
	int64_t refill_ns; /* not before this */

	/* The loop thread's, or the thread's that stopped it. */
	struct loop_source *wake_source, *timer_source;
	struct loop_source *in_source, *out_source; /* there while watched */
	int wake_fd, timer_fd;
	bool in_always, out_always; /* epoll does not take it: always ready */
	bool in_ended;
	uint8_t *backlog; /* BACKLOG_BYTES */
	size_t backlog_at, backlog_len;
};

/* The time, in a type that differences may be negative in. */
static int64_t now_ns(void)
{
	return (int64_t)clock_now_ns();
}

/* Has the loop look at the buffers.  Any thread. */
static void serial_wake(struct serial *s)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, which wakes as well. */
	(void)!write(s->wake_fd, &one, sizeof(one));
}

/* ---- the guest side: vCPU threads, with the lock held ---- */

/* Moves the interrupt line where the registers say, if it is not there. */
static void update_line(struct serial *s)
{
	bool up = uart_interrupts(&s->uart);

	if (up == s->line_up)
		return;
	s->line_up = up;
	irq_line_set(s->config.irqs, s->config.gsi, 0, up);
}

/* Puts a byte into the ring of output. */
static void tx_put(struct serial *s, uint8_t byte)
{
	uint64_t used = s->tx_head - s->tx_tail;

	if (s->tx_gone || !s->config.terminal)
		return;
	if (used == TX_BYTES) {
		s->tx_lost++;
		return;
	}
	s->tx[s->tx_head++ % TX_BYTES] = byte;
	if (used + 1 >= TX_MARK_BYTES)
		uart_set_ready(&s->uart, false);
	if (!used && !s->stopped)
		serial_wake(s);
}

/*
 * After registers were touched: moves the line, and wakes the loop when there
 * is input and the guest can take it now.
 */
static void after_access(struct serial *s)
{
	update_line(s);
	if (s->backlog_waiting && !s->uart.fifo_len && uart_listens(&s->uart)) {
		s->backlog_waiting = false;
		serial_wake(s);
	}
}

/* The guest emptied the FIFO: notes when it may be filled again. */
static void fifo_emptied(struct serial *s)
{
	int64_t now = now_ns(), took = now - s->filled_ns;

	s->refill_ns = now + (took < REFILL_PAUSE_NS ? took : REFILL_PAUSE_NS);
}

/*
 * A read.  A wide access is one to each register, as on an eight-bit bus.
 */
static uint64_t serial_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct serial *s = ctx;
	uint64_t value = 0;
	bool had;

	pthread_mutex_lock(&s->lock);
	had = s->uart.fifo_len;
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)uart_read(&s->uart,
					     (offset + i) % UART_REGISTERS)
			 << (8 * i);
	if (had && !s->uart.fifo_len)
		fifo_emptied(s);
	after_access(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

static void serial_write(void *ctx, uint64_t offset, unsigned int size,
			 uint64_t value)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < size; i++, value >>= 8) {
		if (uart_write(&s->uart, (offset + i) % UART_REGISTERS,
			       (uint8_t)value))
			tx_put(s, (uint8_t)value);
	}
	after_access(s);
	pthread_mutex_unlock(&s->lock);
}

static const struct bus_ops serial_bus_ops = {
	.read = serial_read,
	.write = serial_write,
};

/* ---- the host side; the loop thread, or the thread that stopped it ---- */

static void on_host(void *ctx, uint32_t events);

/*
 * Watches or stops watching a descriptor of the terminal.  A source is removed
 * rather than muted, because epoll tells of a hang-up whatever it is asked.
 * When epoll does not take the descriptor, *@always is set.
 */
static void watch(struct serial *s, struct loop_source **source, int fd,
		  uint32_t events, bool *always)
{
	int err;

	if (!events) {
		loop_remove(*source);
		*source = NULL;
	} else if (!*source && !*always) {
		err = loop_add(s->config.loop, source, fd, events, on_host, s);
		*always = err == -EPERM;
		if (*always)
			serial_wake(s);
		else if (err)
			log_errno(-err, "%s: watch the terminal", s->name);
	}
}

/* Reads what the backlog has room for. */
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

/* Has the timer call the loop at @at_ns. */
static void arm_timer(struct serial *s, int64_t at_ns)
{
	struct itimerspec when = {
		.it_value = { .tv_sec = at_ns / 1000000000,
			      .tv_nsec = at_ns % 1000000000 },
	};

	timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Moves bytes from the backlog into the FIFO, if the guest is to have any. */
static void fill_fifo(struct serial *s)
{
	int64_t now = now_ns();
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
	update_line(s);
}

/* Input: terminal to backlog to FIFO. */
static void pump_input(struct serial *s)
{
	/* Below half: else each FIFO of bytes would cost a read and a watch. */
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

/* After output went: lets the guest send again once half the mark is free. */
static void release_transmitter(struct serial *s)
{
	if (s->uart.ready || s->tx_head - s->tx_tail > TX_MARK_BYTES / 2)
		return;
	uart_set_ready(&s->uart, true);
	update_line(s);
}

/*
 * Writes one stretch of the ring to the terminal, with the lock released
 * meanwhile.  How many bytes went; 0 when the ring is empty or the terminal
 * full.  The lock is held at entry and at return.
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
		/* Said once: nothing is written from here on. */
		s->tx_gone = true;
		s->tx_tail = s->tx_head;
	} else {
		s->tx_tail += (uint64_t)n;
	}
	release_transmitter(s);
	return n > 0 ? (size_t)n : 0;
}

/*
 * Output: ring to terminal.  Ends after a ring's worth, so that a guest which
 * never stops leaves the loop some time for others.
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

/* Whatever came: the loop's handler of the terminal's two descriptors. */
static void on_host(void *ctx, uint32_t events)
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
	uint64_t count;

	/* Only to make them wait again; one of the two has nothing to tell. */
	(void)!read(s->wake_fd, &count, sizeof(count));
	(void)!read(s->timer_fd, &count, sizeof(count));
	on_host(s, events);
}

/*
 * Writes out what is left, until @idle_ms pass with no progress or @total_ms in
 * all.  The loop does not touch the port now.
 */
static void flush_output(struct serial *s, int idle_ms, int64_t total_ms)
{
	int64_t end = now_ns() + total_ms * 1000000;
	struct pollfd p = { .events = POLLOUT };

	if (!s->config.terminal)
		return;
	p.fd = terminal_out_fd(s->config.terminal);
	pthread_mutex_lock(&s->lock);
	while (s->tx_head != s->tx_tail && now_ns() < end) {
		if (!write_some(s) && s->tx_head != s->tx_tail &&
		    poll(&p, 1, idle_ms) <= 0)
			break;
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- the device ---- */

/* Back to power-on; bytes of output in the ring have been sent. */
static void serial_reset(void *state)
{
	struct serial *s = state;

	pthread_mutex_lock(&s->lock);
	uart_reset(&s->uart);
	s->refill_ns = 0;
	update_line(s);
	pthread_mutex_unlock(&s->lock);
}

/* Stops the host side, on the loop thread. */
static void stop_on_loop(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	pthread_mutex_unlock(&s->lock);
	watch(s, &s->in_source, -1, 0, &s->in_always);
	watch(s, &s->out_source, -1, 0, &s->out_always);
}

/* Starts it again, on the loop thread. */
static void start_on_loop(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->stopped = false;
	pthread_mutex_unlock(&s->lock);
	on_host(s, 0);
}

/* Stops the host side, with the output written as far as its reader takes it. */
static int serial_quiesce(void *state)
{
	struct serial *s = state;

	loop_call(s->config.loop, stop_on_loop, s);
	flush_output(s, QUIESCE_IDLE_MS, QUIESCE_TOTAL_MS);
	return 0;
}

static void serial_resume(void *state)
{
	struct serial *s = state;

	loop_call(s->config.loop, start_on_loop, s);
}

/* Writes the registers, the FIFO, and output that is not written yet. */
static int serial_save(void *state, struct snap_writer *w)
{
	struct serial *s = state;

	pthread_mutex_lock(&s->lock);
	uart_save(&s->uart, w);
	snap_put_u32(w, (uint32_t)(s->tx_head - s->tx_tail));
	for (uint64_t at = s->tx_tail; at != s->tx_head; at++)
		snap_put_u8(w, s->tx[at % TX_BYTES]);
	pthread_mutex_unlock(&s->lock);
	return w->error;
}

/* Reads what serial_save() wrote; output that was pending is written here. */
static int serial_load(void *state, struct snap_reader *r)
{
	struct serial *s = state;
	struct uart uart;
	const uint8_t *tx;
	size_t len;

	uart_load(&uart, r);
	tx = snap_get_blob(r, TX_BYTES, &len);
	if (snap_reader_error(r)) {
		serial_reset(s);
		return snap_reader_error(r);
	}
	pthread_mutex_lock(&s->lock);
	s->uart = uart;
	for (size_t i = 0; i < len; i++)
		tx_put(s, tx[i]);
	/* A transmitter held by nothing would never be released. */
	release_transmitter(s);
	s->refill_ns = 0;
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* Frees what create made, as far as it came. */
static void serial_free(struct serial *s)
{
	loop_remove(s->wake_source);
	loop_remove(s->timer_source);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->backlog);
	free(s->tx);
	free(s);
}

/* Takes it off the bus, writes out what is left, and frees it. */
static void serial_destroy(void *state)
{
	struct serial *s = state;

	if (!s)
		return;
	bus_remove(s->config.bus, s->config.base, s);
	loop_call(s->config.loop, stop_on_loop, s);
	flush_output(s, DESTROY_IDLE_MS, DESTROY_TOTAL_MS);
	if (s->tx_head != s->tx_tail || s->tx_lost)
		log_warn("%s: %llu bytes of output found no reader", s->name,
			 (unsigned long long)(s->tx_head - s->tx_tail +
					      s->tx_lost));
	serial_free(s);
}

static const struct device_ops serial_ops = {
	.kind = "16550a",
	.reset = serial_reset,
	.quiesce = serial_quiesce,
	.resume = serial_resume,
	.save = serial_save,
	.load = serial_load,
	.destroy = serial_destroy,
};

/* Makes the buffers and what wakes the loop; 0 or -errno. */
static int serial_set_up(struct serial *s)
{
	struct loop *loop = s->config.loop;
	int err;

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

/* Puts the port on its bus. */
static int serial_attach(struct serial *s)
{
	struct bus_range range = { s->config.base, UART_REGISTERS,
				   &serial_bus_ops, s, "serial" };

	return bus_add(s->config.bus, &range);
}

int serial_create(struct device *device, const char *name,
		  const struct serial_config *config)
{
	struct serial *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return log_errno(ENOMEM, "%s", name);
	s->config = *config;
	s->wake_fd = s->timer_fd = -1;
	snprintf(s->name, sizeof(s->name), "%s", name);
	pthread_mutex_init(&s->lock, NULL);
	serial_reset(s);
	err = serial_set_up(s);
	if (!err)
		err = serial_attach(s);
	if (err) {
		serial_free(s);
		return log_errno(-err, "%s at %#llx", name,
				 (unsigned long long)config->base);
	}
	/* The first look at the terminal, once the loop runs. */
	serial_wake(s);
	*device = (struct device){ .ops = &serial_ops, .state = s };
	snprintf(device->name, sizeof(device->name), "%s", name);
	return 0;
}
