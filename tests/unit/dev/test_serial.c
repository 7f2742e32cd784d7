/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serial port between a guest (this thread, by the bus) and a terminal,
 * with a real event loop in between: long pastes arrive complete, a slow reader
 * throttles the guest and loses no output, end of file does not spin.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
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

#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/bus/loop.h"
#include "vmm/dev/serial.h"
#include "vmm/io/terminal.h"
#include "vmm/snap/section.h"

#define BASE	    0x3f8
#define GSI	    4
#define PASTE_BYTES (100 * 1024)

/* Time limit for an expected event. */
#define PATIENCE_S 30

enum { DATA, IER, IIR, LCR, MCR, LSR };

static const struct irq_map map = { .line_count = 24, .msi_first = 24 };

/* One machine with a serial port, and the user's ends of its descriptors. */
struct world {
	struct bus bus;
	struct irqs irqs;
	struct loop *loop;
	struct terminal *terminal;
	struct device serial;
	int in, out; /* the terminal's */
	int keys, screen; /* the user's */
	int leaves;
};

static void count_leave(void *ctx)
{
	++*(int *)ctx;
}

/* Puts the port on its bus and starts the loop. */
static void start(struct world *w)
{
	struct terminal_config terminal = { .in_fd = w->in,
					    .out_fd = w->out,
					    .leave = count_leave,
					    .ctx = &w->leaves };
	struct serial_config config = {
		.bus = &w->bus, .base = BASE, .irqs = &w->irqs, .gsi = GSI
	};

	assert_int_equal(bus_init(&w->bus), 0);
	assert_int_equal(irqs_init(&w->irqs, NULL, &map), 0);
	assert_int_equal(loop_create(&w->loop), 0);
	assert_int_equal(terminal_open(&w->terminal, &terminal), 0);
	assert_int_equal(terminal_raw(w->terminal, true), 0);
	config.loop = w->loop;
	config.terminal = w->terminal;
	assert_int_equal(serial_create(&w->serial, "serial", &config), 0);
	assert_int_equal(loop_start(w->loop), 0);
}

/* A machine on a pty, or on two pipes. */
static struct world *world_on_pty(void)
{
	struct world *w = calloc(1, sizeof(*w));
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_non_null(w);
	assert_true(master >= 0 && !grantpt(master) && !unlockpt(master));
	w->in = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(w->in >= 0);
	w->out = w->in;
	w->keys = w->screen = master;
	start(w);
	return w;
}

static struct world *world_on_pipes(void)
{
	struct world *w = calloc(1, sizeof(*w));
	int fds[2];

	assert_non_null(w);
	assert_int_equal(pipe(fds), 0);
	w->in = fds[0];
	w->keys = fds[1];
	assert_int_equal(pipe(fds), 0);
	w->screen = fds[0];
	w->out = fds[1];
	start(w);
	return w;
}

/* Ends the machine; the user's ends stay open. */
static void world_stop(struct world *w)
{
	loop_stop(w->loop);
	w->serial.ops->destroy(w->serial.state);
	terminal_close(w->terminal);
	loop_destroy(w->loop);
	irqs_finish(&w->irqs);
	bus_finish(&w->bus);
	close(w->in);
	if (w->out != w->in)
		close(w->out);
}

static void world_free(struct world *w)
{
	if (w->keys >= 0)
		close(w->keys);
	if (w->screen >= 0 && w->screen != w->keys)
		close(w->screen);
	free(w);
}

static uint8_t get(struct world *w, unsigned int reg)
{
	uint8_t value = 0;

	assert_true(bus_read(&w->bus, BASE + reg, &value, 1));
	return value;
}

static void put(struct world *w, unsigned int reg, uint8_t value)
{
	assert_true(bus_write(&w->bus, BASE + reg, &value, 1));
}

static bool line_up(struct world *w)
{
	bool up;

	pthread_mutex_lock(&w->irqs.lock);
	up = w->irqs.line_sources[GSI] != 0;
	pthread_mutex_unlock(&w->irqs.lock);
	return up;
}

/* Whether PATIENCE_S seconds have passed since *@start (0: set it). */
static bool too_long(time_t *from)
{
	if (!*from)
		*from = time(NULL);
	return time(NULL) - *from > PATIENCE_S;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

/* Waits for the interrupt line; fails after the time limit. */
static void wait_line(struct world *w)
{
	time_t from = 0;

	while (!line_up(w)) {
		assert_false(too_long(&from));
		nap();
	}
}

/* What a driver does when it is opened: FIFOs, interrupts, DTR and RTS. */
static void driver_open(struct world *w)
{
	put(w, IIR, 0x01);
	put(w, IIR, 0x07);
	put(w, IIR, 0x00);
	put(w, IIR, 0x81);
	put(w, LCR, 0x03);
	put(w, MCR, 0x08);
	put(w, IER, 0x05);
	put(w, MCR, 0x0b);
}

/* A driver's interrupt handler: reads until the line status says no more. */
static size_t driver_read(struct world *w, uint8_t *buf, size_t room)
{
	size_t n = 0;

	while (n < room && (get(w, LSR) & 0x01))
		buf[n++] = get(w, DATA);
	return n;
}

/* A pattern in which a lost or misplaced byte shows. */
static uint8_t pattern(size_t i)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz\n";

	return (uint8_t)text[(i + i / 37 + i / 1000) % (sizeof(text) - 1)];
}

/* Types the paste as fast as the terminal takes it. */
static void *paste(void *arg)
{
	int fd = *(int *)arg;
	uint8_t bytes[PASTE_BYTES];
	size_t at = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = pattern(i);
	while (at < sizeof(bytes)) {
		ssize_t n = write(fd, bytes + at, sizeof(bytes) - at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	return NULL;
}

/* A 100 KB paste, through @w, to a driver that sleeps until interrupted. */
static void paste_arrives(struct world *w)
{
	static uint8_t got[PASTE_BYTES + 64];
	pthread_t typist;
	size_t n = 0, interrupts = 0;

	assert_int_equal(pthread_create(&typist, NULL, paste, &w->keys), 0);
	driver_open(w);
	while (n < PASTE_BYTES) {
		wait_line(w);
		n += driver_read(w, got + n, sizeof(got) - n);
		interrupts++;
	}
	assert_int_equal(n, PASTE_BYTES);
	/*
	 * One FIFO at a time: the handler ends each time, and the guest has
	 * time for others.  A preempted thread may see a few FIFOs in one.
	 */
	assert_true(interrupts > PASTE_BYTES / 16 / 8);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], pattern(i));
	pthread_join(typist, NULL);
}

static void paste_by_pty(void **state)
{
	struct world *w = world_on_pty();

	(void)state;
	paste_arrives(w);
	world_stop(w);
	world_free(w);
}

static void paste_by_pipe(void **state)
{
	struct world *w = world_on_pipes();

	(void)state;
	paste_arrives(w);
	world_stop(w);
	world_free(w);
}

/* Input typed before the driver starts survives its FIFO reset. */
static void early_input_waits(void **state)
{
	struct world *w = world_on_pipes();
	uint8_t got[64];
	size_t n = 0;

	(void)state;
	assert_int_equal(write(w->keys, "typed before boot", 17), 17);
	for (int i = 0; i < 20; i++) {
		nap();
		assert_int_equal(get(w, LSR), 0x60);
		put(w, DATA, '.'); /* an early console that polls to write */
	}
	driver_open(w);
	while (n < 17) {
		wait_line(w);
		n += driver_read(w, got + n, sizeof(got) - n);
	}
	assert_memory_equal(got, "typed before boot", 17);
	world_stop(w);
	world_free(w);
}

/* A guest that only polls gets its input too, from a file as well. */
static void polling_guest_reads_a_file(void **state)
{
	char path[] = "/tmp/thaw-serial-XXXXXX";
	struct world *w = calloc(1, sizeof(*w));
	size_t n = 0;
	time_t from = 0;

	(void)state;
	w->in = mkstemp(path);
	assert_true(w->in >= 0);
	unlink(path);
	for (size_t i = 0; i < 10000; i++)
		assert_int_equal(write(w->in, &(uint8_t){ pattern(i) }, 1), 1);
	lseek(w->in, 0, SEEK_SET);
	w->out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	w->keys = w->screen = -1;
	start(w);
	while (n < 10000) {
		assert_false(too_long(&from));
		if (!(get(w, LSR) & 0x01))
			continue;
		assert_int_equal(get(w, DATA), pattern(n++));
		if (n % 500 == 0)
			put(w, DATA, '.'); /* epoll rejects /dev/null */
	}
	world_stop(w);
	world_free(w);
}

/* RTS down stops input, as a guest with crtscts relies on. */
static void rts_stops_input(void **state)
{
	struct world *w = world_on_pipes();
	uint8_t got[64];
	size_t n = 0;

	(void)state;
	driver_open(w);
	assert_int_equal(write(w->keys, "0123456789abcdefghij", 20), 20);
	wait_line(w);
	put(w, MCR, 0x09);
	n = driver_read(w, got, sizeof(got));
	assert_in_range(n, 1, 16);
	for (int i = 0; i < 30; i++) {
		nap();
		assert_int_equal(get(w, LSR) & 0x01, 0);
	}
	put(w, MCR, 0x0b);
	while (n < 20) {
		wait_line(w);
		n += driver_read(w, got + n, sizeof(got) - n);
	}
	assert_memory_equal(got, "0123456789abcdefghij", 20);
	world_stop(w);
	world_free(w);
}

/* Ctrl-A x is seen when the guest reads nothing at all. */
static void leaving_a_deaf_guest(void **state)
{
	struct world *w = world_on_pty();
	time_t from = 0;
	int leaves = 0;

	(void)state;
	assert_int_equal(write(w->keys, "are you there?\001x", 16), 16);
	while (!leaves) {
		assert_false(too_long(&from));
		nap();
		/* Waits for the loop's pending work. */
		loop_stop(w->loop);
		leaves = w->leaves;
		loop_start(w->loop);
	}
	assert_int_equal(leaves, 1);
	world_stop(w);
	world_free(w);
}

/* The CPU time of this process so far, in milliseconds. */
static long cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* End of input and a hung-up pty do not make the loop spin. */
static void end_of_input_does_not_spin(void **state)
{
	struct world *w = world_on_pipes(), *v = world_on_pty();
	long before;

	(void)state;
	driver_open(w);
	driver_open(v);
	close(w->keys);
	w->keys = -1;
	close(v->keys);
	v->keys = v->screen = -1;
	before = cpu_ms();
	nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL);
	/* A loop that spins takes all of the half second. */
	assert_true(cpu_ms() - before < 100);
	/* The port still works and drops its output. */
	for (int i = 0; i < 100; i++) {
		put(w, DATA, 'x');
		put(v, DATA, 'x');
	}
	world_stop(w);
	world_stop(v);
	world_free(w);
	world_free(v);
}

/* Writes as a driver does: only while the transmitter is ready. */
static size_t driver_write(struct world *w, size_t at, size_t end)
{
	while (at < end && (get(w, LSR) & 0x20))
		put(w, DATA, pattern(at++));
	return at;
}

/* A stopped reader throttles the guest; no output is lost. */
static void slow_reader_loses_nothing(void **state)
{
	struct world *w = world_on_pipes();
	const size_t total = 512 * 1024;
	size_t sent = 0, held, got = 0;
	time_t from = 0;

	(void)state;
	put(w, IER, 0x02);
	/* Without a reader, the transmitter must stop. */
	for (int still = 0; still < 200; nap()) {
		size_t now = driver_write(w, sent, total);

		still = now == sent ? still + 1 : 0;
		sent = now;
	}
	held = sent;
	assert_true(held < total);
	get(w, IIR);
	assert_false(line_up(w));
	while (got < total) {
		uint8_t buf[997];
		struct pollfd p = { .fd = w->screen, .events = POLLIN };

		assert_false(too_long(&from));
		if (poll(&p, 1, 0) == 1) {
			ssize_t n = read(w->screen, buf, sizeof(buf));

			assert_true(n > 0);
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(buf[i], pattern(got++));
		}
		/* It writes again when it is interrupted, not before. */
		if (line_up(w) && (get(w, IIR) & 0x0f) == 0x02)
			sent = driver_write(w, sent, total);
	}
	assert_int_equal(sent, total);
	world_stop(w);
	world_free(w);
}

/* Reads the screen to its end, slowly. */
static void *read_all(void *arg)
{
	struct world *w = arg;
	size_t total = 0;
	uint8_t buf[4000];
	ssize_t n;

	while ((n = read(w->screen, buf, sizeof(buf))) > 0) {
		total += (size_t)n;
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	return (void *)total;
}

/* Destroy writes the output in the ring, even to a slow reader. */
static void nothing_is_lost_at_the_end(void **state)
{
	struct world *w = world_on_pipes();
	size_t sent;
	pthread_t reader;
	void *got;

	(void)state;
	sent = driver_write(w, 0, 512 * 1024);
	for (int i = 0; i < 50; i++, nap())
		sent = driver_write(w, sent, 512 * 1024);
	assert_int_equal(pthread_create(&reader, NULL, read_all, w), 0);
	world_stop(w);
	pthread_join(reader, &got);
	assert_int_equal((size_t)got, sent);
	world_free(w);
}

/* A line of text costs few wake-ups and no lost bytes; order is kept. */
static void output_arrives(void **state)
{
	struct world *w = world_on_pty();
	char got[64];
	size_t n = 0;

	(void)state;
	for (const char *p = "Hello from the guest\r\n"; *p; p++)
		put(w, DATA, (uint8_t)*p);
	while (n < 22) {
		struct pollfd p = { .fd = w->screen, .events = POLLIN };
		ssize_t r;

		assert_int_equal(poll(&p, 1, PATIENCE_S * 1000), 1);
		r = read(w->screen, got + n, sizeof(got) - n);
		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_memory_equal(got, "Hello from the guest\r\n", 22);
	world_stop(w);
	world_free(w);
}

/* Moves the state of one port to another: FIFO, registers, pending output. */
static void checkpoint_moves_it(void **state)
{
	struct world *w = world_on_pipes(), *v = world_on_pipes();
	struct snap_writer out = { 0 };
	struct snap_reader in;
	uint8_t got[32];
	size_t sent = 0, after;
	int before; /* what the pipe of the first holds */
	pthread_t reader;
	void *total;

	(void)state;
	driver_open(w);
	assert_int_equal(write(w->keys, "abc", 3), 3);
	wait_line(w);
	assert_int_equal(get(w, DATA), 'a');
	/* Fill the pipe and leave some in the ring. */
	for (int i = 0; i < 100; i++, nap())
		sent = driver_write(w, sent, 512 * 1024);
	assert_int_equal(get(w, LSR) & 0x20, 0);
	assert_int_equal(w->serial.ops->quiesce(w->serial.state, INT64_MAX), 0);
	assert_int_equal(w->serial.ops->save(w->serial.state, &out), 0);
	w->serial.ops->resume(w->serial.state);
	assert_int_equal(ioctl(w->screen, FIONREAD, &before), 0);

	assert_int_equal(v->serial.ops->quiesce(v->serial.state, INT64_MAX), 0);
	in = (struct snap_reader){ .data = out.data, .len = out.len };
	assert_int_equal(v->serial.ops->load(v->serial.state, &in), 0);
	assert_true(line_up(v));
	v->serial.ops->resume(v->serial.state);
	assert_int_equal(driver_read(v, got, sizeof(got)), 2);
	assert_memory_equal(got, "bc", 2);
	assert_int_equal(get(v, IER), 0x05);

	assert_int_equal(pthread_create(&reader, NULL, read_all, v), 0);
	world_stop(v);
	pthread_join(reader, &total);
	after = (size_t)total;
	assert_int_equal((size_t)before + after, sent);

	for (size_t len = 0; len < out.len; len += 1 + len / 8) {
		in = (struct snap_reader){ .data = out.data, .len = len };
		assert_int_equal(w->serial.ops->load(w->serial.state, &in),
				 -EBADMSG);
		assert_int_equal(get(w, IER), 0);
	}
	assert_int_equal(pthread_create(&reader, NULL, read_all, w), 0);
	world_stop(w);
	pthread_join(reader, &total);
	assert_int_equal((size_t)total, sent);
	snap_writer_finish(&out);
	world_free(v);
	world_free(w);
}

/* Two vCPUs at once, with the loop in between: for the thread sanitizer. */
static void *hammer(void *arg)
{
	struct world *w = arg;
	unsigned int seed = 7;

	for (int i = 0; i < 20000; i++) {
		unsigned int reg = (unsigned int)rand_r(&seed) % 8;

		if (rand_r(&seed) & 1)
			get(w, reg);
		else
			put(w, reg, (uint8_t)rand_r(&seed));
	}
	return NULL;
}

static void two_cpus_at_once(void **state)
{
	struct world *w = world_on_pipes();
	pthread_t cpus[2], typist, reader;

	(void)state;
	assert_int_equal(pthread_create(&typist, NULL, paste, &w->keys), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_all, w), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&cpus[i], NULL, hammer, w), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(cpus[i], NULL);
	world_stop(w); /* the typist's pipe breaks */
	pthread_join(typist, NULL);
	pthread_join(reader, NULL);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_arrives),
		cmocka_unit_test(paste_by_pty),
		cmocka_unit_test(paste_by_pipe),
		cmocka_unit_test(early_input_waits),
		cmocka_unit_test(polling_guest_reads_a_file),
		cmocka_unit_test(rts_stops_input),
		cmocka_unit_test(leaving_a_deaf_guest),
		cmocka_unit_test(end_of_input_does_not_spin),
		cmocka_unit_test(slow_reader_loses_nothing),
		cmocka_unit_test(nothing_is_lost_at_the_end),
		cmocka_unit_test(checkpoint_moves_it),
		cmocka_unit_test(two_cpus_at_once),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("dev-serial", tests, NULL, NULL);
}
