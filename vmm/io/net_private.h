/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of a network: net_open.c calls net_tap.c and net_passt.c, and
 * these call net.c.
 */
#ifndef VMM_IO_NET_PRIVATE_H
#define VMM_IO_NET_PRIVATE_H

#include "vmm/io/net.h"

/*
 * Makes the buffers of a network whose name is set; @fd is its own from now on, also
 * on failure.  -ENOMEM, logged.
 */
int net_begin(struct net *net, enum net_framing framing, int fd);

#define NET_MTU_USUAL 1500 /* of Ethernet */

/* net_tap.c: whether @fd is a tun or tap device; as net_open_fd(), for one. */
bool net_is_tap(int fd);
int net_take_tap(struct net *net, int fd);

/* net_passt.c: waits for passt, and ends it. */
int net_passt_await(struct net *net);
void net_passt_end(struct net *net);

#endif
