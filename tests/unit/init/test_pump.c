/* SPDX-License-Identifier: BSD-2-Clause */
/* The pump, with pipes and sockets for ports: bytes, ends, back-pressure. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/pump.h"

/* A pump between two socket pairs; the test has the other ends. */
struct bench {
	struct pump pump;
	int source, sink;
};

static void bench_init(struct bench *b)
{
	int in[2], out[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    in),
			 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    out),
			 0);
	b->source = in[0];
	b->sink = out[0];
	assert_int_equal(pump_init(&b->pump, in[1], out[1], false), 0);
}

static void bench_finish(struct bench *b)
{
	pump_finish(&b->pump);
	close(b->source);
	close(b->sink);
}

/* Polls once without waiting; whether anything was ready. */
static bool turn(struct pump *p)
{
	struct pollfd polls[2];
	int ready;

	pump_polls(p, polls);
	ready = poll(polls, 2, 0);
	pump_step(p, polls);
	return ready > 0;
}

/* All bytes arrive in order, and then the end. */
static void bytes_and_end(void **state)
{
	struct bench b;
	uint8_t sent[5000], got[5000];
	size_t total = 0, received = 0;
	ssize_t bytes = 1;

	(void)state;
	bench_init(&b);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7);
	for (int round = 0; bytes != 0; round++) {
		if (round < 200) {
			bytes = write(b.source, sent + total % sizeof(sent),
				      sizeof(sent) - total % sizeof(sent));
			total += bytes > 0 ? (size_t)bytes : 0;
		} else if (b.source >= 0) {
			close(b.source);
			b.source = -1;
		}
		turn(&b.pump);
		bytes = read(b.sink, got, sizeof(got) - received % sizeof(got));
		if (bytes > 0) {
			assert_memory_equal(got, sent + received % sizeof(sent),
					    (size_t)bytes);
			received += (size_t)bytes;
		}
	}
	assert_true(total > 100000);
	assert_int_equal(received, total);
	assert_true(pump_is_done(&b.pump));
	bench_finish(&b);
}

/* Without a reader, a bounded number of bytes is taken, and poll() waits. */
static void back_pressure(void **state)
{
	static const char block[4096];
	struct bench b;
	int unread = 0;

	(void)state;
	bench_init(&b);
	for (int i = 0; i < 1000; i++) {
		if (write(b.source, block, sizeof(block)) < 0)
			unread++;
		turn(&b.pump);
	}
	assert_true(unread > 500);
	assert_false(turn(&b.pump));
	assert_false(pump_is_done(&b.pump));
	bench_finish(&b);
}

/* The reader is gone: the source is closed, although nothing was sent. */
static void no_reader(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b);
	close(b.sink);
	turn(&b.pump);
	assert_true(pump_is_done(&b.pump));
	assert_int_equal(write(b.source, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	b.sink = -1;
	bench_finish(&b);
}

/* A pipe whose reader closes it while bytes wait: the same. */
static void no_reader_of_pipe(void **state)
{
	static const char block[4096];
	int in[2], out[2];
	struct pump p;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(in, O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_NONBLOCK), 0);
	assert_int_equal(pump_init(&p, in[0], out[1], false), 0);
	for (int i = 0; i < 40; i++) {
		(void)!write(in[1], block, sizeof(block));
		turn(&p);
	}
	assert_false(pump_is_done(&p));
	close(out[0]);
	turn(&p);
	assert_true(pump_is_done(&p));
	assert_int_equal(write(in[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(in[1]);
	pump_finish(&p);
}

/* After the limit what was written is moved, and no byte more. */
static void limit(void **state)
{
	char got[100];
	int in[2], out[2];
	struct pump p;

	(void)state;
	assert_int_equal(pipe2(in, O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_NONBLOCK), 0);
	assert_int_equal(pump_init(&p, in[0], out[1], false), 0);
	assert_int_equal(write(in[1], "before", 6), 6);
	pump_limit(&p);
	assert_int_equal(write(in[1], "after", 5), 5);
	turn(&p);
	assert_true(pump_is_done(&p));
	assert_int_equal(read(out[0], got, sizeof(got)), 6);
	assert_memory_equal(got, "before", 6);
	assert_int_equal(read(out[0], got, sizeof(got)), 0);
	close(in[1]);
	close(out[0]);
	pump_finish(&p);
}

/* A writer that stays open does not hold up the end. */
static void limit_of_nothing(void **state)
{
	int in[2], out[2];
	struct pump p;

	(void)state;
	assert_int_equal(pipe2(in, O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_NONBLOCK), 0);
	assert_int_equal(pump_init(&p, in[0], out[1], false), 0);
	turn(&p);
	assert_false(pump_is_done(&p));
	pump_limit(&p);
	assert_true(pump_is_done(&p));
	close(in[1]);
	close(out[0]);
	pump_finish(&p);
}

/* A stream that never pauses: a step returns nevertheless. */
static void endless(void **state)
{
	struct pump p;
	int zero = open("/dev/zero", O_RDONLY),
	    null = open("/dev/null", O_WRONLY);

	(void)state;
	assert_int_equal(pump_init(&p, zero, null, false), 0);
	assert_true(turn(&p));
	assert_false(pump_is_done(&p));
	pump_finish(&p);
}

/* Only one end: it is closed at once. */
static void one_end(void **state)
{
	int in[2];
	struct pump p;

	(void)state;
	assert_int_equal(pipe2(in, O_NONBLOCK), 0);
	assert_int_equal(pump_init(&p, in[0], -1, false), 0);
	assert_true(pump_is_done(&p));
	assert_int_equal(write(in[1], "x", 1), -1);
	close(in[1]);
	pump_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_and_end),
		cmocka_unit_test(back_pressure),
		cmocka_unit_test(no_reader),
		cmocka_unit_test(no_reader_of_pipe),
		cmocka_unit_test(limit),
		cmocka_unit_test(limit_of_nothing),
		cmocka_unit_test(endless),
		cmocka_unit_test(one_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
