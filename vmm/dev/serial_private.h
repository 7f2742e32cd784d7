/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the files of the serial port.  Calls go one way: serial.c,
 * serial_pump.c, serial_registers.c, uart.c.
 */
#ifndef VMM_DEV_SERIAL_PRIVATE_H
#define VMM_DEV_SERIAL_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/dev/serial.h"
#include "vmm/dev/uart.h"

struct bus_ops;
struct loop_source;

#define TX_MARK_BYTES 16384
#define TX_BYTES      (4 * TX_MARK_BYTES)

struct serial {
	struct serial_config config;
	char name[32];

	pthread_mutex_t lock; /* guards the fields down to refill_ns */
	struct uart uart;
	bool line_up; /* the interrupt line as last set */
	bool tx_failed; /* writing failed: output is dropped */
	bool stopped; /* quiesced */
	bool backlog_waiting; /* input waits for an empty FIFO and RTS */
	uint64_t tx_head, tx_tail; /* free-running: added, removed */
	uint64_t tx_dropped; /* bytes written while the ring was full */
	uint8_t *tx; /* TX_BYTES, owned */
	int64_t filled_ns; /* when the FIFO was last filled */
	int64_t refill_ns; /* the FIFO stays empty until then */

	/* Loop thread, or any thread while the pump is stopped. */
	struct loop_source *wake_source, *timer_source;
	struct loop_source *in_source, *out_source; /* NULL: not watched */
	int wake_fd, timer_fd; /* -1: none */
	bool in_always, out_always; /* not pollable: always ready */
	bool in_ended; /* end of input, or an error */
	uint8_t *backlog; /* owned */
	size_t backlog_at, backlog_len;
};

/* serial_registers.c */

extern const struct bus_ops serial_bus_ops;

/* CLOCK_MONOTONIC in ns; signed, for differences. */
int64_t serial_now_ns(void);

/* Makes the loop thread run the pump.  Any thread. */
void serial_wake(struct serial *s);

/* Sets the interrupt line to what the registers imply; lock held. */
void serial_update_line(struct serial *s);

/* Adds a byte of output; dropped if the ring is full.  Lock held. */
void serial_tx_put(struct serial *s, uint8_t byte);

/* serial_pump.c */

/*
 * Allocates the buffers and watches the eventfd and the timer.  0 or -errno,
 * silent; serial_pump_finish() cleans up in either case.
 */
int serial_pump_init(struct serial *s);
void serial_pump_finish(struct serial *s);

/*
 * Start and stop moving bytes between buffers and terminal.  Any thread; done
 * when they return.
 */
void serial_pump_start(struct serial *s);
void serial_pump_stop(struct serial *s);

/*
 * Writes pending output until all of it is written, @idle_ms pass without
 * progress, or @total_ms have passed.  The pump is stopped.
 */
void serial_pump_flush(struct serial *s, int idle_ms, int64_t total_ms);

/* Makes the transmitter ready again once the ring is low; lock held. */
void serial_release_transmitter(struct serial *s);

#endif
