// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio console with several ports: a driver that finds the ports by the control
 * queues, with pipes and a socket at the host's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/snap/section.h"

/* The ports: a socket, a pipe in, a pipe out, neither. */
enum { BOTH, IN, OUT, NONE, PORTS };

#define QUEUES	   (2 * PORTS + 2)
#define CONTROL_RX 2
#define CONTROL_TX 3

#define CONTROL_AT GUEST_HIGH
#define RX_AT	   (GUEST_HIGH + MIB)
#define TX_AT	   (GUEST_HIGH + 2 * MIB)
#define DATA_BYTES MIB

static const char *const names[PORTS] = { "both", "in", "out", "none" };

struct fixture {
	struct guest g;
	struct virtio_ports config;
	int socket, to_guest, from_guest; /* our ends */
	struct device device;
	struct guest_device d;
	bool posted; /* a buffer for a control message */
	uint8_t *bytes, *got; /* DATA_BYTES each */
};

/* A control message of the device. */
struct message {
	uint32_t id, bytes;
	uint16_t event, value;
	char name[64];
};

static unsigned int rx(unsigned int port)
{
	return port ? 2 * port + 2 : 0;
}

static unsigned int tx(unsigned int port)
{
	return rx(port) + 1;
}

/* New pipes and a new socket; the device's ends are in the config. */
static void open_ends(struct fixture *x)
{
	int both[2], in[2], out[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, both), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	x->socket = both[0];
	x->to_guest = in[1];
	x->from_guest = out[0];
	x->config =
		(struct virtio_ports){ .list = { { "both", both[1], both[1] },
						 { "in", in[0], -1 },
						 { "out", -1, out[1] },
						 { "none", -1, -1 } },
				       .count = PORTS };
}

static void close_ends(struct fixture *x)
{
	close_fd(&x->socket);
	close_fd(&x->to_guest);
	close_fd(&x->from_guest);
}

/* The device has duplicates of its ends. */
static void open_device(struct fixture *x)
{
	assert_int_equal(virtio_ports_create(&x->device, &x->g.host, "ports",
					     &x->config),
			 0);
	close(x->config.list[BOTH].in_fd);
	close(x->config.list[IN].in_fd);
	close(x->config.list[OUT].out_fd);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	signal(SIGPIPE, SIG_IGN);
	x->bytes = malloc(DATA_BYTES);
	x->got = malloc(DATA_BYTES);
	for (unsigned int i = 0; i < DATA_BYTES; i++)
		x->bytes[i] = (uint8_t)(i * 17 / 3 + i / 251);
	guest_init(&x->g);
	open_ends(x);
	open_device(x);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, QUEUES);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	guest_destroy(&x->g, &x->device);
	close_ends(x);
	guest_finish(&x->g);
	free(x->bytes);
	free(x->got);
	free(x);
	return 0;
}

static void control(struct fixture *x, uint32_t id, uint16_t event,
		    uint16_t value)
{
	struct guest_buffer b = { CONTROL_AT, 8, 0 };
	uint8_t *to = guest_ptr(&x->g, CONTROL_AT, 8);
	uint32_t head, len;

	put_le32(to, id);
	put_le16(to + 4, event);
	put_le16(to + 6, value);
	guest_add(&x->d, CONTROL_TX, &b, 1);
	guest_kick(&x->d, CONTROL_TX);
	assert_true(guest_used(&x->d, CONTROL_TX, &head, &len));
	assert_int_equal(len, 0);
}

static void post_control(struct fixture *x)
{
	struct guest_buffer b = { CONTROL_AT + 64, 128, GUEST_WRITE };

	if (x->posted)
		return;
	x->posted = true;
	guest_add(&x->d, CONTROL_RX, &b, 1);
	guest_kick(&x->d, CONTROL_RX);
}

/* The next message; fails without one. */
static struct message next_message(struct fixture *x)
{
	const uint8_t *from = guest_ptr(&x->g, CONTROL_AT + 64, 128);
	struct message m = { 0 };
	uint32_t head;

	post_control(x);
	assert_true(guest_used(&x->d, CONTROL_RX, &head, &m.bytes));
	x->posted = false;
	assert_in_range(m.bytes, 8, 64);
	m.id = get_le32(from);
	m.event = get_le16(from + 4);
	m.value = get_le16(from + 6);
	memcpy(m.name, from + 8, m.bytes - 8);
	return m;
}

static void expect_message(struct fixture *x, uint32_t id, uint16_t event,
			   uint16_t value)
{
	struct message m = next_message(x);

	assert_int_equal(m.event, event);
	assert_int_equal(m.id, id);
	assert_int_equal(m.value, value);
}

static void expect_name(struct fixture *x, uint32_t id, const char *name)
{
	struct message m = next_message(x);

	assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_NAME);
	assert_int_equal(m.id, id);
	assert_string_equal(m.name, name);
	assert_int_equal(m.bytes, 8 + strlen(name));
}

static void expect_silence(struct fixture *x)
{
	uint32_t head, len;

	post_control(x);
	guest_sync(&x->g);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, CONTROL_RX, &head, &len));
}

/* What Linux does at its start, and a process that opens each port. */
static void connect_ports(struct fixture *x)
{
	control(x, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned int i = 0; i < PORTS; i++)
		expect_message(x, i, VIRTIO_CONSOLE_PORT_ADD, 1);
	memcpy(guest_ptr(&x->g, TX_AT, DATA_BYTES), x->bytes, DATA_BYTES);
	for (unsigned int i = 0; i < PORTS; i++) {
		control(x, i, VIRTIO_CONSOLE_PORT_READY, 1);
		expect_message(x, i, VIRTIO_CONSOLE_PORT_OPEN, i != NONE);
		expect_name(x, i, names[i]);
		control(x, i, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
}

static void post(struct fixture *x, unsigned int port, uint32_t len)
{
	struct guest_buffer b = { RX_AT, len, GUEST_WRITE };

	guest_add(&x->d, rx(port), &b, 1);
	guest_kick(&x->d, rx(port));
}

/*
 * Sends @len bytes of x->bytes, which connect_ports() has put into guest memory,
 * from @at, in @parts descriptors.
 */
static void send_bytes(struct fixture *x, unsigned int port, uint32_t at,
		       uint32_t len, unsigned int parts)
{
	struct guest_buffer b[8];
	uint32_t done = 0;

	for (unsigned int i = 0; i < parts; i++) {
		uint32_t n = i + 1 == parts ? len - done : len / parts;

		b[i] = (struct guest_buffer){ TX_AT + at + done, n, 0 };
		done += n;
	}
	guest_add(&x->d, tx(port), b, parts);
	guest_kick(&x->d, tx(port));
}

static void read_all(int fd, uint8_t *to, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, to + done, len - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
}

static void assert_unused(struct fixture *x, unsigned int queue)
{
	uint32_t head, len;

	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, queue, &head, &len));
}

static uint32_t assert_used(struct fixture *x, unsigned int queue)
{
	uint32_t head, len;

	assert_true(guest_used(&x->d, queue, &head, &len));
	return len;
}

/* CPU time of the process in 100 ms. */
static uint64_t busy_ns(void)
{
	struct timespec from, to;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	usleep(100000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000 +
	       (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
}

/* Nothing before DEVICE_READY; the state of a port before its name. */
static void test_announce(void **state)
{
	struct fixture *x = *state;

	assert_true(x->d.features & 1 << VIRTIO_CONSOLE_F_MULTIPORT);
	assert_int_equal(guest_read(&x->g, x->d.config + 4, 4), PORTS);
	expect_silence(x);
	control(x, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
	expect_silence(x);
	connect_ports(x);
	expect_silence(x);
	/* A driver that could not set up a port hears no more of it. */
	control(x, IN, VIRTIO_CONSOLE_PORT_READY, 0);
	close_fd(&x->to_guest);
	expect_silence(x);
	/* A port that is set up again is announced again. */
	control(x, OUT, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_message(x, OUT, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_name(x, OUT, "out");
}

/* Chains of many sizes and parts, out and in. */
static void test_sizes(void **state)
{
	static const uint32_t sizes[] = { 1,	7,    8,     100,   4095,
					  4096, 4097, 12345, 32768, 65536 };
	struct fixture *x = *state;

	connect_ports(x);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes) * 3; i++) {
		uint32_t len = sizes[i % ARRAY_SIZE(sizes)], seen = 0;
		unsigned int parts = len < 8 ? 1 : 1 + i % 8;

		send_bytes(x, OUT, i * 5, len, parts);
		read_all(x->from_guest, x->got, len);
		assert_memory_equal(x->got, x->bytes + i * 5, len);
		assert_int_equal(assert_used(x, tx(OUT)), 0);

		assert_int_equal(write(x->to_guest, x->bytes + i, len), len);
		while (seen < len) {
			uint32_t n;

			post(x, IN, 1 + len / 3);
			n = assert_used(x, rx(IN));
			assert_in_range(n, 1, 1 + len / 3);
			assert_memory_equal(guest_ptr(&x->g, RX_AT, n),
					    x->bytes + i + seen, n);
			seen += n;
		}
		assert_int_equal(seen, len);
	}
}

/* One descriptor of the host for both directions. */
static void test_socket(void **state)
{
	struct fixture *x = *state;

	connect_ports(x);
	post(x, BOTH, 100);
	assert_unused(x, rx(BOTH));
	send_bytes(x, BOTH, 0, DATA_BYTES, 1);
	guest_sync(&x->g);
	/* Both directions are watched now. */
	assert_int_equal(write(x->socket, "in", 2), 2);
	assert_int_equal(assert_used(x, rx(BOTH)), 2);
	read_all(x->socket, x->got, DATA_BYTES);
	assert_memory_equal(x->got, x->bytes, DATA_BYTES);
	assert_used(x, tx(BOTH));
	close_fd(&x->socket);
	post(x, BOTH, 100);
	expect_message(x, BOTH, VIRTIO_CONSOLE_PORT_OPEN, 0);
}

/* A full pipe holds the chain, without work for the host, until it is read. */
static void test_slow_reader(void **state)
{
	struct fixture *x = *state;

	connect_ports(x);
	assert_true(virtio_ports_drained(&x->device));
	send_bytes(x, OUT, 0, DATA_BYTES, 3);
	send_bytes(x, OUT, 0, 10, 1);
	assert_unused(x, tx(OUT));
	assert_false(virtio_ports_drained(&x->device));
	assert_true(busy_ns() < 50000000);
	/* Other ports continue. */
	send_bytes(x, BOTH, 0, 10, 1);
	read_all(x->socket, x->got, 10);
	read_all(x->from_guest, x->got, DATA_BYTES);
	assert_memory_equal(x->got, x->bytes, DATA_BYTES);
	read_all(x->from_guest, x->got, 10);
	assert_used(x, tx(OUT));
	assert_used(x, tx(OUT));
	assert_true(virtio_ports_drained(&x->device));
	expect_silence(x);
}

/* The output's reader goes while a chain waits: it is dropped, and later ones. */
static void test_reader_gone(void **state)
{
	struct fixture *x = *state;

	connect_ports(x);
	guest_log_begin(&x->g);
	send_bytes(x, OUT, 0, DATA_BYTES, 1);
	assert_unused(x, tx(OUT));
	close_fd(&x->from_guest);
	assert_used(x, tx(OUT));
	expect_message(x, OUT, VIRTIO_CONSOLE_PORT_OPEN, 0);
	for (unsigned int i = 0; i < 10; i++) {
		send_bytes(x, OUT, 0, 100, 1);
		assert_used(x, tx(OUT));
	}
	assert_true(virtio_ports_drained(&x->device));
	expect_silence(x);
	assert_true(busy_ns() < 50000000);
	assert_int_equal(guest_log_end(&x->g), 0);
	/* Without an output bytes are dropped as well. */
	send_bytes(x, NONE, 0, 100, 1);
	assert_used(x, tx(NONE));
}

static int pending(int fd)
{
	int bytes = 0;

	assert_int_equal(ioctl(fd, FIONREAD, &bytes), 0);
	return bytes;
}

/* Input waits until the guest opens the port, and its end for the last byte. */
static void test_end_of_input(void **state)
{
	struct fixture *x = *state;

	connect_ports(x);
	control(x, IN, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(write(x->to_guest, "0123456789", 10), 10);
	post(x, IN, 4);
	assert_unused(x, rx(IN));
	assert_int_equal(pending(x->to_guest), 10);
	assert_true(busy_ns() < 50000000);
	control(x, IN, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(assert_used(x, rx(IN)), 4);
	/* No buffer, no read. */
	guest_sync(&x->g);
	assert_int_equal(pending(x->to_guest), 6);
	close_fd(&x->to_guest);
	expect_silence(x);
	post(x, IN, 100);
	assert_int_equal(assert_used(x, rx(IN)), 6);
	assert_memory_equal(guest_ptr(&x->g, RX_AT, 6), "456789", 6);
	post(x, IN, 100);
	expect_message(x, IN, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_unused(x, rx(IN));
	assert_true(busy_ns() < 50000000);
	expect_silence(x);
}

/* Replaces the device by one with other descriptors, not yet found. */
static void replace_input(struct fixture *x, const char *path, int flags)
{
	guest_destroy(&x->g, &x->device);
	close_ends(x);
	open_ends(x);
	close(x->config.list[IN].in_fd);
	x->config.list[IN].in_fd = open(path, flags | O_CLOEXEC);
	assert_true(x->config.list[IN].in_fd >= 0);
	open_device(x);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, QUEUES);
	x->posted = false;
	connect_ports(x);
}

/* Input from files, which epoll does not support. */
static void test_file_input(void **state)
{
	char path[] = "/tmp/thaw-ports-XXXXXX";
	struct fixture *x = *state;
	uint32_t seen = 0;
	int fd = mkstemp(path);

	assert_int_equal(write(fd, x->bytes, 100000), 100000);
	close(fd);
	replace_input(x, path, O_RDONLY);
	unlink(path);
	while (seen < 100000) {
		uint32_t n;

		post(x, IN, 3000);
		n = assert_used(x, rx(IN));
		assert_memory_equal(guest_ptr(&x->g, RX_AT, n), x->bytes + seen,
				    n);
		seen += n;
	}
	post(x, IN, 3000);
	expect_message(x, IN, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_unused(x, rx(IN));
	assert_true(busy_ns() < 50000000);
	replace_input(x, "/dev/null", O_RDWR);
	post(x, IN, 3000);
	expect_message(x, IN, VIRTIO_CONSOLE_PORT_OPEN, 0);
}

/* Messages that mean nothing are ignored, and the log is bounded. */
static void test_bad_messages(void **state)
{
	static const struct {
		uint32_t id;
		uint16_t event;
	} bad[] = {
		{ PORTS, VIRTIO_CONSOLE_PORT_READY },
		{ UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN },
		{ VIRTIO_PORTS_MAX, VIRTIO_CONSOLE_PORT_OPEN },
		{ 0, VIRTIO_CONSOLE_PORT_NAME },
		{ 0, VIRTIO_CONSOLE_PORT_ADD },
		{ 0, UINT16_MAX },
	};
	struct fixture *x = *state;
	struct guest_buffer b = { CONTROL_AT, 7, 0 };

	guest_log_begin(&x->g);
	for (unsigned int i = 0; i < 20 * ARRAY_SIZE(bad); i++)
		control(x, bad[i % ARRAY_SIZE(bad)].id,
			bad[i % ARRAY_SIZE(bad)].event, (uint16_t)i);
	for (b.len = 1; b.len < 8; b.len++) {
		guest_add(&x->d, CONTROL_TX, &b, 1);
		guest_kick(&x->d, CONTROL_TX);
		assert_used(x, CONTROL_TX);
	}
	assert_int_equal(guest_log_end(&x->g), 10);
	/* However often: one message each. */
	for (unsigned int i = 0; i < 1000; i++)
		control(x, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	connect_ports(x);
	expect_silence(x);
	assert_int_equal(guest_status(&x->d), 15);
}

/* Starts the driver again after it has broken the device. */
static void assert_broken(struct fixture *x)
{
	guest_sync(&x->g);
	assert_true(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(virtio_ports_drained(&x->device));
	guest_start(&x->d, UINT64_MAX, QUEUES);
	x->posted = false;
	connect_ports(x);
	send_bytes(x, OUT, 0, 100, 2);
	read_all(x->from_guest, x->got, 100);
	assert_memory_equal(x->got, x->bytes, 100);
	assert_used(x, tx(OUT));
}

/* Chains that are no chains, on each kind of queue. */
static void test_bad_chains(void **state)
{
	struct guest_buffer small = { CONTROL_AT + 64, 7, GUEST_WRITE };
	struct guest_buffer readable = { RX_AT, 64, 0 };
	struct guest_buffer outside = { GUEST_HIGH + GUEST_HIGH_BYTES - 4, 8,
					0 };
	struct fixture *x = *state;

	guest_log_begin(&x->g);
	control(x, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	guest_add(&x->d, CONTROL_RX, &small, 1);
	guest_kick(&x->d, CONTROL_RX);
	assert_broken(x);
	assert_int_equal(write(x->to_guest, "text", 4), 4);
	guest_add(&x->d, rx(IN), &readable, 1);
	guest_kick(&x->d, rx(IN));
	assert_broken(x);
	for (unsigned int q = 1; q < QUEUES; q += 2) {
		/* It points to itself; then it ends outside memory. */
		guest_desc(&x->g, x->d.queues[q].desc, x->d.queues[q].next_desc,
			   TX_AT, 1, GUEST_NEXT, x->d.queues[q].next_desc);
		guest_offer(&x->d, q, x->d.queues[q].next_desc);
		guest_kick(&x->d, q);
		assert_broken(x);
		guest_add(&x->d, q, &outside, 1);
		guest_kick(&x->d, q);
		assert_broken(x);
	}
	assert_in_range(guest_log_end(&x->g), 1, 10);
	/* No input was lost. */
	post(x, IN, 64);
	assert_int_equal(assert_used(x, rx(IN)), 4);
	assert_memory_equal(guest_ptr(&x->g, RX_AT, 4), "text", 4);
}

/* In the middle of output and input; the rest of the chain is not written. */
static void test_reset(void **state)
{
	struct fixture *x = *state;
	int bytes;

	for (unsigned int i = 0; i < 3; i++) {
		connect_ports(x);
		post(x, IN, 64);
		send_bytes(x, OUT, 0, DATA_BYTES, 2);
		assert_unused(x, tx(OUT));
		guest_negotiate(&x->d, UINT64_MAX);
		bytes = pending(x->from_guest);
		assert_in_range(bytes, 1, DATA_BYTES - 1);
		assert_int_equal(write(x->to_guest, "abc", 3), 3);
		read_all(x->from_guest, x->got, (size_t)bytes);
		assert_memory_equal(x->got, x->bytes, bytes);
		guest_start(&x->d, UINT64_MAX, QUEUES);
		x->posted = false;
		expect_silence(x);
		connect_ports(x);
		post(x, IN, 64);
		assert_int_equal(assert_used(x, rx(IN)), 3);
		send_bytes(x, OUT, 7, 50, 1);
		assert_used(x, tx(OUT));
		assert_int_equal(pending(x->from_guest), 50);
		read_all(x->from_guest, x->got, 50);
		assert_memory_equal(x->got, x->bytes + 7, 50);
		guest_start(&x->d, UINT64_MAX, QUEUES);
		x->posted = false;
	}
}

static void save(struct fixture *x, struct snap_writer *w)
{
	const struct device_ops *ops = x->device.ops;

	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(ops->save(x->device.state, w), 0);
}

static int load(struct fixture *x, const struct snap_writer *w)
{
	const struct device_ops *ops = x->device.ops;
	struct snap_reader r = { .data = w->data, .len = w->len };
	int err;

	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	err = ops->load(x->device.state, &r);
	if (err == 0)
		assert_int_equal(snap_reader_error(&r), 0);
	ops->resume(x->device.state);
	return err;
}

/* Swaps two ports of the configuration. */
static void swap(struct fixture *x, unsigned int a, unsigned int b)
{
	struct virtio_port port = x->config.list[a];

	x->config.list[a] = x->config.list[b];
	x->config.list[b] = port;
}

/* With a chain half written and input waiting; the new ends are found by name. */
static void test_save_load(void **state)
{
	struct fixture *x = *state;
	struct snap_writer w = { 0 };
	int before;

	connect_ports(x);
	post(x, IN, 100);
	send_bytes(x, OUT, 0, DATA_BYTES, 2);
	assert_unused(x, tx(OUT));
	save(x, &w);
	assert_int_equal(write(x->to_guest, "old", 3), 3);
	assert_unused(x, rx(IN));
	before = pending(x->from_guest);
	read_all(x->from_guest, x->got, (size_t)before);
	guest_sync(&x->g);
	assert_int_equal(pending(x->from_guest), 0);
	guest_destroy(&x->g, &x->device);
	close_ends(x);
	open_ends(x);
	swap(x, IN, OUT);
	swap(x, BOTH, NONE);
	assert_int_equal(virtio_ports_create(&x->device, &x->g.host, "ports",
					     &x->config),
			 0);
	assert_int_equal(load(x, &w), 0);
	assert_int_equal(write(x->to_guest, "new", 3), 3);
	assert_int_equal(assert_used(x, rx(IN)), 3);
	assert_memory_equal(guest_ptr(&x->g, RX_AT, 3), "new", 3);
	read_all(x->from_guest, x->got + before, DATA_BYTES - (size_t)before);
	assert_memory_equal(x->got, x->bytes, DATA_BYTES);
	assert_used(x, tx(OUT));
	send_bytes(x, BOTH, 3, 5, 1);
	read_all(x->socket, x->got, 5);
	assert_memory_equal(x->got, x->bytes + 3, 5);
	expect_silence(x);
	snap_writer_finish(&w);
}

/* A message that was due is sent after the load, and what has changed. */
static void test_load_changed(void **state)
{
	struct fixture *x = *state;
	struct snap_writer w = { 0 };

	connect_ports(x);
	close_fd(&x->to_guest);
	post(x, IN, 100);
	expect_message(x, IN, VIRTIO_CONSOLE_PORT_OPEN, 0);
	control(x, NONE, VIRTIO_CONSOLE_PORT_READY, 1);
	expect_message(x, NONE, VIRTIO_CONSOLE_PORT_OPEN, 0);
	save(x, &w);
	guest_destroy(&x->g, &x->device);
	close_ends(x);
	open_ends(x);
	x->config.list[BOTH].in_fd = x->config.list[BOTH].out_fd = -1;
	x->config.list[NONE].out_fd = x->config.list[OUT].out_fd;
	assert_int_equal(virtio_ports_create(&x->device, &x->g.host, "ports",
					     &x->config),
			 0);
	assert_int_equal(load(x, &w), 0);
	expect_message(x, BOTH, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect_message(x, IN, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_message(x, NONE, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_name(x, NONE, "none");
	expect_silence(x);
	assert_int_equal(write(x->to_guest, "more", 4), 4);
	assert_int_equal(assert_used(x, rx(IN)), 4);
	snap_writer_finish(&w);
}

/* Other names, and sections with each byte changed or cut off. */
static void test_bad_load(void **state)
{
	struct fixture *x = *state;
	struct snap_writer w = { 0 };
	unsigned int refused = 0;

	connect_ports(x);
	save(x, &w);
	guest_destroy(&x->g, &x->device);
	close_ends(x);
	open_ends(x);
	x->config.list[IN].name = "other";
	open_device(x);
	guest_log_begin(&x->g);
	assert_int_equal(load(x, &w), -EINVAL);
	assert_int_equal(guest_log_end(&x->g), 1);
	guest_destroy(&x->g, &x->device);
	close_ends(x);
	open_ends(x);
	open_device(x);
	guest_log_begin(&x->g);
	for (size_t len = 0; len < w.len; len++) {
		struct snap_writer cut = { .data = w.data, .len = len };

		assert_int_not_equal(load(x, &cut), 0);
	}
	for (size_t at = 0; at < w.len; at++) {
		w.data[at] ^= 0xff;
		refused += load(x, &w) != 0;
		w.data[at] ^= 0xff;
	}
	guest_log_end(&x->g);
	/* At least the names and the flags, of each port. */
	assert_true(refused > PORTS * 4);
	assert_int_equal(load(x, &w), 0);
	expect_silence(x);
	send_bytes(x, OUT, 0, 100, 2);
	read_all(x->from_guest, x->got, 100);
	snap_writer_finish(&w);
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("ports-announce", test_announce),
		TEST("ports-sizes", test_sizes),
		TEST("ports-socket", test_socket),
		TEST("ports-slow-reader", test_slow_reader),
		TEST("ports-reader-gone", test_reader_gone),
		TEST("ports-end-of-input", test_end_of_input),
		TEST("ports-file-input", test_file_input),
		TEST("ports-bad-messages", test_bad_messages),
		TEST("ports-bad-chains", test_bad_chains),
		TEST("ports-reset", test_reset),
		TEST("ports-save-load", test_save_load),
		TEST("ports-load-changed", test_load_changed),
		TEST("ports-bad-load", test_bad_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
