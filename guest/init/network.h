/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's network interfaces, without a DHCP client. */
#ifndef GUEST_INIT_NETWORK_H
#define GUEST_INIT_NETWORK_H

struct failure;
struct setup;

/*
 * Brings the loopback interface up, and eth0 with the addresses of @s, if it has
 * some, and writes /etc/resolv.conf; in the guest's root. 0 or -errno, with @f.
 */
int network_configure(const struct setup *s, struct failure *f);

#endif
