/* SPDX-License-Identifier: BSD-2-Clause */
/* The ports of the virtio console device, found by name. */
#ifndef GUEST_INIT_PORTS_H
#define GUEST_INIT_PORTS_H

/*
 * Opens a port, for reading and writing without waiting, after waiting up to
 * @wait_ms for the device. A descriptor, or -errno; -ENODEV: no such port.
 */
int port_open(const char *name, unsigned int wait_ms);

/* Waits up to @wait_ms until the host has opened the port; whether it has. */
int port_is_connected(int fd, unsigned int wait_ms);

#endif
