// SPDX-License-Identifier: BSD-2-Clause
/*
 * The host side of a network over a stream, whose other end sends the input: frames of
 * any length, cut anywhere, and no frames at all.  Each frame that is received has the
 * bytes that were sent; frames that are sent arrive whole, or not.
 *
 * Input: records of one byte operation and two bytes length:
 *	0	a length of four bytes follows, and is sent as it is
 *	1	so many bytes of a frame, the rest of one that was begun first
 *	2	receive all frames there are
 *	3	send a frame from the guest, cut into vectors
 *	4	the other end reads so many bytes
 *	5	the other end goes
 *	6	as 3, with offloads and a header of 10 bytes, which follows
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "vmm/base/bytes.h"
#include "vmm/io/net.h"

#define VECTORS 40

struct wire {
	struct net net;
	int peer; /* -1: gone */
	uint32_t owed; /* bytes of a frame that was begun */
	uint8_t next; /* byte to send */
	uint8_t want; /* byte to receive */
	bool broken; /* a length was sent in the middle of a frame */
};

static uint8_t bytes[NET_FRAME_MAX];

/* Sends bytes from outside, as many as the socket takes; how many. */
static size_t put(struct wire *w, const void *data, size_t len)
{
	ssize_t n = w->peer < 0 ? 0 :
				  send(w->peer, data, len,
				       MSG_DONTWAIT | MSG_NOSIGNAL);

	return n > 0 ? (size_t)n : 0;
}

static void put_length(struct wire *w, uint32_t len)
{
	uint8_t text[4];

	put_be32(text, len);
	if (put(w, text, sizeof(text)) != sizeof(text))
		w->broken = true;
	w->broken = w->broken || w->owed;
	w->owed = len;
}

/* A count of bytes of the frame that was begun, or of a new one. */
static void put_bytes(struct wire *w, uint32_t len)
{
	size_t n;

	if (!w->owed)
		put_length(w, 1 + len % 3000);
	n = min_u64(w->owed, len);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(w->next + i);
	n = put(w, bytes, n);
	w->next = (uint8_t)(w->next + n);
	w->owed -= (uint32_t)n;
}

static void receive(struct wire *w)
{
	struct net_frame frame;
	int r = 1;

	for (int i = 0; i < 1000 && r > 0; i++) {
		r = net_receive(&w->net, &frame);
		if (r <= 0)
			break;
		FUZZ_CHECK(frame.len >= 1 && frame.len <= NET_FRAME_MAX);
		for (size_t k = 0; k < frame.len; k++)
			FUZZ_CHECK(w->broken ||
				   frame.data[k] == (uint8_t)(w->want + k));
		for (size_t k = 0; k < NET_HEADER_BYTES; k++)
			FUZZ_CHECK(frame.header[k] == 0);
		w->want = (uint8_t)(w->want + frame.len);
		net_consume(&w->net, true);
	}
	if (r < 0)
		net_drop(&w->net);
}

static void send_frame(struct wire *w, uint32_t len,
		       const struct virtio_net_hdr_v1 *header)
{
	struct iovec iov[VECTORS];
	unsigned int count = 1 + len % VECTORS;
	size_t each;
	int r;

	len = 1 + len % NET_FRAME_MAX;
	each = len / count;
	for (unsigned int i = 0; i < count; i++)
		iov[i] = (struct iovec){
			bytes + i * each,
			i + 1 == count ? len - i * each : each,
		};
	r = net_send(&w->net, header, iov, count);
	FUZZ_CHECK(r <= 0);
	FUZZ_CHECK(w->net.tx_at <= w->net.tx_end);
	FUZZ_CHECK(w->net.tx_end <= NET_HEADER_BYTES + NET_FRAME_MAX);
	if (r < 0 && r != -EAGAIN)
		net_drop(&w->net);
}

static void step(struct wire *w, struct fuzz_input *in)
{
	unsigned int operation = (unsigned int)fuzz_number(in, 1) % 7;
	struct virtio_net_hdr_v1 header = { 0 };
	uint32_t len = (uint32_t)fuzz_number(in, 2);

	switch (operation) {
	case 0:
		put_length(w, (uint32_t)fuzz_number(in, 4));
		break;
	case 1:
		put_bytes(w, len);
		break;
	case 2:
		receive(w);
		break;
	case 3:
		send_frame(w, len, &header);
		break;
	case 4:
		if (w->peer >= 0)
			recv(w->peer, bytes, min_u64(len, sizeof(bytes)),
			     MSG_DONTWAIT);
		break;
	case 5:
		/* Seldom, or nothing else would be tried. */
		if (len % 16 == 0 && w->peer >= 0) {
			close(w->peer);
			w->peer = -1;
		}
		break;
	default:
		w->net.offloads = true;
		header.flags = (uint8_t)fuzz_number(in, 1);
		header.gso_type = (uint8_t)fuzz_number(in, 1);
		header.hdr_len = (uint16_t)fuzz_number(in, 2);
		header.gso_size = (uint16_t)fuzz_number(in, 2);
		header.csum_start = (uint16_t)fuzz_number(in, 2);
		header.csum_offset = (uint16_t)fuzz_number(in, 2);
		send_frame(w, len, &header);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct wire w = { .peer = -1 };
	int ends[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ==
		   0);
	w.peer = ends[1];
	FUZZ_CHECK(net_open_fd(&w.net, ends[0]) == 0);
	while (in.left)
		step(&w, &in);
	receive(&w);
	net_close(&w.net);
	if (w.peer >= 0)
		close(w.peer);
	return 0;
}
