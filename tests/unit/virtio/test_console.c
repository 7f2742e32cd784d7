// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio console between a guest's queues and pipes in place of a terminal.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/bus/loop.h"
#include "vmm/io/terminal.h"
#include "vmm/snap/section.h"

#define RX    0
#define TX    1
#define RX_AT GUEST_HIGH
#define TX_AT (GUEST_HIGH + MIB)

struct fixture {
	struct guest g;
	int to_guest, from_guest; /* our ends of the pipes */
	int in_fd, out_fd; /* the terminal's */
	struct terminal *terminal;
	struct device device;
	struct guest_device d;
};

static void open_device(struct fixture *x)
{
	struct terminal_config config = { .in_fd = x->in_fd,
					  .out_fd = x->out_fd };

	assert_int_equal(terminal_open(&x->terminal, &config), 0);
	assert_int_equal(virtio_console_create(&x->device, &x->g.host,
					       "console", x->terminal),
			 0);
}

static void close_device(struct fixture *x)
{
	guest_destroy(&x->g, &x->device);
	terminal_close(x->terminal);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int in[2], out[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	x->in_fd = in[0];
	x->to_guest = in[1];
	x->from_guest = out[0];
	x->out_fd = out[1];
	guest_init(&x->g);
	open_device(x);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, 2);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	close_device(x);
	guest_finish(&x->g);
	close(x->in_fd);
	close(x->out_fd);
	if (x->to_guest >= 0)
		close(x->to_guest);
	if (x->from_guest >= 0)
		close(x->from_guest);
	free(x);
	return 0;
}

static void post(struct fixture *x, gpa_t at, uint32_t len)
{
	struct guest_buffer b = { at, len, GUEST_WRITE };

	guest_add(&x->d, RX, &b, 1);
	guest_kick(&x->d, RX);
}

static void send_bytes(struct fixture *x, gpa_t at, const void *bytes,
		       uint32_t len)
{
	struct guest_buffer b = { at, len, 0 };

	memcpy(guest_ptr(&x->g, at, len), bytes, len);
	guest_add(&x->d, TX, &b, 1);
	guest_kick(&x->d, TX);
}

static void test_output(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b[2] = { { TX_AT, 3, 0 }, { TX_AT + 7, 4, 0 } };
	uint32_t head, len;
	char got[16];

	send_bytes(x, TX_AT, "hello, ", 7);
	assert_true(guest_used(&x->d, TX, &head, &len));
	assert_int_equal(read(x->from_guest, got, sizeof(got)), 7);
	assert_memory_equal(got, "hello, ", 7);
	memcpy(guest_ptr(&x->g, TX_AT, 11), "abcXXXXdefg", 11);
	guest_add(&x->d, TX, b, 2);
	guest_kick(&x->d, TX);
	assert_true(guest_used(&x->d, TX, &head, &len));
	assert_int_equal(read(x->from_guest, got, sizeof(got)), 7);
	assert_memory_equal(got, "abcdefg", 7);
}

static void test_input(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	/* Input first, and then a buffer; and the other way round. */
	assert_int_equal(write(x->to_guest, "one", 3), 3);
	post(x, RX_AT, 100);
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(guest_ptr(&x->g, RX_AT, 3), "one", 3);
	post(x, RX_AT, 100);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, RX, &head, &len));
	assert_int_equal(write(x->to_guest, "two", 3), 3);
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_memory_equal(guest_ptr(&x->g, RX_AT, 3), "two", 3);
	/* Small buffers get it in pieces. */
	assert_int_equal(write(x->to_guest, "abcdef", 6), 6);
	post(x, RX_AT, 4);
	post(x, RX_AT + 16, 4);
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_int_equal(len, 4);
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(guest_ptr(&x->g, RX_AT + 16, 2), "ef", 2);
}

/* 1 MiB through buffers posted late arrives complete and in order. */
static void test_paste(void **state)
{
	struct fixture *x = *state;
	unsigned int sent = 0, seen = 0;
	uint32_t head, len;

	fcntl(x->to_guest, F_SETFL, O_NONBLOCK);
	while (seen < MIB) {
		uint8_t chunk[3000];
		ssize_t n;

		for (unsigned int i = 0; i < sizeof(chunk); i++)
			chunk[i] = (uint8_t)((sent + i) * 31 / 7);
		n = write(x->to_guest, chunk,
			  min_u64(sizeof(chunk), MIB - sent));
		if (n > 0)
			sent += (unsigned int)n;
		post(x, RX_AT, 1 + seen % 777);
		if (!guest_used(&x->d, RX, &head, &len))
			fail();
		for (unsigned int i = 0; i < len; i++)
			assert_int_equal(*(uint8_t *)guest_ptr(&x->g, RX_AT + i,
							       1),
					 (uint8_t)((seen + i) * 31 / 7));
		seen += len;
	}
}

/* A slow reader: no output is lost, and no kicks are requested. */
static void test_slow_reader(void **state)
{
	struct fixture *x = *state;
	uint8_t *bytes = malloc(MIB), *got = malloc(MIB);
	unsigned int seen = 0;
	uint32_t head, len;

	for (unsigned int i = 0; i < MIB; i++)
		bytes[i] = (uint8_t)(i * 13 / 5);
	send_bytes(x, TX_AT, bytes, MIB);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, TX, &head, &len));
	while (seen < MIB) {
		ssize_t n = read(x->from_guest, got + seen, MIB - seen);

		assert_true(n > 0);
		seen += (unsigned int)n;
	}
	assert_memory_equal(got, bytes, MIB);
	assert_true(guest_used(&x->d, TX, &head, &len));
	free(bytes);
	free(got);
}

/* The processor time of this process in nanoseconds. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * The processor time that is used in a while.  A loop that spins uses all of
 * it; a slow or busy machine makes it less, never more.
 */
static uint64_t busy_ns(void)
{
	static const struct timespec a_while = { .tv_nsec = 300000000 };
	uint64_t before = cpu_ns();

	nanosleep(&a_while, NULL);
	return cpu_ns() - before;
}

/* The end of input does not make the loop spin, with room or without. */
static void test_end_of_input(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	assert_int_equal(write(x->to_guest, "last", 4), 4);
	close(x->to_guest);
	x->to_guest = -1;
	guest_sync(&x->g);
	/* No buffer is posted, and the pipe has hung up. */
	assert_true(busy_ns() < 100000000);
	post(x, RX_AT, 100);
	post(x, RX_AT + 100, 100);
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_int_equal(len, 4);
	guest_sync(&x->g);
	assert_true(busy_ns() < 100000000);
	assert_false(guest_used_now(&x->d, RX, &head, &len));
	/* Output still works. */
	send_bytes(x, TX_AT, "x", 1);
	assert_true(guest_used(&x->d, TX, &head, &len));
}

/* A closed reader: output is dropped, the guest continues. */
static void test_reader_gone(void **state)
{
	struct fixture *x = *state;
	uint32_t head, len;

	/* The first megabyte fills the pipe and stays. */
	send_bytes(x, TX_AT, guest_ptr(&x->g, RX_AT, MIB), MIB);
	guest_sync(&x->g);
	close(x->from_guest);
	x->from_guest = -1;
	assert_true(guest_used(&x->d, TX, &head, &len));
	for (unsigned int i = 0; i < 10; i++) {
		send_bytes(x, TX_AT, "gone", 4);
		assert_true(guest_used(&x->d, TX, &head, &len));
	}
	assert_true(busy_ns() < 100000000);
	assert_int_equal(guest_status(&x->d), 15);
}

/* Input from a file, which epoll does not support. */
static void test_file_input(void **state)
{
	struct fixture *x = *state;
	FILE *file = tmpfile();
	unsigned int seen = 0;
	uint32_t head, len;

	for (unsigned int i = 0; i < 10000; i++)
		fputc((int)(i * 3 & 0xff), file);
	fflush(file);
	rewind(file);
	close_device(x);
	dup2(fileno(file), x->in_fd);
	open_device(x);
	guest_find(&x->g, &x->d, 1);
	guest_start(&x->d, UINT64_MAX, 2);
	while (seen < 10000) {
		post(x, RX_AT, 300);
		assert_true(guest_used(&x->d, RX, &head, &len));
		for (unsigned int i = 0; i < len; i++)
			assert_int_equal(*(uint8_t *)guest_ptr(&x->g, RX_AT + i,
							       1),
					 ((seen + i) * 3) & 0xff);
		seen += len;
	}
	post(x, RX_AT, 300);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, RX, &head, &len));
	assert_true(busy_ns() < 100000000);
	fclose(file);
}

/* In the middle of a long output: another device continues where it was. */
static void test_save_load(void **state)
{
	struct fixture *x = *state;
	const struct device_ops *ops = x->device.ops;
	uint8_t *bytes = malloc(MIB), *got = malloc(MIB);
	struct snap_writer w = { 0 };
	struct snap_reader r;
	unsigned int seen = 0;
	uint32_t head, len;

	for (unsigned int i = 0; i < MIB; i++)
		bytes[i] = (uint8_t)(i * 17 / 3);
	post(x, RX_AT, 100);
	send_bytes(x, TX_AT, bytes, MIB);
	guest_sync(&x->g);
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(ops->save(x->device.state, &w), 0);
	/* Nothing is written while quiesced. */
	assert_int_equal(write(x->to_guest, "in", 2), 2);
	seen = (unsigned int)read(x->from_guest, got, 5000);
	guest_sync(&x->g);
	assert_false(guest_used_now(&x->d, RX, &head, &len));
	close_device(x);
	open_device(x);
	ops = x->device.ops;
	assert_int_equal(ops->quiesce(x->device.state, INT64_MAX), 0);
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	assert_int_equal(ops->load(x->device.state, &r), 0);
	ops->resume(x->device.state);
	while (seen < MIB) {
		ssize_t n = read(x->from_guest, got + seen, MIB - seen);

		assert_true(n > 0);
		seen += (unsigned int)n;
	}
	assert_memory_equal(got, bytes, MIB);
	assert_true(guest_used(&x->d, TX, &head, &len));
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(guest_ptr(&x->g, RX_AT, 2), "in", 2);
	snap_writer_finish(&w);
	free(bytes);
	free(got);
}

/* Replaces the console by one on a pty; returns the pty's master. */
static int use_pty(struct fixture *x, uint16_t rows, uint16_t cols)
{
	const struct winsize size = { .ws_row = rows, .ws_col = cols };
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int slave;

	assert_true(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	close_device(x);
	dup2(slave, x->in_fd);
	dup2(slave, x->out_fd);
	close(slave);
	open_device(x);
	guest_find(&x->g, &x->d, 1);
	return master;
}

static unsigned int cols_seen(struct fixture *x)
{
	return (unsigned int)guest_read(&x->g, x->d.config, 2);
}

static unsigned int rows_seen(struct fixture *x)
{
	return (unsigned int)guest_read(&x->g, x->d.config + 2, 2);
}

static uint8_t generation(struct fixture *x)
{
	return (uint8_t)guest_common(&x->d, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
}

/* Waits for the interrupt of the configuration. */
static void wait_for_change(struct fixture *x)
{
	static const struct timespec pause = { .tv_nsec = 100000 };

	for (unsigned int i = 0; i < 100000; i++) {
		if (guest_fired(&x->d, 0))
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("no interrupt of the configuration");
}

/* Without a terminal the size is offered too, as unknown. */
static void test_size_without_terminal(void **state)
{
	struct fixture *x = *state;

	assert_true(x->d.features & 1 << VIRTIO_CONSOLE_F_SIZE);
	assert_int_equal(cols_seen(x), 0);
	assert_int_equal(rows_seen(x), 0);
	assert_int_equal(guest_status(&x->d), 15);
}

/* The size is signalled at start and when the window changes. */
static void test_size_follows(void **state)
{
	struct fixture *x = *state;
	struct winsize size = { .ws_row = 50, .ws_col = 132 };
	int master = use_pty(x, 33, 99);
	uint8_t before;

	assert_int_equal(cols_seen(x), 99);
	guest_start(&x->d, UINT64_MAX, 2);
	assert_int_equal(guest_fired(&x->d, 0), 1);
	assert_int_equal(cols_seen(x), 99);
	assert_int_equal(rows_seen(x), 33);
	before = generation(x);
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	/* The kernel sends it to the processes of the controlling terminal. */
	kill(getpid(), SIGWINCH);
	wait_for_change(x);
	assert_int_equal(cols_seen(x), 132);
	assert_int_equal(rows_seen(x), 50);
	assert_int_not_equal(generation(x), before);
	/* A driver that did not accept the feature gets no interrupt. */
	guest_start(&x->d, 0, 2);
	assert_int_equal(guest_fired(&x->d, 0), 0);
	close(master);
}

/*
 * A guest saved on a terminal is restored without one, and the other way round;
 * the new size is signalled.
 */
static void test_size_after_load(void **state)
{
	struct fixture *x = *state;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int master = use_pty(x, 33, 99);
	struct snap_writer w = { 0 };
	struct snap_reader r;
	struct guest_device saved;

	guest_start(&x->d, UINT64_MAX, 2);
	saved = x->d;
	assert_int_equal(x->device.ops->quiesce(x->device.state, INT64_MAX), 0);
	assert_int_equal(x->device.ops->save(x->device.state, &w), 0);
	for (unsigned int terminal = 0; terminal < 2; terminal++) {
		if (terminal) {
			close(master);
			master = use_pty(x, 24, 80);
		} else {
			close_device(x);
			dup2(null, x->in_fd);
			dup2(null, x->out_fd);
			open_device(x);
		}
		assert_int_equal(x->device.ops->quiesce(x->device.state,
							UINT64_MAX),
				 0);
		r = (struct snap_reader){ .data = w.data, .len = w.len };
		assert_int_equal(x->device.ops->load(x->device.state, &r), 0);
		x->d = saved; /* the BARs are where they were */
		assert_int_equal(guest_fired(&x->d, 0), 0);
		x->device.ops->resume(x->device.state);
		assert_int_equal(guest_fired(&x->d, 0), 1);
		assert_int_equal(cols_seen(x), terminal ? 80 : 0);
		assert_int_equal(rows_seen(x), terminal ? 24 : 0);
	}
	snap_writer_finish(&w);
	close(master);
	close(null);
}

/* Buffers of the wrong direction. */
static void test_malformed(void **state)
{
	struct fixture *x = *state;
	struct guest_buffer b = { RX_AT, 16, 0 };
	uint32_t head, len;

	guest_log_begin(&x->g);
	assert_int_equal(write(x->to_guest, "text", 4), 4);
	guest_add(&x->d, RX, &b, 1);
	guest_kick(&x->d, RX);
	guest_sync(&x->g);
	assert_true(guest_status(&x->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(guest_log_end(&x->g), 1);
	/* No input is lost. */
	guest_start(&x->d, UINT64_MAX, 2);
	post(x, RX_AT, 16);
	assert_true(guest_used(&x->d, RX, &head, &len));
	assert_memory_equal(guest_ptr(&x->g, RX_AT, 4), "text", 4);
	/* A chain without readable bytes completes and writes nothing. */
	b.flags = GUEST_WRITE;
	guest_add(&x->d, TX, &b, 1);
	guest_kick(&x->d, TX);
	assert_true(guest_used(&x->d, TX, &head, &len));
}

#define TEST(label, function)                          \
	{                                              \
		label, function, setup, teardown, NULL \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST("console-output", test_output),
		TEST("console-input", test_input),
		TEST("console-paste", test_paste),
		TEST("console-slow-reader", test_slow_reader),
		TEST("console-end-of-input", test_end_of_input),
		TEST("console-reader-gone", test_reader_gone),
		TEST("console-file-input", test_file_input),
		TEST("console-save-load", test_save_load),
		TEST("console-size-without-terminal",
		     test_size_without_terminal),
		TEST("console-size-follows", test_size_follows),
		TEST("console-size-after-load", test_size_after_load),
		TEST("console-malformed", test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
