/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A serial port: its life and its state.
 *
 * vCPU threads access the registers (serial_registers.c); the event loop moves
 * bytes between the buffers and the terminal (serial_pump.c).  One mutex guards
 * what both use.  Under it the only system call is the one that sets the
 * interrupt line, so a vCPU never waits for a reader of the output.  Lock
 * order: serial, then irqs.
 *
 * Output.  A byte written to THR is added to a ring, and the loop writes the
 * ring to the terminal.  A vCPU wakes the loop only when the ring was empty, so
 * a line of text costs one wake-up.  To the guest a byte is sent at once, until
 * the ring is filled to its mark: then THRE and TEMT stay low until the ring is
 * down to half the mark, which throttles the guest to the speed of the reader.
 * Drivers write some bytes regardless (Linux waits at most 10 ms a byte), so
 * the ring is four times as large as the mark.
 *
 * Input.  The loop reads ahead into a backlog, so that Ctrl-A x works even when
 * the guest does not read, and fills the 16 bytes of the receiver FIFO from the
 * backlog.  When the backlog is full it stops reading:
 * the rest waits in the terminal.  Two rules keep a long paste complete:
 *
 * - The FIFO is filled again only when the guest has emptied it, and then only
 *   after a pause as long as the guest took for it, at most REFILL_PAUSE_NS.
 *   Without the pause the driver's interrupt handler would never see an empty
 *   FIFO, the rest of the guest would not run, and its buffers would overflow.
 * - Input waits until the guest reads: RTS is up, or the guest has never
 *   touched RTS but enabled the receiver interrupt or polls the line status.
 *   A driver clears the FIFO when it starts, so earlier input would be lost.
 *   A guest that lowers RTS again (crtscts, or a closed port) gets no input.
 */
#include "vmm/dev/serial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/log.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/loop.h"
#include "vmm/dev/serial_private.h"
#include "vmm/io/terminal.h"
#include "vmm/snap/section.h"

/* Limits on flushing output: without progress, and in all. */
#define QUIESCE_IDLE_MS	 100
#define QUIESCE_TOTAL_MS 1000
#define DESTROY_IDLE_MS	 2000
#define DESTROY_TOTAL_MS 30000

/* Output in the ring counts as sent, so it stays. */
static void serial_reset(void *state)
{
	struct serial *s = state;

	pthread_mutex_lock(&s->lock);
	uart_reset(&s->uart);
	s->refill_ns = 0;
	serial_update_line(s);
	pthread_mutex_unlock(&s->lock);
}

/* Output that a slow reader leaves in the ring is saved. */
static int serial_quiesce(void *state, uint64_t deadline_ns)
{
	struct serial *s = state;

	(void)deadline_ns;
	serial_pump_stop(s);
	serial_pump_flush(s, QUIESCE_IDLE_MS, QUIESCE_TOTAL_MS);
	return 0;
}

static void serial_resume(void *state)
{
	serial_pump_start(state);
}

/* Writes the registers, the FIFO, and pending output. */
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

/* Reads what serial_save() wrote; pending output is written after resume. */
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
		serial_tx_put(s, tx[i]);
	/* With no output pending, nothing else makes it ready again. */
	serial_release_transmitter(s);
	s->refill_ns = 0;
	serial_update_line(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void serial_free(struct serial *s)
{
	serial_pump_finish(s);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void serial_destroy(void *state)
{
	struct serial *s = state;

	if (!s)
		return;
	if (s->config.terminal)
		terminal_set_wake(s->config.terminal, NULL, NULL);
	bus_remove(s->config.bus, s->config.base, s);
	serial_pump_stop(s);
	serial_pump_flush(s, DESTROY_IDLE_MS, DESTROY_TOTAL_MS);
	if (s->tx_head != s->tx_tail || s->tx_dropped)
		log_warn("%s: %llu bytes of output lost: reader too slow",
			 s->name,
			 (unsigned long long)(s->tx_head - s->tx_tail +
					      s->tx_dropped));
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

/* The terminal has read ahead, on another thread. */
static void wake(void *ctx)
{
	serial_wake(ctx);
}

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
	snprintf(s->name, sizeof(s->name), "%s", name);
	pthread_mutex_init(&s->lock, NULL);
	serial_reset(s);
	err = serial_pump_init(s);
	if (!err)
		err = serial_attach(s);
	if (err) {
		serial_free(s);
		return log_errno(-err, "%s at %#llx", name,
				 (unsigned long long)config->base);
	}
	if (s->config.terminal)
		terminal_set_wake(s->config.terminal, wake, s);
	/* Reads the terminal for the first time, once the loop runs. */
	serial_wake(s);
	*device = (struct device){ .ops = &serial_ops, .state = s };
	snprintf(device->name, sizeof(device->name), "%s", name);
	return 0;
}
