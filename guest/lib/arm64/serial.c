/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serial port of the device tree: a 16550 (PC16550D data sheet), or a PL011
 * (Arm DDI 0183), as other VMMs have.
 */
#include "guest/lib/console.h"
#include "guest/lib/arm64/arm64.h"

#define UART_LSR       5
#define UART_SCRATCH   7
#define UART_LSR_DATA  0x01
#define UART_LSR_EMPTY 0x20
#define FIFO_BYTES     16

#define PL011_FLAGS 0x18
#define PL011_FULL  0x20
#define PL011_NONE  0x10

static struct {
	volatile uint8_t *base;
	bool is_pl011;
	unsigned int room; /* free bytes in the 16550's FIFO */
} port;

void serial_init(const struct fdt_node *node)
{
	uint64_t base, bytes;
	bool is_pl011 = fdt_is(node, "arm,pl011");

	if (port.base || (!is_pl011 && !fdt_is(node, "ns16550a")) ||
	    !fdt_reg(node, 0, &base, &bytes))
		return;
	port.base = (volatile uint8_t *)(uintptr_t)base;
	port.is_pl011 = is_pl011;
}

uintptr_t serial_scratch(void)
{
	return port.base && !port.is_pl011 ?
		       (uintptr_t)port.base + UART_SCRATCH :
		       0;
}

static void send_16550(char c)
{
	for (int tries = 0; !port.room && tries < 100000; tries++)
		if (port.base[UART_LSR] & UART_LSR_EMPTY)
			port.room = FIFO_BYTES;
	if (port.room)
		port.room--;
	port.base[0] = (uint8_t)c;
}

static void send_pl011(char c)
{
	while (*(volatile uint32_t *)(port.base + PL011_FLAGS) & PL011_FULL)
		;
	*(volatile uint32_t *)port.base = (uint8_t)c;
}

bool serial_present(void)
{
	return port.base;
}

void serial_send(char c)
{
	if (!port.base)
		return;
	if (port.is_pl011)
		send_pl011(c);
	else
		send_16550(c);
}

char serial_receive(void)
{
	if (port.is_pl011) {
		while (*(volatile uint32_t *)(port.base + PL011_FLAGS) &
		       PL011_NONE)
			;
	} else {
		while (!(port.base[UART_LSR] & UART_LSR_DATA))
			;
	}
	return (char)port.base[0];
}
