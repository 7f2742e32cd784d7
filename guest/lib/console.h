/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a guest's text goes: the serial port; or a virtio console, with
 * console=hvc0 on the command line or on a machine without a serial port.
 */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "guest/lib/machine.h"

/* Chooses, once the command line and PCI are known. */
void console_init(const struct machine *machine);

/* Writes text; one processor at a time. */
void console_write(const char *text, size_t len);

/* The architecture's: whether there is a serial port, and out with a byte. */
bool serial_present(void);
void serial_send(char c);
/* A byte from it; waits for one. */
char serial_receive(void);

#endif
