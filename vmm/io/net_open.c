// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a network: opened by kind, waited for, closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/io/net_private.h"

int net_open_none(struct net *net)
{
	*net = (struct net){ .name = "none", .mtu = NET_MTU_USUAL };
	return net_begin(net, NET_NONE, -1);
}

/* Takes a connected socket, of a stream or of packets; *@fd is -1 then. */
static int take_socket(struct net *net, int *fd)
{
	enum net_framing framing = NET_PACKETS;
	int type;
	socklen_t len = sizeof(type);

	snprintf(net->name, sizeof(net->name), "fd %d", *fd);
	net->mtu = NET_MTU_USUAL;
	if (getsockopt(*fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return log_fail(errno,
				"network %s: neither a tap device nor a "
				"socket",
				net->name);
	if (type == SOCK_STREAM)
		framing = NET_STREAM;
	net->datagrams = type == SOCK_DGRAM;
	return net_begin(net, framing, take_fd(fd));
}

int net_open_fd(struct net *net, int fd)
{
	CLEANUP_CLOSE int owned = fd;
	int flags = fcntl(fd, F_GETFL);

	*net = (struct net){ .framing = NET_NONE };
	if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return log_errno(errno, "network fd %d", fd);
	if (!net_is_tap(fd))
		return take_socket(net, &owned);
	/* read(2) has no flag of its own for this, as recv(2) has. */
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return log_errno(errno, "network fd %d", fd);
	return net_take_tap(net, take_fd(&owned));
}

void net_mac_text(char text[NET_MAC_TEXT_BYTES],
		  const uint8_t mac[NET_MAC_BYTES])
{
	snprintf(text, NET_MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x",
		 mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

bool net_mac_is_station(const uint8_t mac[NET_MAC_BYTES])
{
	static const uint8_t zero[NET_MAC_BYTES];

	return !(mac[0] & 1) && memcmp(mac, zero, NET_MAC_BYTES) != 0;
}

int net_await(struct net *net)
{
	int r = 0;

	if (net->child && !net->awaited)
		r = net_passt_await(net);
	net->awaited = r == 0;
	return r;
}

void net_close(struct net *net)
{
	if (net->framing != NET_NONE)
		close(net->fd);
	net->framing = NET_NONE;
	if (net->child)
		net_passt_end(net);
	free(net->rx);
	free(net->tx);
	net->rx = net->tx = NULL;
}
