/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terminal: raw mode and every way to end it, escape sequences, transfers
 * that do not block and do not change shared files.
 *
 * A pty pair stands for the user: the test types into and reads from the
 * master, the terminal under test has the slave.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/io/terminal.h"

struct pty {
	int master, slave;
};

/* Opens a pty pair in its usual, cooked mode. */
static struct pty pty_open(void)
{
	struct pty p;

	p.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(p.master >= 0);
	assert_int_equal(grantpt(p.master), 0);
	assert_int_equal(unlockpt(p.master), 0);
	p.slave = open(ptsname(p.master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(p.slave >= 0);
	return p;
}

static void pty_close(struct pty *p)
{
	if (p->master >= 0)
		close(p->master);
	if (p->slave >= 0)
		close(p->slave);
}

/* Whether the pty is raw now: no echo, no lines, no signals. */
static bool pty_is_raw(const struct pty *p)
{
	struct termios mode;

	assert_int_equal(tcgetattr(p->master, &mode), 0);
	return !(mode.c_lflag & (ICANON | ECHO | ISIG));
}

static void count_leave(void *ctx)
{
	++*(int *)ctx;
}

/* A terminal on the slave side; *@leaves counts the leave sequences. */
static struct terminal *open_on(int in, int out, int *leaves)
{
	struct terminal_config config = {
		.in_fd = in, .out_fd = out, .leave = count_leave, .ctx = leaves
	};
	struct terminal *t = NULL;

	assert_int_equal(terminal_open(&t, &config), 0);
	assert_non_null(t);
	return t;
}

/* Types @len bytes and waits until the slave has something to read. */
static void type(const struct pty *p, struct terminal *t, const void *keys,
		 size_t len)
{
	struct pollfd wait = { .fd = terminal_in_fd(t), .events = POLLIN };

	assert_int_equal(write(p->master, keys, len), len);
	assert_int_equal(poll(&wait, 1, 5000), 1);
}

static void raw_and_back(void **state)
{
	struct pty p = pty_open();
	struct termios before, after;
	struct terminal *t = open_on(p.slave, p.slave, NULL);

	(void)state;
	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	assert_int_equal(tcgetattr(p.slave, &before), 0);
	assert_false(pty_is_raw(&p));
	assert_int_equal(terminal_raw(t, true), 0);
	assert_true(pty_is_raw(&p));
	assert_int_equal(terminal_raw(t, true), 0);
	assert_int_equal(terminal_raw(t, false), 0);
	assert_int_equal(tcgetattr(p.slave, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));

	assert_int_equal(terminal_raw(t, true), 0);
	terminal_close(t);
	assert_false(pty_is_raw(&p));
	pty_close(&p);
}

static void raw_needs_both(void **state)
{
	struct pty p = pty_open();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct terminal *t = open_on(p.slave, null, NULL);

	(void)state;
	assert_int_equal(terminal_raw(t, true), 0);
	assert_false(pty_is_raw(&p));
	terminal_close(t);
	close(null);
	pty_close(&p);
	terminal_close(NULL);
}

static void only_one_is_raw(void **state)
{
	struct pty p = pty_open(), q = pty_open();
	struct terminal *t = open_on(p.slave, p.slave, NULL);
	struct terminal *u = open_on(q.slave, q.slave, NULL);

	(void)state;
	assert_int_equal(terminal_raw(t, true), 0);
	assert_int_equal(terminal_raw(u, true), -EBUSY);
	assert_false(pty_is_raw(&q));
	terminal_close(u);
	assert_true(pty_is_raw(&p));
	terminal_close(t);
	pty_close(&p);
	pty_close(&q);
}

/* How a child of die_raw() ends. */
enum way_out { BY_EXIT, BY_SIGNAL, BY_FAULT, BY_ABORT, BY_TIMER };

/* Has every signal do what it does by default, without core dumps. */
static void default_signals(void)
{
	const struct rlimit none = { 0, 0 };

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	setrlimit(RLIMIT_CORE, &none);
}

/* The child: makes the terminal raw, says so, and ends without closing it. */
static void child_dies(const struct pty *p, enum way_out way, int sig,
		       int ready)
{
	static const struct itimerval soon = { .it_value = { 0, 1000 } };
	/* Static: a leak checker must not find it lost at exit(). */
	static struct terminal *t;
	/* A page that is there and must not be touched. */
	volatile int *nowhere =
		mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	t = open_on(p->slave, p->slave, NULL);
	/*
	 * Handlers of cmocka and of sanitizers are inherited; the test needs
	 * the defaults. Ours are installed once per process, so these tests run
	 * before any other makes a terminal raw.
	 */
	default_signals();
	if (terminal_raw(t, true) || !pty_is_raw(p) || write(ready, "r", 1) < 0)
		_exit(99);
	if (way == BY_EXIT)
		exit(7);
	if (way == BY_SIGNAL)
		kill(getpid(), sig);
	if (way == BY_FAULT)
		*nowhere = 1;
	if (way == BY_ABORT)
		abort();
	if (way == BY_TIMER)
		setitimer(ITIMER_REAL, &soon, NULL);
	sleep(20);
	_exit(98);
}

/*
 * Lets a child end that way; the terminal must be cooked again. Returns its
 * wait status.
 */
static int die_raw(enum way_out way, int sig)
{
	struct pty p = pty_open();
	int ready[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child_dies(&p, way, sig, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	assert_false(pty_is_raw(&p));
	pty_close(&p);
	return status;
}

static void exit_restores(void **state)
{
	int status = die_raw(BY_EXIT, 0);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void crash_restores(void **state)
{
	static const struct {
		enum way_out way;
		int sig;
	} cases[] = {
		{ BY_ABORT, SIGABRT },
		{ BY_FAULT, SIGSEGV },
		{ BY_TIMER, SIGALRM }, /* the kernel's, not a process's */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = die_raw(cases[i].way, 0);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), cases[i].sig);
	}
}

/* Tests by trial whether @sig kills a process by default. */
static bool kills_by_default(int sig)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		default_signals();
		kill(getpid(), sig);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return WIFSIGNALED(status);
}

/* Whatever signal kills the process, it does after the mode is restored. */
static void every_fatal_signal_restores(void **state)
{
	unsigned int fatal = 0;

	(void)state;
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		int status;

		if (sig == SIGKILL || (sig > 31 && sig < SIGRTMIN) ||
		    !kills_by_default(sig))
			continue;
		fatal++;
		status = die_raw(BY_SIGNAL, sig);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), sig);
	}
	/* Of the 31 of old, 22 besides SIGKILL. */
	assert_true(fatal >= 22);
}

/* A signal that the program ignores, as under nohup, is still ignored. */
static void ignored_stays_ignored(void **state)
{
	struct pty p = pty_open();
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		struct terminal *t = open_on(p.slave, p.slave, NULL);

		default_signals();
		signal(SIGHUP, SIG_IGN);
		if (terminal_raw(t, true))
			_exit(99);
		raise(SIGHUP);
		_exit(pty_is_raw(&p) ? 0 : 98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pty_close(&p);
}

/* Types @keys in pieces of @piece bytes; what comes out, and leaves seen. */
static size_t filtered(const char *keys, size_t piece, size_t room,
		       uint8_t *out, int *leaves)
{
	struct pty p = pty_open();
	struct terminal *t = open_on(p.slave, p.slave, leaves);
	size_t len = strlen(keys), got = 0;

	assert_int_equal(terminal_raw(t, true), 0);
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		struct pollfd more = { .fd = terminal_in_fd(t),
				       .events = POLLIN };

		type(&p, t, keys + at, n);
		while (poll(&more, 1, 0) == 1) {
			ssize_t r = terminal_read(t, out + got, room);

			assert_true(r >= 0 && (size_t)r <= room);
			got += (size_t)r;
		}
	}
	terminal_close(t);
	pty_close(&p);
	return got;
}

/* Types keys, and has them read ahead. */
static void ahead(struct pty *p, struct terminal *t, const char *keys)
{
	type(p, t, keys, strlen(keys));
	terminal_read_ahead(t, true);
}

/* What is read ahead is seen for the leave key, and then the guest's. */
static void read_ahead(void **state)
{
	struct pty p = pty_open();
	int leaves = 0;
	struct terminal *t = open_on(p.slave, p.slave, &leaves);
	uint8_t out[8] = { 0 };

	(void)state;
	assert_int_equal(terminal_raw(t, true), 0);
	assert_int_equal(terminal_leave_fd(t), terminal_in_fd(t));
	ahead(&p, t, "a\001");
	assert_int_equal(leaves, 0);
	ahead(&p, t, "xbc\001");
	assert_int_equal(leaves, 1);
	assert_int_equal(terminal_read(t, out, 2), 2);
	assert_memory_equal(out, "ab", 2);
	assert_int_equal(terminal_read(t, out, sizeof(out)), 1);
	assert_memory_equal(out, "c", 1);
	/* The Ctrl-A of before is undecided yet. */
	type(&p, t, "xd", 2);
	assert_int_equal(terminal_read(t, out, sizeof(out)), 1);
	assert_memory_equal(out, "d", 1);
	assert_int_equal(leaves, 2);
	/* More than is kept does no harm. */
	for (int i = 0; i < 200; i++)
		ahead(&p, t, "0123456789012345678901234567890123456789");
	ahead(&p, t, "\001x");
	assert_int_equal(leaves, 3);
	terminal_close(t);
	pty_close(&p);
}

static void count_wake(void *ctx)
{
	++*(int *)ctx;
}

/* Without drop nothing is lost, and the reader is woken for what is kept. */
static void read_ahead_keeps(void **state)
{
	struct pty p = pty_open();
	int leaves = 0, wakes = 0;
	struct terminal *t = open_on(p.slave, p.slave, &leaves);
	uint8_t out[256];
	size_t sent = 0, got = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(terminal_raw(t, true), 0);
	terminal_set_wake(t, count_wake, &wakes);
	terminal_read_ahead(t, false);
	assert_int_equal(wakes, 0);
	for (int i = 0; i < 50; i++) {
		char keys[100];

		for (size_t k = 0; k < sizeof(keys); k++)
			keys[k] = (char)('a' + sent++ % 26);
		type(&p, t, keys, sizeof(keys));
		terminal_read_ahead(t, false);
	}
	assert_in_range(wakes, 40, 50);
	terminal_set_wake(t, NULL, NULL);
	while ((n = terminal_read(t, out, sizeof(out))) > 0)
		for (ssize_t k = 0; k < n; k++)
			assert_int_equal(out[k], 'a' + got++ % 26);
	assert_int_equal(got, sent);
	terminal_close(t);
	pty_close(&p);
}

static void escapes(void **state)
{
	static const struct {
		const char *keys, *out;
		int leaves;
	} cases[] = {
		{ "hello", "hello", 0 },
		{ "ab\001xcd", "abcd", 1 },
		{ "\001X", "", 1 },
		{ "\001\001", "\001", 0 },
		{ "a\001ab", "a\001b", 0 },
		{ "\001\001x", "\001x", 0 },
		{ "\001e\001x", "\001e", 1 },
		{ "ls\001b\001\001\001bz", "ls\001b\001\001bz", 0 },
		{ "\001", "", 0 },
		{ "\001x\001x", "", 2 },
	};
	uint8_t out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 1; piece < 12; piece++) {
			int leaves = 0;
			size_t n = filtered(cases[i].keys, piece, 32, out,
					    &leaves);

			assert_int_equal(n, strlen(cases[i].out));
			assert_memory_equal(out, cases[i].out, n);
			assert_int_equal(leaves, cases[i].leaves);
		}
	}
}

/* With room for one byte, Ctrl-A and an ordinary key give the key. */
static void escape_in_little_room(void **state)
{
	uint8_t out[8];
	int leaves = 0;

	(void)state;
	assert_int_equal(filtered("a\001ez", 1, 1, out, &leaves), 3);
	assert_memory_equal(out, "aez", 3);
	assert_int_equal(filtered("\001x", 1, 1, out, &leaves), 0);
	assert_int_equal(leaves, 1);
}

static void pipe_is_not_filtered(void **state)
{
	int fds[2], leaves = 0, flags;
	struct terminal *t;
	uint8_t buf[16];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	t = open_on(fds[0], STDERR_FILENO, &leaves);
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), 0);
	assert_int_equal(write(fds[1], "\001x\001", 3), 3);
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "\001x\001", 3);
	assert_int_equal(leaves, 0);
	/* The file that others share is as it was. */
	flags = fcntl(fds[0], F_GETFL);
	assert_int_equal(flags & O_NONBLOCK, 0);
	close(fds[1]);
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), -ENODATA);
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), -ENODATA);
	terminal_close(t);
	close(fds[0]);
}

static void hang_up_is_the_end(void **state)
{
	struct pty p = pty_open();
	struct terminal *t = open_on(p.slave, p.slave, NULL);
	uint8_t buf[16];

	(void)state;
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), 0);
	close(p.master);
	p.master = -1;
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), -ENODATA);
	assert_true(terminal_write(t, buf, 1) < 0);
	terminal_close(t);
	pty_close(&p);
}

/* Writes until @t takes no more; how many bytes it took. */
static size_t write_until_full(struct terminal *t)
{
	uint8_t buf[1000];
	size_t total = 0;

	memset(buf, 'x', sizeof(buf));
	for (int tries = 0; tries < 100000; tries++) {
		ssize_t n = terminal_write(t, buf, sizeof(buf));

		assert_true(n >= 0 && (size_t)n <= sizeof(buf));
		if (!n)
			return total;
		total += (size_t)n;
	}
	fail_msg("a full descriptor went on taking bytes");
	return 0;
}

/* Output to a reader that does not read is kept, and no thread blocks. */
static void full_output_does_not_block(void **state)
{
	struct pty p = pty_open();
	int fds[2], pair[2];
	const int outs[] = { 0, 1, 2 };

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (size_t i = 0; i < 3; i++) {
		int out = outs[i] == 0 ? fds[1] :
			  outs[i] == 1 ? p.slave :
					 pair[0];
		struct terminal *t = open_on(-1, out, NULL);

		assert_int_not_equal(write_until_full(t), 0);
		assert_int_equal(fcntl(out, F_GETFL) & O_NONBLOCK, 0);
		terminal_close(t);
	}
	close(fds[0]);
	close(fds[1]);
	close(pair[0]);
	close(pair[1]);
	pty_close(&p);
}

/* The master of a pty cannot be opened again: poll(2) is asked instead. */
static void pty_master_does_not_block(void **state)
{
	struct pty p = pty_open();
	struct terminal *t = open_on(p.master, p.master, NULL);
	uint8_t buf[16];

	(void)state;
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), 0);
	assert_int_equal(write(p.slave, "out", 3), 3);
	assert_int_equal(terminal_read(t, buf, sizeof(buf)), 3);
	assert_int_not_equal(terminal_in_fd(t), terminal_out_fd(t));
	terminal_close(t);
	pty_close(&p);
}

/* A regular file is appended to where the shell left it. */
static void file_keeps_its_position(void **state)
{
	char path[] = "/tmp/thaw-terminal-XXXXXX", buf[16];
	int fd = mkstemp(path);
	struct terminal *t;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "head ", 5), 5);
	t = open_on(-1, fd, NULL);
	assert_int_equal(terminal_write(t, (const uint8_t *)"tail", 4), 4);
	terminal_close(t);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), 9);
	assert_memory_equal(buf, "head tail", 9);
	close(fd);
	unlink(path);
}

static void size_of_the_window(void **state)
{
	struct pty p = pty_open();
	struct terminal *t = open_on(p.slave, p.slave, NULL);
	struct winsize size = { .ws_row = 33, .ws_col = 99 };
	uint16_t cols = 0, rows = 0;

	(void)state;
	assert_int_equal(ioctl(p.master, TIOCSWINSZ, &size), 0);
	assert_true(terminal_size(t, &cols, &rows));
	assert_int_equal(cols, 99);
	assert_int_equal(rows, 33);
	terminal_close(t);
	pty_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_restores),
		cmocka_unit_test(crash_restores),
		cmocka_unit_test(every_fatal_signal_restores),
		cmocka_unit_test(ignored_stays_ignored),
		cmocka_unit_test(raw_and_back),
		cmocka_unit_test(raw_needs_both),
		cmocka_unit_test(only_one_is_raw),
		cmocka_unit_test(escapes),
		cmocka_unit_test(read_ahead),
		cmocka_unit_test(read_ahead_keeps),
		cmocka_unit_test(escape_in_little_room),
		cmocka_unit_test(pipe_is_not_filtered),
		cmocka_unit_test(hang_up_is_the_end),
		cmocka_unit_test(full_output_does_not_block),
		cmocka_unit_test(pty_master_does_not_block),
		cmocka_unit_test(file_keeps_its_position),
		cmocka_unit_test(size_of_the_window),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("io-terminal", tests, NULL, NULL);
}
