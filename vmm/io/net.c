// SPDX-License-Identifier: BSD-2-Clause
/*
 * Frames to and from a descriptor.  A stream is read as far as the buffer has room,
 * several frames at once; the others give one frame per call.
 */
#include "vmm/io/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/io/net_private.h"

#define LENGTH_BYTES 4 /* before each frame of a stream */

/* Two frames of a stream, so that one read has several of the usual size. */
#define RX_BYTES (2 * (LENGTH_BYTES + NET_FRAME_MAX))

/* Vectors of a frame that are sent as they are; Linux has 19 at most. */
#define SEND_VECTORS 32

/* Where a frame of more vectors is gathered: behind what precedes it. */
#define GATHER_AT NET_HEADER_BYTES

static const uint8_t no_header[NET_HEADER_BYTES];

int net_begin(struct net *net, enum net_framing framing, int fd)
{
	net->framing = framing;
	net->fd = fd;
	net->up = framing != NET_NONE;
	net->rx = malloc(RX_BYTES);
	net->tx = malloc(GATHER_AT + NET_FRAME_MAX);
	return net->rx && net->tx ? 0 :
				    log_errno(ENOMEM, "network %s", net->name);
}

void net_drop(struct net *net)
{
	if (net->framing == NET_NONE)
		return;
	close(net->fd);
	net->fd = -1;
	net->framing = NET_NONE;
	net->up = false;
	net->rx_at = net->rx_end = net->rx_next = 0;
	net->tx_at = net->tx_end = 0;
}

/* 1 if a whole frame is at the front of the buffer, 0, or -EPROTO. */
static int stream_frame(struct net *net, struct net_frame *frame)
{
	const uint8_t *at = net->rx + net->rx_at;
	size_t have = net->rx_end - net->rx_at;
	uint32_t len;

	if (have < LENGTH_BYTES)
		return 0;
	len = get_be32(at);
	if (len == 0 || len > NET_FRAME_MAX)
		return -EPROTO;
	if (have < LENGTH_BYTES + len)
		return 0;
	*frame = (struct net_frame){ no_header, at + LENGTH_BYTES, len };
	net->rx_next = net->rx_at + LENGTH_BYTES + len;
	return 1;
}

/* What an error of a read means: 0, no frame now, or -errno. */
static int read_error(struct net *net, int err)
{
	/* A frame that the device has refused to give; nothing serves a port. */
	if ((net->framing == NET_TAP && err == EINVAL) ||
	    (net->datagrams && err == ECONNREFUSED)) {
		net->rx_dropped++;
		return 0;
	}
	return err == EAGAIN || err == EINTR ? 0 : -err;
}

/* Reads more: 1, 0 if there is none now, -errno.  The buffer has room. */
static int stream_read_more(struct net *net)
{
	ssize_t n;

	memmove(net->rx, net->rx + net->rx_at, net->rx_end - net->rx_at);
	net->rx_end -= net->rx_at;
	net->rx_at = 0;
	n = recv(net->fd, net->rx + net->rx_end, RX_BYTES - net->rx_end,
		 MSG_DONTWAIT);
	if (n < 0)
		return read_error(net, errno);
	if (n == 0)
		return -ENOTCONN;
	net->rx_end += (size_t)n;
	return 1;
}

static int stream_receive(struct net *net, struct net_frame *frame)
{
	int r = stream_frame(net, frame);

	if (r != 0)
		return r;
	r = stream_read_more(net);
	return r <= 0 ? r : stream_frame(net, frame);
}

/* One message of a socket or of a tap device. */
static ssize_t read_message(struct net *net)
{
	if (net->framing == NET_TAP)
		return read(net->fd, net->rx, RX_BYTES);
	return recv(net->fd, net->rx + NET_HEADER_BYTES,
		    RX_BYTES - NET_HEADER_BYTES, MSG_DONTWAIT);
}

static int message_receive(struct net *net, struct net_frame *frame)
{
	bool tap = net->framing == NET_TAP;
	size_t before = tap ? NET_HEADER_BYTES : 0;

	if (net->rx_next == 0) {
		ssize_t n = read_message(net);

		if (n < 0)
			return read_error(net, errno);
		if (n == 0 && !tap && !net->datagrams)
			return -ENOTCONN;
		if ((size_t)n <= before || (size_t)n - before > NET_FRAME_MAX) {
			net->rx_dropped++;
			return 0;
		}
		net->rx_next = (size_t)n - before;
	}
	frame->header = tap ? net->rx : no_header;
	frame->data = net->rx + NET_HEADER_BYTES;
	frame->len = net->rx_next;
	return 1;
}

int net_receive(struct net *net, struct net_frame *frame)
{
	switch (net->framing) {
	case NET_NONE:
		return 0;
	case NET_STREAM:
		return stream_receive(net, frame);
	case NET_TAP:
	case NET_PACKETS:
		break;
	}
	return message_receive(net, frame);
}

void net_consume(struct net *net, bool delivered)
{
	if (delivered)
		net->rx_frames++;
	else
		net->rx_dropped++;
	net->rx_at = net->framing == NET_STREAM ? net->rx_next : 0;
	net->rx_next = 0;
	if (net->rx_at == net->rx_end)
		net->rx_at = net->rx_end = 0;
}

/* What an error of a socket means: -EAGAIN, or -errno. */
static int send_error(int err)
{
	return err == EINTR || err == ENOBUFS || err == ENOMEM ? -EAGAIN : -err;
}

int net_flush(struct net *net)
{
	ssize_t n;

	if (net->tx_at == net->tx_end)
		return 0;
	n = send(net->fd, net->tx + net->tx_at, net->tx_end - net->tx_at,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return send_error(errno);
	net->tx_at += (size_t)n;
	return net->tx_at == net->tx_end ? 0 : -EAGAIN;
}

/* A frame as vectors, with what precedes it. */
struct outgoing {
	struct iovec iov[1 + SEND_VECTORS];
	unsigned int count;
	size_t bytes;
	uint8_t length[LENGTH_BYTES];
};

/* Copies a frame; its one vector. */
static struct iovec copy_frame(struct net *net, const struct iovec *iov,
			       unsigned int count)
{
	uint8_t *to = net->tx + GATHER_AT;

	for (unsigned int i = 0; i < count; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	return (struct iovec){ net->tx + GATHER_AT,
			       (size_t)(to - net->tx) - GATHER_AT };
}

/* The vectors and their number become @out; more than it has room for are copied. */
static void gather(struct net *net, struct outgoing *out, const void *before,
		   size_t before_bytes, const struct iovec *iov,
		   unsigned int count)
{
	out->iov[0] = (struct iovec){ (void *)before, before_bytes };
	out->bytes = before_bytes;
	for (unsigned int i = 0; i < count; i++)
		out->bytes += iov[i].iov_len;
	out->count = 1 + count;
	if (count <= SEND_VECTORS) {
		memcpy(out->iov + 1, iov, count * sizeof(*iov));
		return;
	}
	out->iov[1] = copy_frame(net, iov, count);
	out->count = 2;
}

/* The checksum of RFC 1071. */
static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len % 2)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/*
 * Whether the guest has left a checksum to a host side that has no such offload: it
 * was booted on a tap device, and restored on another host side.
 */
static bool lacks_checksum(const struct net *net,
			   const struct virtio_net_hdr_v1 *header)
{
	return net->offloads && net->framing != NET_TAP &&
	       (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

/*
 * Writes it into a copy of the frame (virtio 1.2, 5.1.6.2); false if it is not within
 * the frame.  Its place holds the sum of the pseudo header.
 */
static bool put_checksum(const struct virtio_net_hdr_v1 *header,
			 const struct iovec *frame)
{
	size_t start = header->csum_start;
	size_t at = start + header->csum_offset;
	uint8_t *bytes = frame->iov_base;
	uint16_t sum;

	if (start > frame->iov_len || at + 2 > frame->iov_len)
		return false;
	sum = checksum(bytes + start, frame->iov_len - start);
	/* Zero is UDP's word for none (RFC 768); for TCP these two are equal. */
	sum = sum ? sum : 0xffff;
	bytes[at] = (uint8_t)(sum >> 8);
	bytes[at + 1] = (uint8_t)sum;
	return true;
}

/* Keeps what comes after the first @done bytes for net_flush(). */
static void keep_rest(struct net *net, const struct outgoing *out, size_t done)
{
	uint8_t *to = net->tx;

	for (unsigned int i = 0; i < out->count; i++) {
		const struct iovec *v = &out->iov[i];
		size_t skip = min_u64(done, v->iov_len);

		/* A frame that was gathered is in the buffer, further up. */
		memmove(to, (uint8_t *)v->iov_base + skip, v->iov_len - skip);
		to += v->iov_len - skip;
		done -= skip;
	}
	net->tx_at = 0;
	net->tx_end = (size_t)(to - net->tx);
}

/* Errors of one frame, not of the other end. */
static bool is_refusal(const struct net *net, int err)
{
	if (net->framing == NET_TAP)
		return err != EBADFD && err != EAGAIN && err != EINTR;
	return (net->framing == NET_PACKETS && err == EMSGSIZE) ||
	       (net->datagrams && err == ECONNREFUSED);
}

/*
 * Whether passt takes a frame: of 14 bytes, a header, to 65535 (its tap.h).  It ends
 * the connection over any other.
 */
static bool passt_takes(const struct iovec *iov, unsigned int count)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes >= 14 && bytes <= UINT16_MAX;
}

int net_send(struct net *net, const struct virtio_net_hdr_v1 *header,
	     const struct iovec *iov, unsigned int count)
{
	struct outgoing out;
	struct msghdr message = { .msg_iov = out.iov };
	struct iovec whole;
	bool tap = net->framing == NET_TAP;
	ssize_t n;
	int r;

	if (net->framing == NET_NONE) {
		net->tx_dropped++;
		return 0;
	}
	r = net_flush(net);
	if (r < 0)
		return r;
	if (net->child && !passt_takes(iov, count)) {
		net->tx_dropped++;
		return 0;
	}
	if (lacks_checksum(net, header)) {
		whole = copy_frame(net, iov, count);
		iov = &whole;
		count = 1;
		if (!put_checksum(header, &whole)) {
			net->tx_dropped++;
			return 0;
		}
	}
	gather(net, &out, tap ? (const void *)header : out.length,
	       tap			  ? NET_HEADER_BYTES :
	       net->framing == NET_STREAM ? LENGTH_BYTES :
					    0,
	       iov, count);
	put_be32(out.length, (uint32_t)(out.bytes - LENGTH_BYTES));
	message.msg_iovlen = out.count;
	n = tap ? writev(net->fd, out.iov, (int)out.count) :
		  sendmsg(net->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && is_refusal(net, errno)) {
		net->tx_dropped++;
		return 0;
	}
	if (n < 0)
		return send_error(errno);
	if ((size_t)n < out.bytes && net->framing == NET_STREAM)
		keep_rest(net, &out, (size_t)n);
	net->tx_frames++;
	return 0;
}
