/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Console output: the serial port; or a virtio console, with console=hvc0 on
 * the command line or on a machine without a serial port.
 */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "guest/lib/machine.h"

/* Selects the console; command line and PCI are known. */
void console_init(const struct machine *machine);

/* Writes text; one processor at a time. */
void console_write(const char *text, size_t len);

/* The architecture's serial port: present, send a byte. */
bool serial_present(void);
void serial_send(char c);
/* Polls until the serial port has a byte, and returns it. */
char serial_receive(void);

#endif
