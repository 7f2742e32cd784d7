/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest side of the serial port: registers on a bus, the interrupt line,
 * and the output ring's head.  vCPU threads; the port's lock guards all of it.
 */

#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/dev/serial_private.h"

#define REFILL_PAUSE_NS INT64_C(2000000)

int64_t serial_now_ns(void)
{
	return (int64_t)clock_now_ns();
}

void serial_wake(struct serial *s)
{
	event_signal(s->wake_fd);
}

void serial_update_line(struct serial *s)
{
	bool up = uart_interrupts(&s->uart);

	if (up == s->line_up)
		return;
	s->line_up = up;
	irq_line_set(s->config.irqs, s->config.gsi, 0, up);
}

void serial_tx_put(struct serial *s, uint8_t byte)
{
	uint64_t used = s->tx_head - s->tx_tail;

	if (s->tx_failed || !s->config.terminal)
		return;
	if (used == TX_BYTES) {
		s->tx_dropped++;
		return;
	}
	s->tx[s->tx_head++ % TX_BYTES] = byte;
	if (used + 1 >= TX_MARK_BYTES)
		uart_set_ready(&s->uart, false);
	if (!used && !s->stopped)
		serial_wake(s);
}

/* Updates the line, and wakes the pump if the guest can take input now. */
static void after_access(struct serial *s)
{
	serial_update_line(s);
	if (s->backlog_waiting && !s->uart.fifo_len && uart_listens(&s->uart)) {
		s->backlog_waiting = false;
		serial_wake(s);
	}
}

/* The guest emptied the FIFO: sets when it may be filled again. */
static void fifo_emptied(struct serial *s)
{
	int64_t now = serial_now_ns(), took = now - s->filled_ns;

	s->refill_ns = now + (took < REFILL_PAUSE_NS ? took : REFILL_PAUSE_NS);
}

/* A wide access is one access of each register, as on an eight-bit bus. */
static uint64_t serial_read(void *ctx, uint64_t offset, unsigned int size)
{
	struct serial *s = ctx;
	uint64_t value = 0;
	bool had_input;

	pthread_mutex_lock(&s->lock);
	had_input = s->uart.fifo_len;
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)uart_read(&s->uart,
					     (offset + i) % UART_REGISTERS)
			 << (8 * i);
	if (had_input && !s->uart.fifo_len)
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
			serial_tx_put(s, (uint8_t)value);
	}
	after_access(s);
	pthread_mutex_unlock(&s->lock);
}

const struct bus_ops serial_bus_ops = {
	.read = serial_read,
	.write = serial_write,
};
