/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a 16550A.  Its owner's lock guards it.
 *
 * "Table" and "section" are of the PC16550D data sheet.  Behaviour is what
 * drivers probe for: modem inputs of a connected peer, loopback, no register
 * beyond the 16550A's, and a THRE interrupt each time it is enabled with the
 * transmitter empty.
 */
#include "vmm/dev/uart.h"

#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/snap/section.h"

/* Register offsets, table II; with DLAB set, 0 and 1 are the divisor. */
enum {
	REG_DATA,
	REG_IER,
	REG_IIR_FCR,
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCR,
};

#define IER_RDI	 0x01 /* received data */
#define IER_THRI 0x02 /* transmitter empty */
#define IER_RLSI 0x04 /* line status */
#define IER_MSI	 0x08 /* modem status */
#define IER_MASK 0x0f

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

/* After this many idle reads of LSR the guest counts as polling. */
#define POLLS_ENOUGH 32

/* The receiver trigger level in bytes, section 8.4. */
static unsigned int rx_trigger(const struct uart *u)
{
	static const uint8_t levels[4] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

/*
 * The pending interrupt of the highest priority, as in IIR.  Bytes below the
 * trigger level raise the timeout interrupt at once.
 */
static uint8_t interrupt_id(const struct uart *u)
{
	if ((u->ier & IER_RLSI) && u->errors)
		return IIR_RLS;
	if ((u->ier & IER_RDI) && u->fifo_len)
		return u->fifo_len >= rx_trigger(u) ? IIR_RDA : IIR_TIMEOUT;
	if ((u->ier & IER_THRI) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MSI) && (u->msr & ~MSR_STATUS))
		return IIR_MS;
	return IIR_NONE;
}

/* Updates the modem inputs and their delta bits, section 8.8. */
static void update_modem(struct uart *u)
{
	uint8_t status = MSR_CTS | MSR_DSR | MSR_DCD, changed;

	if (u->mcr & MCR_LOOP)
		status = (u->mcr & MCR_RTS ? MSR_CTS : 0) |
			 (u->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
			 (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = (u->msr ^ status) & MSR_STATUS;
	/* TERI is set only by the trailing edge of the ring indicator. */
	if (status & MSR_RI)
		changed &= (uint8_t)~MSR_RI;
	u->msr = status | (u->msr & ~MSR_STATUS) | changed >> 4;
}

/* RBR: the oldest byte, or 0 when there is none. */
static uint8_t read_rbr(struct uart *u)
{
	uint8_t byte;

	if (!u->fifo_len)
		return 0;
	byte = u->fifo[0];
	memmove(u->fifo, u->fifo + 1, --u->fifo_len);
	return byte;
}

/* LSR, section 8.3; reading it clears the errors. */
static uint8_t read_lsr(struct uart *u)
{
	uint8_t lsr = u->errors;

	u->errors = 0;
	if (u->fifo_len)
		lsr |= LSR_DR;
	if (u->ready)
		lsr |= LSR_THRE | LSR_TEMT;
	if (lsr == (LSR_THRE | LSR_TEMT) && u->polls < POLLS_ENOUGH)
		u->polls++;
	return lsr;
}

/* IIR; reading it clears a THRE interrupt if it reports one. */
static uint8_t read_iir(struct uart *u)
{
	uint8_t id = interrupt_id(u);

	if (id == IIR_THRE)
		u->thre_pending = false;
	return id | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

uint8_t uart_read(struct uart *u, unsigned int reg)
{
	uint8_t value;

	switch (reg) {
	case REG_DATA:
		return u->lcr & LCR_DLAB ? u->dll : read_rbr(u);
	case REG_IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case REG_IIR_FCR:
		return read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		value = u->msr;
		u->msr &= MSR_STATUS;
		return value;
	default:
		return u->scr;
	}
}

/* Loopback: a sent byte is received. */
static void loop_back(struct uart *u, uint8_t byte)
{
	unsigned int room = u->fcr & FCR_ENABLE ? UART_FIFO_BYTES : 1;

	if (u->fifo_len < room)
		u->fifo[u->fifo_len++] = byte;
	else
		u->errors |= LSR_OE;
}

/* THR: true if the byte is to be sent, false in loopback. */
static bool write_thr(struct uart *u, uint8_t byte)
{
	u->thre_pending = u->ready;
	if (u->mcr & MCR_LOOP)
		loop_back(u, byte);
	return !(u->mcr & MCR_LOOP);
}

/* IER: enabling the THRE interrupt raises it when the transmitter is empty. */
static void write_ier(struct uart *u, uint8_t value)
{
	value &= IER_MASK;
	if ((value & IER_THRI) && !(u->ier & IER_THRI))
		u->thre_pending = u->ready;
	u->ier = value;
}

/*
 * FCR, section 8.4.  Written bytes count as sent, so there is no transmitter
 * FIFO to clear.
 */
static void write_fcr(struct uart *u, uint8_t value)
{
	if (((value ^ u->fcr) & FCR_ENABLE) || (value & FCR_CLEAR_RX)) {
		u->fifo_len = 0;
		u->errors = 0;
	}
	/* The other bits can only be programmed while bit 0 is one. */
	u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

/* MCR: the outputs, and loopback, during which RTS is not seen outside. */
static void write_mcr(struct uart *u, uint8_t value)
{
	value &= MCR_MASK;
	if ((value & MCR_RTS) && !(value & MCR_LOOP))
		u->rts_seen = true;
	u->mcr = value;
	update_modem(u);
}

bool uart_write(struct uart *u, unsigned int reg, uint8_t value)
{
	u->polls = 0;
	switch (reg) {
	case REG_DATA:
		if (!(u->lcr & LCR_DLAB))
			return write_thr(u, value);
		u->dll = value;
		break;
	case REG_IER:
		if (u->lcr & LCR_DLAB)
			u->dlm = value;
		else
			write_ier(u, value);
		break;
	case REG_IIR_FCR:
		write_fcr(u, value);
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		write_mcr(u, value);
		break;
	case REG_SCR:
		u->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
	return false;
}

bool uart_interrupts(const struct uart *u)
{
	return interrupt_id(u) != IIR_NONE;
}

void uart_set_ready(struct uart *u, bool ready)
{
	u->thre_pending = ready;
	u->ready = ready;
}

bool uart_listens(const struct uart *u)
{
	if (u->mcr & MCR_LOOP)
		return false;
	if (u->mcr & MCR_RTS)
		return true;
	return !u->rts_seen && ((u->ier & IER_RDI) || u->polls >= POLLS_ENOUGH);
}

size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t len)
{
	size_t n = min_u64(len, u->fcr & FCR_ENABLE ? UART_FIFO_BYTES : 1);

	if (u->fifo_len)
		return 0;
	memcpy(u->fifo, bytes, n);
	u->fifo_len = (uint8_t)n;
	return n;
}

/* Section 7.0; the modem inputs are those of a connected peer. */
void uart_reset(struct uart *u)
{
	*u = (struct uart){ .msr = MSR_CTS | MSR_DSR | MSR_DCD,
			    .ready = true,
			    .dll = 12 /* 9600 baud */ };
}

void uart_save(const struct uart *u, struct snap_writer *w)
{
	snap_put_u8(w, u->ier);
	snap_put_u8(w, u->fcr);
	snap_put_u8(w, u->lcr);
	snap_put_u8(w, u->mcr);
	snap_put_u8(w, u->scr);
	snap_put_u8(w, u->dll);
	snap_put_u8(w, u->dlm);
	snap_put_u8(w, u->msr);
	snap_put_u8(w, u->errors);
	snap_put_u8(w, u->ready);
	snap_put_u8(w, u->thre_pending);
	snap_put_u8(w, u->rts_seen);
	snap_put_u8(w, u->polls);
	snap_put_blob(w, u->fifo, u->fifo_len);
}

void uart_load(struct uart *u, struct snap_reader *r)
{
	const uint8_t *fifo;
	size_t len;

	*u = (struct uart){ 0 };
	u->ier = snap_get_u8(r) & IER_MASK;
	u->fcr = snap_get_u8(r) & FCR_KEPT;
	u->lcr = snap_get_u8(r);
	u->mcr = snap_get_u8(r) & MCR_MASK;
	u->scr = snap_get_u8(r);
	u->dll = snap_get_u8(r);
	u->dlm = snap_get_u8(r);
	u->msr = snap_get_u8(r);
	u->errors = snap_get_u8(r) & LSR_OE;
	u->ready = snap_get_u8(r) != 0;
	u->thre_pending = snap_get_u8(r) != 0;
	u->rts_seen = snap_get_u8(r) != 0;
	u->polls = (uint8_t)min_u64(snap_get_u8(r), POLLS_ENOUGH);
	fifo = snap_get_blob(r, UART_FIFO_BYTES, &len);
	u->fifo_len = (uint8_t)len;
	if (fifo)
		memcpy(u->fifo, fifo, len);
}
