/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 16550 at the first PC serial port (PC16550D data sheet).  The transmitter
 * is polled once for every 16 bytes, its FIFO size, because each access is an
 * exit.
 */
#include "guest/lib/console.h"
#include "guest/lib/x86/x86.h"

#define PORT_DATA    0x3f8
#define PORT_FIFO    0x3fa
#define PORT_LSR     0x3fd
#define PORT_SCRATCH 0x3ff
#define LSR_DATA     0x01
#define LSR_EMPTY    0x20
#define FIFO_BYTES   16

/* An absent port reads as all ones; a scratch register keeps its value. */
bool serial_present(void)
{
	out8(PORT_SCRATCH, 0x5a);
	return in8(PORT_SCRATCH) == 0x5a;
}

/* Polls the transmitter if the FIFO may be full. */
void serial_send(char c)
{
	static unsigned int room;

	if (!room) {
		for (int tries = 0; tries < 100000; tries++)
			if (in8(PORT_LSR) & LSR_EMPTY)
				break;
		out8(PORT_FIFO, 1);
		room = FIFO_BYTES;
	}
	out8(PORT_DATA, (uint8_t)c);
	room--;
}

char serial_receive(void)
{
	while (!(in8(PORT_LSR) & LSR_DATA))
		;
	return (char)in8(PORT_DATA);
}
