/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 16550 at the first PC serial port (PC16550D data sheet).  Its transmitter
 * is looked at once for the 16 bytes that its FIFO takes, because each access
 * of a port leaves the guest.
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

/* A port that is not there reads as all ones, which no scratch register keeps. */
bool serial_present(void)
{
	out8(PORT_SCRATCH, 0x5a);
	return in8(PORT_SCRATCH) == 0x5a;
}

/* Waits first where the FIFO may be full. */
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
