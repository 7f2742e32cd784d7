/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a 16550A (National Semiconductor PC16550D data sheet, June
 * 1995), and nothing else: no host, no lock, no time.  The serial port embeds
 * it and guards it with its lock.
 *
 * To the guest a byte is sent the moment it is written, as long as the owner
 * keeps the transmitter ready.
 */
#ifndef VMM_DEV_UART_H
#define VMM_DEV_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snap_writer;
struct snap_reader;

#define UART_REGISTERS	8
#define UART_FIFO_BYTES 16

/* The guest-visible state of the port; all of it is saved. */
struct uart {
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t msr; /* modem status and its delta bits */
	uint8_t errors; /* error bits of LSR, until it is read */
	bool ready; /* the transmitter takes bytes: THRE and TEMT */
	bool thre_pending; /* a THRE interrupt is due */
	bool rts_seen; /* RTS was raised since reset */
	uint8_t polls; /* idle reads of LSR in a row, up to a limit */
	uint8_t fifo_len;
	uint8_t fifo[UART_FIFO_BYTES];
};

/* Sets all registers to their power-on values. */
void uart_reset(struct uart *u);

/* Reads register @reg, 0 to 7. */
uint8_t uart_read(struct uart *u, unsigned int reg);

/* Writes register @reg, 0 to 7; true when @value is a byte to be sent. */
bool uart_write(struct uart *u, unsigned int reg, uint8_t value);

/* Whether the interrupt line is up. */
bool uart_interrupts(const struct uart *u);

/* THRE and TEMT; ready also makes a THRE interrupt pending. */
void uart_set_ready(struct uart *u, bool ready);

/*
 * Whether the guest reads input: RTS is up, or the guest has not raised RTS
 * since reset but enabled the receiver interrupt or keeps polling the line
 * status.  Never in loopback.
 */
bool uart_listens(const struct uart *u);

/*
 * Puts up to @len bytes into an empty receiver FIFO: at most 16, or one while
 * the guest has FIFOs disabled.  Returns the number taken, 0 if the FIFO is not
 * empty.
 */
size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t len);

/* Save and load all fields; load masks each to its valid bits. */
void uart_save(const struct uart *u, struct snap_writer *w);
void uart_load(struct uart *u, struct snap_reader *r);

#endif
