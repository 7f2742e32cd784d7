/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A serial port (National Semiconductor PC16550D data sheet, June 1995;
 * "table" and "section" below are of it).
 *
 * Two sides meet here.  vCPU threads read and write registers; the event loop
 * moves bytes between the buffers and the terminal.  One mutex guards all of
 * struct serial but its configuration and the loop's own part; nobody holds it
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
#include "vmm/base/log.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/bus/loop.h"
#include "vmm/io/terminal.h"
#include "vmm/snap/section.h"

/* Register offsets, table II; with DLAB set, 0 and 1 are the divisor. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR,
       REG_SCR, REG_COUNT };

#define IER_RDI	 0x01 /* received data */
#define IER_THRI 0x02 /* transmitter empty */
#define IER_RLSI 0x04 /* line status */
#define IER_MSI	 0x08 /* modem status */

/* Interrupt identification, table IV, highest priority first. */
#define IIR_RLS	    0x06
#define IIR_RDA	    0x04
#define IIR_TIMEOUT 0x0c
#define IIR_THRE    0x02
#define IIR_MS	    0x00
#define IIR_NONE    0x01
#define IIR_FIFOS   0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_KEPT     0xc9 /* trigger level, DMA mode, enable */

#define LCR_DLAB 0x80

#define MCR_DTR	 0x01
#define MCR_RTS	 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR	 0x01
#define LSR_OE	 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_CTS	   0x10
#define MSR_DSR	   0x20
#define MSR_RI	   0x40
#define MSR_DCD	   0x80
#define MSR_STATUS 0xf0

#define FIFO_BYTES    16
#define BACKLOG_BYTES 4096
#define TX_MARK_BYTES 16384
#define TX_BYTES      (4 * TX_MARK_BYTES)

/* Idle reads of LSR after which the guest is taken for one that polls. */
#define POLLS_ENOUGH 32

#define REFILL_PAUSE_NS INT64_C(2000000)

/* How long the last bytes of output are waited for: without progress, in all. */
#define QUIESCE_IDLE_MS	 100
#define QUIESCE_TOTAL_MS 1000
#define DESTROY_IDLE_MS	 2000
#define DESTROY_TOTAL_MS 30000

/* What the guest can see, and all that is saved besides the output. */
struct serial_state {
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t msr; /* status as last seen, and the delta bits */
	uint8_t lsr_errors; /* overrun, until LSR is read */
	bool thre_pending; /* a THRE interrupt is due */
	bool rts_seen; /* RTS was raised since reset */
	uint8_t polls; /* see POLLS_ENOUGH */
	uint8_t fifo_len;
	uint8_t fifo[FIFO_BYTES];
};

struct serial {
	struct serial_config config;
	char name[32];

	pthread_mutex_t lock;
	struct serial_state state;
	bool line_up; /* the interrupt line as we set it */
	bool tx_held; /* the ring passed its mark */
	bool tx_gone; /* nobody reads: output is dropped */
	bool stopped; /* quiesced */
	bool backlog_waiting; /* bytes for the FIFO when it is empty */
	uint64_t tx_head, tx_tail; /* put at head, taken at tail */
	uint64_t tx_lost; /* bytes that found the ring full */
	uint8_t *tx; /* TX_BYTES */
	int64_t filled_ns; /* when the FIFO was last filled */
	int64_t refill_ns; /* not before this */

	/* The loop thread's, or whoever stopped it. */
	struct loop_source *wake_source, *timer_source;
	struct loop_source *in_source, *out_source; /* there while watched */
	int wake_fd, timer_fd;
	bool in_always, out_always; /* epoll does not take it: always ready */
	bool in_ended;
	uint8_t *backlog; /* BACKLOG_BYTES */
	size_t backlog_at, backlog_len;
};

/* CLOCK_MONOTONIC in nanoseconds. */
static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Has the loop look at the buffers.  Any thread. */
static void serial_wake(struct serial *s)
{
	uint64_t one = 1;

	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: it is awake already */
}

/* ---- registers; all of it with the lock held ---- */

/* How many bytes raise the receiver interrupt, section 8.4. */
static unsigned int rx_trigger(const struct serial_state *st)
{
	static const uint8_t levels[4] = { 1, 4, 8, 14 };

	return st->fcr & FCR_ENABLE ? levels[st->fcr >> 6] : 1;
}

/*
 * The interrupt of the highest priority, as IIR has it.  Bytes below the
 * trigger level raise the timeout interrupt at once: no more come soon.
 */
static uint8_t interrupt_id(const struct serial_state *st)
{
	if ((st->ier & IER_RLSI) && st->lsr_errors)
		return IIR_RLS;
	if ((st->ier & IER_RDI) && st->fifo_len)
		return st->fifo_len >= rx_trigger(st) ? IIR_RDA : IIR_TIMEOUT;
	if ((st->ier & IER_THRI) && st->thre_pending)
		return IIR_THRE;
	if ((st->ier & IER_MSI) && (st->msr & ~MSR_STATUS))
		return IIR_MS;
	return IIR_NONE;
}

/* Moves the interrupt line where the registers say, if it is not there. */
static void update_line(struct serial *s)
{
	bool up = interrupt_id(&s->state) != IIR_NONE;

	if (up == s->line_up)
		return;
	s->line_up = up;
	irq_line_set(s->config.irqs, s->config.gsi, 0, up);
}

/* Works out the modem inputs, and notes which changed, section 8.8. */
static void update_modem(struct serial_state *st)
{
	uint8_t status = MSR_CTS | MSR_DSR | MSR_DCD, changed;

	if (st->mcr & MCR_LOOP)
		status = (st->mcr & MCR_RTS ? MSR_CTS : 0) |
			 (st->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (st->mcr & MCR_OUT1 ? MSR_RI : 0) |
			 (st->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = (st->msr ^ status) & MSR_STATUS;
	/* The ring indicator counts only when it goes away. */
	if (status & MSR_RI)
		changed &= (uint8_t)~MSR_RI;
	st->msr = status | (st->msr & ~MSR_STATUS) | changed >> 4;
}

/* Whether the guest would take input now; see the top of the file. */
static bool guest_listens(const struct serial_state *st)
{
	if (st->mcr & MCR_LOOP)
		return false;
	if (st->mcr & MCR_RTS)
		return true;
	return !st->rts_seen &&
	       ((st->ier & IER_RDI) || st->polls >= POLLS_ENOUGH);
}

/* The FIFO became empty, or the guest began to listen: more may come. */
static void want_input(struct serial *s)
{
	if (s->backlog_waiting && !s->state.fifo_len &&
	    guest_listens(&s->state)) {
		s->backlog_waiting = false;
		serial_wake(s);
	}
}

/* RBR: the oldest byte, or 0 when there is none. */
static uint8_t read_rbr(struct serial *s)
{
	struct serial_state *st = &s->state;
	uint8_t byte = 0;
	int64_t now;

	if (!st->fifo_len)
		return 0;
	byte = st->fifo[0];
	memmove(st->fifo, st->fifo + 1, --st->fifo_len);
	if (!st->fifo_len && !(st->mcr & MCR_LOOP)) {
		now = now_ns();
		s->refill_ns = now + (now - s->filled_ns < REFILL_PAUSE_NS ?
					      now - s->filled_ns :
					      REFILL_PAUSE_NS);
		want_input(s);
	}
	return byte;
}

/* LSR, section 8.3; reading it clears the errors. */
static uint8_t read_lsr(struct serial *s)
{
	struct serial_state *st = &s->state;
	uint8_t lsr = st->lsr_errors;

	st->lsr_errors = 0;
	if (st->fifo_len)
		lsr |= LSR_DR;
	if (!s->tx_held)
		lsr |= LSR_THRE | LSR_TEMT;
	if (lsr == (LSR_THRE | LSR_TEMT) && st->polls < POLLS_ENOUGH &&
	    ++st->polls == POLLS_ENOUGH)
		want_input(s);
	return lsr;
}

/* IIR; reading it clears a THRE interrupt when that is what it tells. */
static uint8_t read_iir(struct serial_state *st)
{
	uint8_t id = interrupt_id(st);

	if (id == IIR_THRE)
		st->thre_pending = false;
	return id | (st->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

/* One register's value. */
static uint8_t read_register(struct serial *s, unsigned int reg)
{
	struct serial_state *st = &s->state;
	uint8_t value;

	switch (reg) {
	case REG_DATA:
		return st->lcr & LCR_DLAB ? st->dll : read_rbr(s);
	case REG_IER:
		return st->lcr & LCR_DLAB ? st->dlm : st->ier;
	case REG_IIR_FCR:
		return read_iir(st);
	case REG_LCR:
		return st->lcr;
	case REG_MCR:
		return st->mcr;
	case REG_LSR:
		return read_lsr(s);
	case REG_MSR:
		value = st->msr;
		st->msr &= MSR_STATUS;
		return value;
	default:
		return st->scr;
	}
}

/* In loopback, what is sent is received. */
static void loop_back(struct serial_state *st, uint8_t byte)
{
	unsigned int room = st->fcr & FCR_ENABLE ? FIFO_BYTES : 1;

	if (st->fifo_len < room)
		st->fifo[st->fifo_len++] = byte;
	else
		st->lsr_errors |= LSR_OE;
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
		s->tx_held = true;
	if (!used && !s->stopped)
		serial_wake(s);
}

/* THR: sends a byte; the transmitter is empty again at once unless held. */
static void write_thr(struct serial *s, uint8_t byte)
{
	s->state.thre_pending = false;
	if (s->state.mcr & MCR_LOOP)
		loop_back(&s->state, byte);
	else
		tx_put(s, byte);
	s->state.thre_pending = !s->tx_held;
}

/* IER: enabling the THRE interrupt raises it when the transmitter is empty. */
static void write_ier(struct serial *s, uint8_t value)
{
	struct serial_state *st = &s->state;

	value &= IER_RDI | IER_THRI | IER_RLSI | IER_MSI;
	if ((value & IER_THRI) && !(st->ier & IER_THRI))
		st->thre_pending = !s->tx_held;
	st->ier = value;
	want_input(s);
}

/*
 * FCR, section 8.4.  Bytes of output in the ring count as sent, so there is no
 * transmitter FIFO to clear.
 */
static void write_fcr(struct serial *s, uint8_t value)
{
	struct serial_state *st = &s->state;

	if (((value ^ st->fcr) & FCR_ENABLE) || (value & FCR_CLEAR_RX)) {
		st->fifo_len = 0;
		st->lsr_errors = 0;
	}
	/* The other bits can only be programmed while bit 0 is one. */
	st->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	want_input(s);
}

/* MCR: the outputs, and loopback, which has a FIFO of its own. */
static void write_mcr(struct serial *s, uint8_t value)
{
	struct serial_state *st = &s->state;

	value &= MCR_MASK;
	if ((value & MCR_RTS) && !(value & MCR_LOOP))
		st->rts_seen = true;
	st->mcr = value;
	update_modem(st);
	want_input(s);
}

/* One register is written. */
static void write_register(struct serial *s, unsigned int reg, uint8_t value)
{
	struct serial_state *st = &s->state;

	switch (reg) {
	case REG_DATA:
		if (st->lcr & LCR_DLAB)
			st->dll = value;
		else
			write_thr(s, value);
		break;
	case REG_IER:
		if (st->lcr & LCR_DLAB)
			st->dlm = value;
		else
			write_ier(s, value);
		break;
	case REG_IIR_FCR:
		write_fcr(s, value);
		break;
	case REG_LCR:
		st->lcr = value;
		break;
	case REG_MCR:
		write_mcr(s, value);
		break;
	case REG_SCR:
		st->scr = value;
		break;
	default: /* LSR and MSR are not written */
		break;
	}
}

/*
 * A read on a vCPU thread.  A wide access is one to each register, as on an
 * eight-bit bus.
 */
static uint64_t serial_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct serial *s = ctx;
	uint64_t value = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < size; i++) {
		unsigned int reg = (unsigned int)(offset + i) % REG_COUNT;

		value |= (uint64_t)read_register(s, reg) << (8 * i);
	}
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

/* A write on a vCPU thread. */
static void serial_write(void *ctx, uint64_t offset, unsigned int size,
			 uint64_t value)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < size; i++)
		write_register(s, (unsigned int)(offset + i) % REG_COUNT,
			       (uint8_t)(value >> (8 * i)));
	s->state.polls = 0;
	update_line(s);
	pthread_mutex_unlock(&s->lock);
}

static const struct bus_ops serial_bus_ops = {
	.read = serial_read,
	.write = serial_write,
};

/* ---- the host side; the loop thread, or whoever stopped it ---- */

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
		if (err && err != -EPERM)
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
	struct serial_state *st = &s->state;
	size_t n = st->fcr & FCR_ENABLE ? FIFO_BYTES : 1;
	int64_t now = now_ns();

	if (!s->backlog_len)
		return;
	if (st->fifo_len || !guest_listens(st)) {
		s->backlog_waiting = true;
		return;
	}
	if (now < s->refill_ns) {
		arm_timer(s, s->refill_ns);
		return;
	}
	n = min_u64(n, s->backlog_len);
	memcpy(st->fifo, s->backlog + s->backlog_at, n);
	st->fifo_len = (uint8_t)n;
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
	bool want = s->backlog_len <= BACKLOG_BYTES / 2;

	if (want)
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
	if (!s->tx_held || s->tx_head - s->tx_tail > TX_MARK_BYTES / 2)
		return;
	s->tx_held = false;
	s->state.thre_pending = true;
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

	/* Either may have nothing to tell: both are read, neither waits. */
	if (read(s->wake_fd, &count, sizeof(count)) < 0 &&
	    read(s->timer_fd, &count, sizeof(count)) < 0)
		return;
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
	s->state = (struct serial_state){
		.msr = MSR_CTS | MSR_DSR | MSR_DCD,
		.dll = 12, /* 9600 baud */
	};
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

/* Starts it again. */
static void serial_resume(void *state)
{
	struct serial *s = state;

	loop_call(s->config.loop, start_on_loop, s);
}

/* Writes the registers, the FIFO, and output that nobody has taken yet. */
static int serial_save(void *state, struct snap_writer *w)
{
	struct serial *s = state;
	const struct serial_state *st = &s->state;

	pthread_mutex_lock(&s->lock);
	snap_put_u8(w, st->ier);
	snap_put_u8(w, st->fcr);
	snap_put_u8(w, st->lcr);
	snap_put_u8(w, st->mcr);
	snap_put_u8(w, st->scr);
	snap_put_u8(w, st->dll);
	snap_put_u8(w, st->dlm);
	snap_put_u8(w, st->msr);
	snap_put_u8(w, st->lsr_errors);
	snap_put_u8(w, st->thre_pending);
	snap_put_u8(w, st->rts_seen);
	snap_put_u8(w, st->polls);
	snap_put_blob(w, st->fifo, st->fifo_len);
	snap_put_u8(w, s->tx_held);
	snap_put_u32(w, (uint32_t)(s->tx_head - s->tx_tail));
	for (uint64_t at = s->tx_tail; at != s->tx_head; at++)
		snap_put_u8(w, s->tx[at % TX_BYTES]);
	pthread_mutex_unlock(&s->lock);
	return w->error;
}

/* Reads the registers and the FIFO, each value held to what it can be. */
static void load_state(struct serial_state *st, struct snap_reader *r)
{
	const uint8_t *fifo;
	size_t len;

	st->ier = snap_get_u8(r) & 0x0f;
	st->fcr = snap_get_u8(r) & FCR_KEPT;
	st->lcr = snap_get_u8(r);
	st->mcr = snap_get_u8(r) & MCR_MASK;
	st->scr = snap_get_u8(r);
	st->dll = snap_get_u8(r);
	st->dlm = snap_get_u8(r);
	st->msr = snap_get_u8(r);
	st->lsr_errors = snap_get_u8(r) & LSR_OE;
	st->thre_pending = snap_get_u8(r) != 0;
	st->rts_seen = snap_get_u8(r) != 0;
	st->polls = (uint8_t)min_u64(snap_get_u8(r), POLLS_ENOUGH);
	fifo = snap_get_blob(r, FIFO_BYTES, &len);
	st->fifo_len = (uint8_t)len;
	if (fifo)
		memcpy(st->fifo, fifo, len);
}

/* Reads what serial_save() wrote; output that was pending follows what is. */
static int serial_load(void *state, struct snap_reader *r)
{
	struct serial *s = state;
	struct serial_state st = { 0 };
	const uint8_t *tx;
	bool held;
	size_t len;

	load_state(&st, r);
	held = snap_get_u8(r) != 0;
	tx = snap_get_blob(r, TX_BYTES, &len);
	if (snap_reader_error(r)) {
		serial_reset(s);
		return snap_reader_error(r);
	}
	pthread_mutex_lock(&s->lock);
	s->state = st;
	for (size_t i = 0; i < len; i++)
		tx_put(s, tx[i]);
	/* Held with an empty ring would never be released. */
	s->tx_held |= held && s->tx_head != s->tx_tail;
	if (held && !s->tx_held)
		s->state.thre_pending = true;
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
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				     TFD_CLOEXEC | TFD_NONBLOCK);
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
	struct bus_range range = { s->config.base, REG_COUNT, &serial_bus_ops,
				   s, "serial" };

	return bus_add(s->config.bus, &range);
}

/* Makes the port. */
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
