// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio network between a guest's queues and the other end of a socket pair, where
 * passt would be: frames in both directions, whatever the guest's buffers are, and
 * another end that sends nonsense or goes.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/io/net.h"
#include "vmm/snap/section.h"
#include "vmm/virtio/pci_private.h"
#include "vmm/virtio/private.h"

#define RX	0
#define TX	1
#define CONTROL 2
#define QUEUES	3
#define RX_AT	GUEST_HIGH
#define TX_AT	(GUEST_HIGH + MIB)
#define CTRL_AT (GUEST_HIGH + 2 * MIB)
#define HEADER	((uint32_t)NET_HEADER_BYTES)

struct fixture {
	struct guest g;
	int peer; /* our end */
	struct net net;
	struct device device;
	struct guest_device d;
	gpa_t next_rx;
};

static const struct virtio_net_link link_of = {
	.mac = { 2, 1, 2, 3, 4, 5 },
	.mtu = 9000,
};

/* Makes the device with a new host side of socket type @type. */
static void create_with(struct fixture *x, int type, bool offloads)
{
	struct virtio_net_link link = link_of;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
	x->peer = ends[1];
	assert_int_equal(net_open_fd(&x->net, ends[0]), 0);
	x->net.offloads = offloads;
	link.net = &x->net;
	assert_int_equal(virtio_net_create(&x->device, &x->g.host, "net0",
					   &link),
			 0);
}

static void create(struct fixture *x, int type)
{
	create_with(x, type, false);
}

static void destroy(struct fixture *x)
{
	guest_destroy(&x->g, &x->device);
	net_close(&x->net);
	if (x->peer >= 0)
		close(x->peer);
}

static int begin(void **state, int type, uint64_t features)
{
	struct fixture *x = calloc(1, sizeof(*x));

	guest_init(&x->g);
	create(x, type);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, features, QUEUES);
	x->next_rx = RX_AT;
	*state = x;
	return 0;
}

static int setup(void **state)
{
	return begin(state, SOCK_STREAM, UINT64_MAX);
}

static int setup_unmerged(void **state)
{
	return begin(state, SOCK_STREAM, ~BIT(VIRTIO_NET_F_MRG_RXBUF));
}

static int setup_datagrams(void **state)
{
	return begin(state, SOCK_DGRAM, UINT64_MAX);
}

static int setup_packets(void **state)
{
	return begin(state, SOCK_SEQPACKET, UINT64_MAX);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	destroy(x);
	guest_finish(&x->g);
	free(x);
	return 0;
}

/* Posts @count receive buffers of @len bytes, each in two parts. */
static void post(struct fixture *x, unsigned int count, uint32_t len)
{
	for (unsigned int i = 0; i < count; i++) {
		struct guest_buffer b[2] = {
			{ x->next_rx, len / 2, GUEST_WRITE },
			{ x->next_rx + len / 2, len - len / 2, GUEST_WRITE },
		};

		guest_add(&x->d, RX, b, 2);
		x->next_rx += len;
	}
	guest_kick(&x->d, RX);
}

/* A byte of frame number @n. */
static uint8_t pattern(unsigned int n, size_t at)
{
	return (uint8_t)(n * 31 + at * 7 + (at >> 8));
}

/* Sends frame @n of @len bytes from outside. */
static void peer_send(struct fixture *x, unsigned int n, uint32_t len)
{
	uint8_t *bytes = malloc(4 + len);

	put_be32(bytes, len);
	for (uint32_t i = 0; i < len; i++)
		bytes[4 + i] = pattern(n, i);
	for (size_t done = 0; done < 4 + (size_t)len;) {
		ssize_t sent = send(x->peer, bytes + done, 4 + len - done, 0);

		assert_true(sent > 0);
		done += (size_t)sent;
	}
	free(bytes);
}

/* Receives exactly @len bytes outside. */
static void peer_take(struct fixture *x, void *to, size_t len)
{
	assert_int_equal(recv(x->peer, to, len, MSG_WAITALL), len);
}

/* Whether the other end has something to read within @ms. */
static bool peer_has(const struct fixture *x, int ms)
{
	struct pollfd p = { .fd = x->peer, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* Takes frame @n of @len bytes from receive buffers that begin at @at. */
static unsigned int take_frame(struct fixture *x, gpa_t at, uint32_t room,
			       unsigned int n, uint32_t len)
{
	const struct virtio_net_hdr_v1 *header;
	uint32_t head, got, done = 0;
	unsigned int buffers = 0, said = 1;

	for (; buffers < said; buffers++) {
		const uint8_t *bytes;
		uint32_t skip = buffers ? 0 : HEADER;

		assert_true(guest_used(&x->d, RX, &head, &got));
		bytes = guest_ptr(&x->g, at + (gpa_t)buffers * room, room);
		if (!buffers) {
			header = (const void *)bytes;
			said = get_le16(&header->num_buffers);
			assert_int_equal(header->flags, 0);
			assert_int_equal(header->gso_type, 0);
		}
		assert_in_range(got, skip, room);
		for (uint32_t i = skip; i < got; i++, done++)
			assert_int_equal(bytes[i], pattern(n, done));
	}
	assert_int_equal(done, len);
	return buffers;
}

/* Sends a frame from the guest, in parts; its bytes are those of @n. */
static void guest_send(struct fixture *x, gpa_t at, unsigned int n,
		       uint32_t len)
{
	uint8_t *bytes = guest_ptr(&x->g, at, HEADER + len);
	struct guest_buffer b[3] = {
		{ at, 5, 0 },
		{ at + 5, HEADER - 5 + len / 3, 0 },
		{ at + HEADER + len / 3, len - len / 3, 0 },
	};

	memset(bytes, 0, HEADER);
	for (uint32_t i = 0; i < len; i++)
		bytes[HEADER + i] = pattern(n, i);
	guest_add(&x->d, TX, b, len / 3 == len ? 2 : 3);
	guest_kick(&x->d, TX);
}

/* Offers a long frame many times, more often than the other end takes. */
static void guest_send_many(struct fixture *x, unsigned int count)
{
	struct guest_buffer b = { TX_AT, HEADER + 60000, 0 };

	/* Its bytes are not written again while one of them is sent. */
	memset(guest_ptr(&x->g, TX_AT, HEADER + 60000), 0, HEADER + 60000);
	for (unsigned int i = 0; i < count; i++)
		guest_add(&x->d, TX, &b, 1);
	guest_kick(&x->d, TX);
}

/* The other end receives frame @n of @len bytes. */
static void expect_frame(struct fixture *x, unsigned int n, uint32_t len)
{
	uint8_t *bytes = malloc(len), length[4];

	peer_take(x, length, sizeof(length));
	assert_int_equal(get_be32(length), len);
	peer_take(x, bytes, len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], pattern(n, i));
	free(bytes);
}

static uint16_t status_now(struct fixture *x)
{
	return (uint16_t)guest_read(
		&x->g, x->d.config + offsetof(struct virtio_net_config, status),
		2);
}

/* Waits until the status is @status. */
static void await_status(struct fixture *x, uint16_t status)
{
	for (int i = 0; i < 5000 && status_now(x) != status; i++)
		usleep(1000);
	assert_int_equal(status_now(x), status);
}

static void test_config(void **state)
{
	struct fixture *x = *state;

	for (unsigned int i = 0; i < NET_MAC_BYTES; i++)
		assert_int_equal(guest_read(&x->g, x->d.config + i, 1),
				 link_of.mac[i]);
	assert_int_equal(guest_read(&x->g,
				    x->d.config +
					    offsetof(struct virtio_net_config,
						     mtu),
				    2),
			 link_of.mtu);
	assert_int_equal(status_now(x), VIRTIO_NET_S_LINK_UP);
	/* A socket has no offloads. */
	assert_int_equal(x->d.features & BIT(VIRTIO_NET_F_CSUM), 0);
	assert_int_equal(x->d.features & BIT(VIRTIO_NET_F_GUEST_TSO4), 0);
}

static void test_receive(void **state)
{
	static const uint32_t lengths[] = { 1, 14, 60, 1514, 1988, 1989 };
	struct fixture *x = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		gpa_t at = x->next_rx;

		post(x, 1, 2000 + (i == 5));
		peer_send(x, i, lengths[i]);
		assert_int_equal(take_frame(x, at, 2001, i, lengths[i]), 1);
	}
}

/* A frame in as many buffers as it needs, up to the longest. */
static void test_receive_merged(void **state)
{
	struct fixture *x = *state;
	gpa_t at = x->next_rx;

	post(x, 16, 1000);
	peer_send(x, 3, 5000);
	assert_int_equal(take_frame(x, at, 1000, 3, 5000), 6);
	at += 6 * 1000;
	peer_send(x, 4, 988);
	assert_int_equal(take_frame(x, at, 1000, 4, 988), 1);
	at = x->next_rx = RX_AT;
	/* The nine that are left are used first: elsewhere. */
	for (unsigned int i = 0; i < 9; i++)
		peer_send(x, i, 14);
	for (unsigned int i = 0; i < 9; i++)
		take_frame(x, RX_AT + (7 + i) * 1000, 1000, i, 14);
	post(x, 20, 4000);
	peer_send(x, 5, NET_FRAME_MAX);
	assert_int_equal(take_frame(x, at, 4000, 5, NET_FRAME_MAX), 17);
}

/* Frames wait for buffers; the first part of one waits in them. */
static void test_receive_waits(void **state)
{
	struct fixture *x = *state;
	gpa_t at = x->next_rx;
	uint32_t head, len;

	for (unsigned int i = 0; i < 20; i++)
		peer_send(x, i, 3000);
	post(x, 2, 1004);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, RX, &head, &len));
	post(x, 1, 1004);
	assert_int_equal(take_frame(x, at, 1004, 0, 3000), 3);
	for (unsigned int i = 1; i < 20; i++) {
		at = x->next_rx;
		post(x, 3, 1004);
		assert_int_equal(take_frame(x, at, 1004, i, 3000), 3);
	}
	assert_int_equal(x->net.rx_dropped, 0);
}

/* Buffers of one byte: none holds a header, which breaks the device. */
static void test_receive_no_room(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b = { RX_AT, HEADER - 1, GUEST_WRITE };

	guest_log_begin(&x->g);
	guest_add(&x->d, RX, &b, 1);
	guest_kick(&x->d, RX);
	peer_send(x, 1, 60);
	for (int i = 0; i < 5000 && !(guest_status(&x->d) & 0x40); i++)
		usleep(1000);
	assert_true(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(guest_log_end(&x->g), 1);
	/* A reset mends it. */
	guest_start(&x->d, UINT64_MAX, QUEUES);
	post(x, 1, 2000);
	peer_send(x, 2, 100);
	take_frame(x, RX_AT, 2000, 2, 100);
}

/* A frame that all buffers of the ring cannot hold gives them back, empty. */
static void test_receive_ring_full(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;
	gpa_t at;

	/* The ring has 64 entries, a buffer of one descriptor takes one. */
	for (unsigned int i = 0; i < 64; i++) {
		struct guest_buffer b = { RX_AT + i * 20, 20, GUEST_WRITE };

		guest_add(&x->d, RX, &b, 1);
	}
	peer_send(x, 1, 2000);
	guest_kick(&x->d, RX);
	for (unsigned int i = 0; i < 64; i++) {
		assert_true(guest_used(&x->d, RX, &head, &len));
		assert_int_equal(len, 0);
	}
	guest_sync(&x->g);
	assert_int_equal(x->net.rx_dropped, 1);
	x->next_rx = at = RX_AT + 4096;
	post(x, 1, 2000);
	peer_send(x, 2, 60);
	take_frame(x, at, 2000, 2, 60);
}

/* Without merged buffers each frame needs one that holds it. */
static void test_receive_unmerged(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;
	gpa_t at = x->next_rx;

	post(x, 2, 2000);
	peer_send(x, 1, 3000);
	peer_send(x, 2, 1988);
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_int_equal(len, 0);
	assert_int_equal(take_frame(x, at + 2000, 2000, 2, 1988), 1);
	assert_int_equal(x->net.rx_dropped, 1);
}

static void test_send(void **state)
{
	static const uint32_t lengths[] = { 1, 14, 60, 1514, NET_FRAME_MAX };
	struct fixture *x = *state;
	uint32_t head, len;

	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		guest_send(x, TX_AT, i, lengths[i]);
		expect_frame(x, i, lengths[i]);
		assert_true(guest_used(&x->d, TX, &head, &len));
		assert_int_equal(len, 0);
	}
}

/* A frame of many parts, more than are sent as they are. */
static void test_send_gathered(void **state)
{
	struct fixture *x = *state;
	uint8_t *bytes = guest_ptr(&x->g, TX_AT, 4096);
	struct guest_buffer b[60];
	uint32_t head, len;

	memset(bytes, 0, HEADER);
	for (uint32_t i = 0; i < 59 * 20; i++)
		bytes[HEADER + i] = pattern(9, i);
	b[0] = (struct guest_buffer){ TX_AT, HEADER, 0 };
	for (unsigned int i = 1; i < 60; i++)
		b[i] = (struct guest_buffer){ TX_AT + HEADER + (i - 1) * 20, 20,
					      0 };
	guest_add(&x->d, TX, b, 60);
	guest_kick(&x->d, TX);
	expect_frame(x, 9, 59 * 20);
	assert_true(guest_used(&x->d, TX, &head, &len));
}

/* The other end reads nothing: frames stay with the guest, and none is lost. */
static void test_send_waits(void **state)
{
	struct fixture *x = *state;
	unsigned int sent = 0, taken = 0;
	uint32_t head, len;

	/* As usual, there are receive buffers, and the other end is watched. */
	post(x, 8, 2000);
	while (sent < 20) {
		guest_send(x, TX_AT, sent, 60000);
		guest_sync(&x->g);
		sent++;
		if (!guest_used_now(&x->d, TX, &head, &len))
			break;
	}
	/* The socket has taken some and a part of one. */
	assert_in_range(sent, 2, 19);
	for (; taken < sent; taken++) {
		/* The guest has only one such buffer. */
		expect_frame(x, taken, 60000);
		if (taken + 1 == sent)
			assert_true(guest_used(&x->d, TX, &head, &len));
	}
	assert_int_equal(x->net.tx_frames, sent);
}

/* The other end goes with a part of a frame, while the guest wants nothing. */
static void test_gone_with_a_part(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;
	unsigned int sent = 0;

	do
		guest_send(x, TX_AT, sent++, 60000), guest_sync(&x->g);
	while (guest_used_now(&x->d, TX, &head, &len) && sent < 20);
	assert_in_range(sent, 2, 19);
	guest_log_begin(&x->g);
	close(x->peer);
	x->peer = -1;
	await_status(x, 0);
	assert_true(guest_used(&x->d, TX, &head, &len));
	assert_int_equal(guest_log_end(&x->g), 1);
}

/* Frames of nothing, of too much, and without a header. */
static void test_send_bad(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer empty = { TX_AT, HEADER, 0 };
	struct guest_buffer large = { TX_AT, HEADER + NET_FRAME_MAX + 1, 0 };
	struct guest_buffer cut = { TX_AT, HEADER - 1, 0 };
	uint32_t head, len;

	guest_add(&x->d, TX, &empty, 1);
	guest_add(&x->d, TX, &large, 1);
	guest_kick(&x->d, TX);
	assert_true(guest_used(&x->d, TX, &head, &len));
	assert_true(guest_used(&x->d, TX, &head, &len));
	assert_int_equal(x->net.tx_dropped, 2);
	assert_false(peer_has(x, 0));
	guest_log_begin(&x->g);
	guest_add(&x->d, TX, &cut, 1);
	guest_kick(&x->d, TX);
	guest_sync(&x->g);
	assert_true(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(guest_log_end(&x->g), 1);
}

/* A frame that passt would end the connection over is dropped. */
static void test_send_passt(void **state)
{
	static const struct {
		uint32_t len;
		bool taken;
	} frames[] = {
		{ 13, false },
		{ 14, true },
		{ 65535, true },
		{ 65536, false },
	};
	struct fixture *x = *state;
	uint8_t *got = malloc(4 + UINT16_MAX);
	unsigned int dropped = 0;

	/* As if passt were the other end; the device only looks whether it is. */
	x->net.child = 1;
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		uint32_t len = frames[i].len, head, used;
		struct guest_buffer b = { TX_AT, HEADER + len, 0 };

		guest_add(&x->d, TX, &b, 1);
		guest_kick(&x->d, TX);
		if (frames[i].taken) {
			peer_take(x, got, 4 + len);
			assert_int_equal(get_be32(got), len);
		}
		assert_true(guest_used(&x->d, TX, &head, &used));
		dropped += !frames[i].taken;
		assert_int_equal(x->net.tx_dropped, dropped);
	}
	guest_sync(&x->g);
	assert_false(peer_has(x, 0));
	x->net.child = 0;
	free(got);
}

/* The device offers the offloads of a tap device, as after a restore from one. */
static int setup_offloads(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	guest_init(&x->g);
	create_with(x, SOCK_STREAM, true);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, QUEUES);
	*state = x;
	return 0;
}

/* Sends a frame in @parts whose checksum is left out, in place of its pseudo header. */
static void send_partial(struct fixture *x, const uint8_t *frame, uint32_t len,
			 uint16_t start, uint16_t offset, unsigned int parts)
{
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.csum_start = start,
		.csum_offset = offset,
	};
	struct guest_buffer b[12];
	uint32_t at = 0;

	memcpy(guest_ptr(&x->g, TX_AT, HEADER), &header, HEADER);
	memcpy(guest_ptr(&x->g, TX_AT + HEADER, len), frame, len);
	b[0] = (struct guest_buffer){ TX_AT, HEADER, 0 };
	for (unsigned int i = 0; i < parts; i++) {
		uint32_t piece = i + 1 == parts ? len - at : 1;

		b[1 + i] =
			(struct guest_buffer){ TX_AT + HEADER + at, piece, 0 };
		at += piece;
	}
	guest_add(&x->d, TX, b, 1 + parts);
	guest_kick(&x->d, TX);
}

/*
 * A checksum that the guest has left to a host side without that offload: over an odd
 * number of bytes, over zeros, and outside the frame, of which nothing is sent.
 */
static void test_send_checksum(void **state)
{
	/* The words from byte 2 on are 0x0001, 0xf203, 0xf4f5, 0x1234 and 0xf600. */
	static const uint8_t frame[11] = { 9,	 9,    0x00, 0x01, 0xf2, 0x03,
					   0xf4, 0xf5, 0x12, 0x34, 0xf6 };
	/* The sum is 0xffff, so its complement would mean none. */
	static const uint8_t zero[8] = { 9, 9, 0xff, 0xff, 0, 0, 0, 0 };
	static const struct {
		uint16_t start, offset;
	} bad[] = { { 11, 0 }, { 2, 8 },	 { 12, 0 },
		    { 0, 10 }, { 65535, 65535 }, { 65535, 0 } };
	struct fixture *x = *state;
	uint8_t got[sizeof(frame) + 4], want[sizeof(frame)];
	uint32_t head, len;

	assert_true(x->d.features & BIT(VIRTIO_NET_F_CSUM));
	for (unsigned int parts = 1; parts <= 11; parts += 5) {
		memcpy(want, frame, sizeof(want));
		/* 0x0001 + 0xf203 + 0xf4f5 + 0x1234 + 0xf600 = 0x2ef2d. */
		want[8] = 0x10;
		want[9] = 0xd0;
		send_partial(x, frame, sizeof(frame), 2, 6, parts);
		peer_take(x, got, sizeof(got));
		assert_int_equal(get_be32(got), sizeof(frame));
		assert_memory_equal(got + 4, want, sizeof(want));
		assert_true(guest_used(&x->d, TX, &head, &len));
	}
	send_partial(x, zero, sizeof(zero), 2, 4, 1);
	peer_take(x, got, sizeof(zero) + 4);
	assert_memory_equal(got + 4 + 6, "\xff\xff", 2);
	assert_true(guest_used(&x->d, TX, &head, &len));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		send_partial(x, frame, sizeof(frame), bad[i].start,
			     bad[i].offset, 1);
		assert_true(guest_used(&x->d, TX, &head, &len));
		assert_int_equal(x->net.tx_dropped, i + 1);
	}
	assert_false(peer_has(x, 0));
	assert_int_equal(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

/* The other end sends a length that no frame has: the link is down. */
static void bad_length(struct fixture *x, uint32_t length)
{
	uint8_t bytes[4];

	guest_log_begin(&x->g);
	guest_send_many(x, 20);
	guest_sync(&x->g);
	post(x, 1, 2000);
	put_be32(bytes, length);
	assert_int_equal(send(x->peer, bytes, sizeof(bytes), 0), 4);
	await_status(x, 0);
	assert_int_equal(guest_log_end(&x->g), 1);
	/* The guest goes on; its frames go nowhere, also those that waited. */
	for (unsigned int i = 0; i < 23; i++) {
		uint32_t head, len;

		if (i >= 20)
			guest_send(x, TX_AT + MIB / 2, i, 100);
		assert_true(guest_used(&x->d, TX, &head, &len));
	}
	assert_true(x->net.tx_dropped >= 3);
}

static void test_length_zero(void **state)
{
	bad_length(*state, 0);
}

static void test_length_64k(void **state)
{
	bad_length(*state, NET_FRAME_MAX + 1);
}

static void test_length_4g(void **state)
{
	bad_length(*state, UINT32_MAX);
}

/* The other end goes, seen by the receiver, and in another run by the sender. */
static void test_gone(void **state)
{
	struct fixture *x = *state;
	uint64_t before = guest_fired(&x->d, 0);

	(void)before;
	guest_log_begin(&x->g);
	post(x, 1, 2000);
	guest_sync(&x->g);
	close(x->peer);
	x->peer = -1;
	await_status(x, 0);
	assert_true(guest_fired(&x->d, 0) > 0);
	assert_int_equal(guest_log_end(&x->g), 1);
	/* Still down for the next driver. */
	guest_start(&x->d, UINT64_MAX, QUEUES);
	assert_int_equal(status_now(x), 0);
}

static void test_gone_while_sending(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	guest_log_begin(&x->g);
	close(x->peer);
	x->peer = -1;
	guest_send(x, TX_AT, 1, 100);
	assert_true(guest_used(&x->d, TX, &head, &len));
	await_status(x, 0);
	assert_int_equal(guest_log_end(&x->g), 1);
}

/* One message is one frame. */
static void test_packets(void **state)
{
	struct fixture *x = *state;
	uint8_t bytes[3000];
	uint32_t head, len;

	post(x, 4, 2000);
	for (unsigned int n = 0; n < 2; n++) {
		for (unsigned int i = 0; i < 1500; i++)
			bytes[i] = pattern(n, i);
		assert_int_equal(send(x->peer, bytes, 1500, 0), 1500);
		take_frame(x, RX_AT + n * 2000, 2000, n, 1500);
	}
	guest_send(x, TX_AT, 7, 1400);
	assert_int_equal(recv(x->peer, bytes, sizeof(bytes), 0), 1400);
	for (unsigned int i = 0; i < 1400; i++)
		assert_int_equal(bytes[i], pattern(7, i));
	assert_true(guest_used(&x->d, TX, &head, &len));
}

/* A message of no bytes is a datagram like another, but no frame. */
static void test_datagrams(void **state)
{
	struct fixture *x = *state;
	uint8_t byte = pattern(1, 0);

	post(x, 1, 2000);
	assert_int_equal(send(x->peer, "", 0, 0), 0);
	assert_int_equal(send(x->peer, &byte, 1, 0), 1);
	take_frame(x, RX_AT, 2000, 1, 1);
	assert_int_equal(x->net.rx_dropped, 1);
	assert_int_equal(status_now(x), VIRTIO_NET_S_LINK_UP);
}

/* DRIVER_OK of two processors at once, with a frame half received. */
static void test_started_twice(void **state)
{
	struct fixture *x = *state;
	struct virtio_pci *pci = x->device.state;
	gpa_t at = x->next_rx;

	post(x, 1, 1000);
	peer_send(x, 1, 2000);
	guest_sync(&x->g);
	virtio_device_start(&pci->device);
	post(x, 2, 1000);
	assert_int_equal(take_frame(x, at, 1000, 1, 2000), 3);
}

/* Gives a control command of @in bytes; the answer, or 0xff if there is none. */
static uint8_t control(struct fixture *x, const void *command, uint32_t in)
{
	struct guest_buffer b[2] = { { CTRL_AT, in, 0 },
				     { CTRL_AT + 64, 1, GUEST_WRITE } };
	uint8_t *bytes = guest_ptr(&x->g, CTRL_AT, 128);
	uint32_t head, len;

	memcpy(bytes, command, in);
	bytes[64] = 0xff;
	guest_add(&x->d, CONTROL, b, 2);
	guest_kick(&x->d, CONTROL);
	guest_sync(&x->g);
	if (guest_used_now(&x->d, CONTROL, &head, &len))
		assert_int_equal(len, 1);
	return bytes[64];
}

static void test_control(void **state)
{
	static const uint8_t ack[] = { VIRTIO_NET_CTRL_ANNOUNCE, 0 };
	static const uint8_t promisc[] = { VIRTIO_NET_CTRL_RX, 0, 1 };
	static const uint8_t queues[] = { VIRTIO_NET_CTRL_MQ, 0, 2, 0 };
	struct fixture *x = *state;

	assert_int_equal(control(x, ack, sizeof(ack)), VIRTIO_NET_OK);
	assert_int_equal(control(x, promisc, sizeof(promisc)), VIRTIO_NET_ERR);
	assert_int_equal(control(x, queues, sizeof(queues)), VIRTIO_NET_ERR);
	guest_log_begin(&x->g);
	assert_int_equal(control(x, ack, 1), 0xff);
	assert_true(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(guest_log_end(&x->g), 1);
}

/* Saves the device and loads it into a new one, with another host side. */
static void move(struct fixture *x)
{
	struct snap_writer w = { 0 };
	struct snap_reader r;

	x->device.ops->quiesce(x->device.state, INT64_MAX);
	assert_int_equal(x->device.ops->save(x->device.state, &w), 0);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	destroy(x);
	create(x, SOCK_STREAM);
	x->device.ops->quiesce(x->device.state, INT64_MAX);
	assert_int_equal(x->device.ops->load(x->device.state, &r), 0);
	assert_int_equal(snap_reader_error(&r), 0);
	snap_writer_finish(&w);
}

/*
 * A frame half received at the save is lost with its host side; its buffers are not,
 * and the next frame fills them.  The link goes down and up, with an announcement.
 */
static void test_restore(void **state)
{
	static const uint8_t ack[] = { VIRTIO_NET_CTRL_ANNOUNCE, 0 };
	struct fixture *x = *state;
	gpa_t at = x->next_rx;
	uint32_t head, len;
	uint16_t status;

	post(x, 2, 1000);
	peer_send(x, 1, 5000);
	guest_sync(&x->g);
	move(x);
	x->device.ops->resume(x->device.state);
	assert_false(guest_used_now(&x->d, RX, &head, &len));
	guest_sync(&x->g);
	assert_true(guest_fired(&x->d, 0) > 0);
	/* Down at the first look, up at a later one. */
	status = status_now(x);
	assert_int_equal(status, 0);
	await_status(x, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(control(x, ack, sizeof(ack)), VIRTIO_NET_OK);
	assert_int_equal(status_now(x), VIRTIO_NET_S_LINK_UP);
	peer_send(x, 2, 1500);
	assert_int_equal(take_frame(x, at, 1000, 2, 1500), 2);
	guest_send(x, TX_AT, 3, 500);
	expect_frame(x, 3, 500);
}

/* A pause keeps the host side, and what it has sent. */
static void test_pause(void **state)
{
	struct fixture *x = *state;
	gpa_t at = x->next_rx;
	uint32_t head, len;

	post(x, 2, 1000);
	peer_send(x, 1, 2500);
	guest_sync(&x->g);
	x->device.ops->quiesce(x->device.state, INT64_MAX);
	guest_sync(&x->g);
	peer_send(x, 2, 60);
	post(x, 2, 1000);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, RX, &head, &len));
	x->device.ops->resume(x->device.state);
	assert_int_equal(take_frame(x, at, 1000, 1, 2500), 3);
	take_frame(x, at + 3000, 1000, 2, 60);
	assert_int_equal(status_now(x), VIRTIO_NET_S_LINK_UP);
}

/* The link is lost during a pause: the interrupt follows it. */
static void test_lost_while_paused(void **state)
{
	struct fixture *x = *state;

	post(x, 2, 1000);
	guest_send_many(x, 20);
	guest_sync(&x->g);
	x->device.ops->quiesce(x->device.state, INT64_MAX);
	guest_log_begin(&x->g);
	close(x->peer);
	x->peer = -1;
	guest_kick(&x->d, TX);
	guest_sync(&x->g);
	guest_fired(&x->d, 0);
	assert_int_equal(status_now(x), VIRTIO_NET_S_LINK_UP);
	x->device.ops->resume(x->device.state);
	await_status(x, 0);
	assert_true(guest_fired(&x->d, 0) > 0);
	assert_int_equal(guest_log_end(&x->g), 1);
}

/* The driver reads that the link is down, and a pause comes in between. */
static void test_restore_paused(void **state)
{
	struct fixture *x = *state;

	move(x);
	x->device.ops->resume(x->device.state);
	x->device.ops->quiesce(x->device.state, INT64_MAX);
	assert_int_equal(status_now(x), 0);
	guest_sync(&x->g);
	guest_fired(&x->d, 0);
	x->device.ops->resume(x->device.state);
	await_status(x, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_true(guest_fired(&x->d, 0) > 0);
}

/* What came before the driver is not for it. */
static void test_stale_frames(void **state)
{
	struct fixture *x = *state;

	guest_common_set(&x->d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	for (unsigned int i = 0; i < 10; i++)
		peer_send(x, i, 200);
	guest_start(&x->d, UINT64_MAX, QUEUES);
	post(x, 1, 1000);
	guest_sync(&x->g);
	peer_send(x, 77, 300);
	take_frame(x, RX_AT, 1000, 77, 300);
}

#define TEST(name, function)                          \
	{                                             \
		name, function, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST("net-config", test_config),
		TEST("net-receive", test_receive),
		TEST("net-receive-merged", test_receive_merged),
		TEST("net-receive-waits", test_receive_waits),
		TEST("net-receive-no-room", test_receive_no_room),
		TEST("net-receive-ring-full", test_receive_ring_full),
		{ "net-receive-unmerged", test_receive_unmerged, setup_unmerged,
		  teardown, NULL },
		TEST("net-send", test_send),
		TEST("net-send-gathered", test_send_gathered),
		TEST("net-send-waits", test_send_waits),
		TEST("net-gone-with-a-part", test_gone_with_a_part),
		TEST("net-send-bad", test_send_bad),
		TEST("net-send-passt", test_send_passt),
		{ "net-send-checksum", test_send_checksum, setup_offloads,
		  teardown, NULL },
		TEST("net-length-zero", test_length_zero),
		TEST("net-length-64k", test_length_64k),
		TEST("net-length-4g", test_length_4g),
		TEST("net-gone", test_gone),
		TEST("net-gone-while-sending", test_gone_while_sending),
		{ "net-packets", test_packets, setup_packets, teardown, NULL },
		{ "net-datagrams", test_datagrams, setup_datagrams, teardown,
		  NULL },
		TEST("net-started-twice", test_started_twice),
		TEST("net-control", test_control),
		TEST("net-restore", test_restore),
		TEST("net-pause", test_pause),
		TEST("net-lost-while-paused", test_lost_while_paused),
		TEST("net-restore-paused", test_restore_paused),
		TEST("net-stale-frames", test_stale_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
