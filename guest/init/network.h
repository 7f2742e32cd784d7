/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's network interfaces, without a DHCP client. */
#ifndef GUEST_INIT_NETWORK_H
#define GUEST_INIT_NETWORK_H

struct failure;
struct setup;

/*
 * Writes /etc/resolv.conf for the name server of @s, if it has one: in the layer over
 * the guest's root, before a share is mounted in it. 0 or -errno, with @f.
 */
int network_write_resolver(const struct setup *s, struct failure *f);

/*
 * Brings the loopback interface up, and eth0 with the addresses of @s, if it has
 * some. 0 or -errno, with @f.
 */
int network_configure(const struct setup *s, struct failure *f);

#endif
