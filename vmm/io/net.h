/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host side of a network: Ethernet frames to and from a descriptor, which is a
 * tap device, or a socket whose other end is passt(1) or another program.
 *
 * A frame is preceded by the header of virtio 1.2, 5.1.6, in both directions.  Only
 * a tap device with IFF_VNET_HDR uses its contents; otherwise they are zeros when
 * received, and when sent a checksum that is to be added is, nothing else; see
 * net_send().
 *
 * One thread at a time.  Nothing blocks but net_await() and net_close().  0 or
 * -errno; who logs is said below.
 */
#ifndef VMM_IO_NET_H
#define VMM_IO_NET_H

#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NET_HEADER_BYTES (sizeof(struct virtio_net_hdr_v1))

/*
 * The longest frame: an IP packet of 65535 bytes, which a segmentation offload
 * may have, in an Ethernet frame with a VLAN tag (14 and 4 bytes).
 */
#define NET_FRAME_MAX (65535 + 18)

#define NET_MAC_BYTES	   6
#define NET_MAC_TEXT_BYTES (3 * NET_MAC_BYTES) /* "02:..." and its end */

#define NET_MTU_MIN 68 /* virtio 1.2, 5.1.4.1; the least of IPv4, RFC 791 */
#define NET_MTU_MAX 65535

/* How frames cross the descriptor. */
enum net_framing {
	NET_NONE, /* no descriptor: the link is down */
	NET_TAP, /* one per read and write, with the header */
	NET_STREAM, /* the length, 4 bytes big-endian, before each */
	NET_PACKETS, /* one per message */
};

/* What passt(1) is started with. */
struct net_passt {
	const char *program; /* NULL: passt in PATH */
	/* Values of its options -t and -u; not owned. */
	const char *tcp[8], *udp[8];
	unsigned int tcp_count, udp_count;
	bool loopback; /* the gateway's address is the host's loopback */
	unsigned int mtu; /* that it announces; 0: NET_PASST_MTU */
};

/*
 * The addresses of a guest behind passt, as text.  Those of IPv6 are local ones (RFC
 * 4193): for a name with addresses of both families a guest prefers IPv4 (RFC 6724),
 * and a snapshot's addresses are right on every host.
 */
#define NET_PASST_GUEST	   "10.0.2.15"
#define NET_PASST_PREFIX   24
#define NET_PASST_GATEWAY  "10.0.2.2"
#define NET_PASST_DNS	   "10.0.2.3"
#define NET_PASST_GUEST6   "fd74:6861:7700::15"
#define NET_PASST_PREFIX6  64 /* passt has no other */
#define NET_PASST_GATEWAY6 "fd74:6861:7700::2"
#define NET_PASST_DNS6	   "fd74:6861:7700::3"
#define NET_PASST_MTU	   65520 /* its default: 65535 less a header, to 4 bytes */

struct net {
	char name[64]; /* for messages: "tap tap0" */
	enum net_framing framing;
	int fd; /* non-blocking; owned; -1: none */
	/*
	 * The header's contents count.  Without a tap device, after a restore: what
	 * net_send() does itself, see there.
	 */
	bool offloads;
	bool datagrams; /* of NET_PACKETS: an empty message is not the end */
	bool awaited; /* net_await() has returned 0 */
	uint16_t mtu; /* of the host's side */
	pid_t child; /* passt; 0: none */
	int said_fd; /* what passt says on standard error, with a child */
	/* Received and not yet consumed: rx[at] to rx[end]. */
	uint8_t *rx;
	size_t rx_at, rx_end, rx_next;
	/* The rest of a frame that a socket took a part of. */
	uint8_t *tx;
	size_t tx_at, tx_end;
	/* For any thread; a frame counts in one of them. */
	atomic_bool up; /* it has a host side */
	_Atomic uint64_t tx_frames, rx_frames, tx_dropped, rx_dropped;
};

/* A received frame, valid until net_consume(). */
struct net_frame {
	const uint8_t *header; /* NET_HEADER_BYTES */
	const uint8_t *data;
	size_t len;
};

/*
 * Each sets up *@net.  Errors are logged; net_close() follows in any case.
 *
 *	net_open_none()		no host side
 *	net_open_tap()		an existing tap device
 *	net_open_fd()		takes ownership of @fd, also on failure: a tap device
 *				or a connected socket
 *	net_open_passt()	starts passt, with the guest's @mac
 */
int net_open_none(struct net *net);
int net_open_tap(struct net *net, const char *name);
int net_open_fd(struct net *net, int fd);
int net_open_passt(struct net *net, const struct net_passt *passt,
		   const uint8_t mac[NET_MAC_BYTES]);

/* Whether this host reaches IPv6 addresses beyond its own links, as passt needs. */
bool net_host_has_ipv6(void);

/*
 * Waits until passt serves, some seconds at most; an error is logged with what passt
 * said.  Returns 0 at once for other networks, and when called again.  Before the
 * first net_receive().
 */
int net_await(struct net *net);

/* Also ends passt.  All zeros is a network that was not opened. */
void net_close(struct net *net);

/*
 * The next frame: 1, the same one until net_consume(); 0 if there is none now;
 * -errno if the other end is gone or sends what is no frame, not logged.
 */
int net_receive(struct net *net, struct net_frame *frame);
/* @delivered: to the guest; otherwise it counts as dropped. */
void net_consume(struct net *net, bool delivered);

/*
 * Sends @header and a frame of 1 to NET_FRAME_MAX bytes.  With offloads and no tap
 * device it adds the checksum; a frame to be split stays whole, as passt takes it.  0:
 * taken, or dropped and counted, because the host refuses this frame; -EAGAIN: not
 * now; other: the other end is gone, not logged.
 */
int net_send(struct net *net, const struct virtio_net_hdr_v1 *header,
	     const struct iovec *iov, unsigned int count);

/* Sends the rest of the frame before: 0 if there is none left, else as net_send(). */
int net_flush(struct net *net);

/* Which of BIT(VIRTIO_NET_F_GUEST_...) the guest accepts in received frames. */
void net_accept(struct net *net, uint64_t features);

/* The address as six pairs of digits between colons. */
void net_mac_text(char text[NET_MAC_TEXT_BYTES],
		  const uint8_t mac[NET_MAC_BYTES]);

/* Whether it is the address of one station: not of a group, not zero. */
bool net_mac_is_station(const uint8_t mac[NET_MAC_BYTES]);

/* Loses the host side: the link is down until the end. */
void net_drop(struct net *net);

#endif
