/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec-session: all outcomes of a command, with a guest that is this test, at the
 * other ends of the session's descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/frame.h"
#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/exec/session.h"
#include "vmm/io/terminal.h"
#include "vmm/vm/vm.h"

#define MS UINT64_C(1000000)
/* The hang timeout of tests that do not reach it, and the limit of waits. */
#define LONG_NS (60 * NS_PER_S)

static const char *const argv[] = { "sh", "-c", "a\nb 'c' \"d\"", "", NULL };
static const char *const env[] = { "A=1", "B=\n", NULL };

static const struct setup setup = { .root_tag = (char *)"root",
				    .flags = SETUP_READONLY,
				    .hostname = (char *)"thaw",
				    .ipv4 = { (char *)"", (char *)"", 0 },
				    .ipv6 = { (char *)"", (char *)"", 0 },
				    .dns = (char *)"" };
static const struct request request = {
	.argv = (char **)argv,
	.argc = 4,
	.env = (char **)env,
	.env_count = 2,
	.cwd = (char *)"/tmp",
	.uid = 1000,
	.gid = 100,
	.umask = 022,
};

struct fixture {
	struct exec_config config;
	struct exec_session *session;
	struct exec_outcome outcome;
	int guest_fd; /* the init's end of the control port */
	int console_fd; /* the guest's end of its console */
	int decided_fd; /* an eventfd */
	int saved_fd; /* another */
	atomic_bool is_full; /* output is not drained */
	struct frame_buffer in;
};

static void on_decided(void *ctx, const struct exec_outcome *outcome)
{
	struct fixture *f = ctx;

	assert_int_not_equal(outcome->kind, EXEC_NONE);
	event_signal(f->decided_fd);
}

static bool is_drained(void *ctx)
{
	struct fixture *f = ctx;

	return !atomic_load(&f->is_full);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int control[2], console[2];

	if (!f || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) ||
	    pipe2(console, O_CLOEXEC | O_NONBLOCK))
		return -1;
	f->guest_fd = control[1];
	f->console_fd = console[1];
	f->decided_fd = eventfd(0, EFD_CLOEXEC);
	f->saved_fd = eventfd(0, EFD_CLOEXEC);
	f->config = (struct exec_config){
		.control_fd = control[0],
		.console_fd = console[0],
		.console_copy_fd = -1,
		.signal_fd = -1,
		.keys_fd = -1,
		.setup = &setup,
		.request = &request,
		.hang_ns = LONG_NS,
		.is_drained = is_drained,
		.decided = on_decided,
		.ctx = f,
	};
	*state = f;
	return 0;
}

static void start(struct fixture *f)
{
	f->config.start_ns = clock_now_ns();
	assert_int_equal(exec_session_start(&f->session, &f->config), 0);
}

static void finish(struct fixture *f, enum vm_end_kind kind)
{
	const struct vm_end end = { kind, 0 };

	exec_session_finish(f->session, &end, &f->outcome);
	f->session = NULL;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->session)
		finish(f, VM_END_STOPPED);
	exec_outcome_finish(&f->outcome);
	frame_buffer_finish(&f->in);
	close(f->config.control_fd);
	close(f->config.console_fd);
	close(f->guest_fd);
	close(f->console_fd);
	close(f->decided_fd);
	close(f->saved_fd);
	free(f);
	return 0;
}

/* Whether @fd becomes readable within @ms. */
static bool comes(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static void wait_decided(struct fixture *f)
{
	assert_true(comes(f->decided_fd, 30000));
}

/* Waits for the decision; the kind after the end of the VM. */
static enum exec_kind outcome_of(struct fixture *f)
{
	wait_decided(f);
	finish(f, VM_END_STOPPED);
	return f->outcome.kind;
}

/* The guest sends a message. */
static void tell(struct fixture *f, const struct message *m)
{
	struct frame_buffer out = { 0 };

	assert_int_equal(frame_encode(&out, m), 0);
	assert_int_equal(send(f->guest_fd, out.data + out.start,
			      out.end - out.start, MSG_NOSIGNAL),
			 out.end - out.start);
	frame_buffer_finish(&out);
}

static void tell_type(struct fixture *f, enum message_type type)
{
	tell(f, &(struct message){ .type = type });
}

static void tell_hello(struct fixture *f)
{
	tell(f, &(struct message){
			.type = MESSAGE_HELLO,
			.hello = { PROTOCOL_VERSION, (char *)"6.1\033" } });
}

/* The guest receives a message, which must be of type @type. */
static struct message hear(struct fixture *f, enum message_type type)
{
	struct message m;
	size_t room;
	int r;

	while ((r = frame_decode(&f->in, &m)) == 0) {
		void *to = frame_room(&f->in, &room);
		ssize_t n;

		assert_true(comes(f->guest_fd, 30000));
		n = recv(f->guest_fd, to, room, 0);
		assert_true(n > 0);
		frame_received(&f->in, (size_t)n);
	}
	assert_int_equal(r, 1);
	assert_int_equal(m.type, type);
	return m;
}

static void drop(struct fixture *f, enum message_type type)
{
	struct message m = hear(f, type);

	message_finish(&m);
}

/* From SETUP up to STARTED. */
static void set_up_command(struct fixture *f)
{
	drop(f, MESSAGE_SETUP);
	tell_type(f, MESSAGE_READY);
	drop(f, MESSAGE_REQUEST);
	tell(f, &(struct message){ .type = MESSAGE_STARTED, .started = { 7 } });
}

/* Up to STARTED. */
static void run_command(struct fixture *f)
{
	start(f);
	tell_hello(f);
	set_up_command(f);
}

static void tell_exited(struct fixture *f, uint32_t status)
{
	tell(f,
	     &(struct message){ .type = MESSAGE_EXITED,
				.exited = { status, { 1000, 2000, 3000 } } });
}

/* What is asked for arrives as it is, and what came of it. */
static void test_request(void **state)
{
	struct fixture *f = *state;
	struct message m;

	start(f);
	tell_hello(f);
	m = hear(f, MESSAGE_SETUP);
	assert_string_equal(m.setup.root_tag, "root");
	assert_int_equal(m.setup.flags, SETUP_READONLY);
	message_finish(&m);
	tell_type(f, MESSAGE_READY);
	m = hear(f, MESSAGE_REQUEST);
	assert_int_equal(m.request.argc, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(m.request.argv[i], argv[i]);
	assert_int_equal(m.request.env_count, 2);
	assert_string_equal(m.request.env[1], "B=\n");
	assert_string_equal(m.request.cwd, "/tmp");
	assert_int_equal(m.request.uid, 1000);
	assert_int_equal(m.request.umask, 022);
	assert_true(m.request.entropy_bytes >= 32);
	assert_true(clock_wall_since_ns(m.request.realtime_ns) < LONG_NS);
	message_finish(&m);
	tell(f, &(struct message){ .type = MESSAGE_STARTED });
	tell_type(f, MESSAGE_BEAT);
	tell_exited(f, 3);
	drop(f, MESSAGE_FINISH);
	assert_int_equal(outcome_of(f), EXEC_EXITED);
	assert_int_equal(f->outcome.status, 3);
	assert_string_equal(f->outcome.release, "6.1?");
	assert_int_equal(f->outcome.max_rss_kib, 1000);
	assert_int_equal(f->outcome.user_us, 2000);
	assert_int_equal(f->outcome.system_us, 3000);
	assert_true(f->outcome.hello_ns <= f->outcome.ready_ns);
	assert_true(f->outcome.ready_ns <= f->outcome.started_ns);
	assert_true(f->outcome.started_ns <= f->outcome.ended_ns);
}

/* The guest is saved: it must have nothing of the run. */
static bool on_hello(void *ctx)
{
	struct fixture *f = ctx;

	event_signal(f->saved_fd);
	return true;
}

static void test_saved(void **state)
{
	struct fixture *f = *state;

	f->config.hello = on_hello;
	/* A guest that is saved is silent. */
	f->config.hang_ns = 3 * NS_PER_S;
	start(f);
	tell_hello(f);
	assert_true(comes(f->saved_fd, 30000));
	assert_false(comes(f->guest_fd, 4000));
	assert_false(comes(f->decided_fd, 0));
	exec_session_saved(f->session);
	set_up_command(f);
	tell_exited(f, 0);
	assert_int_equal(outcome_of(f), EXEC_EXITED);
	assert_false(f->outcome.restored);
}

/* The limit counts while the guest is saved. */
static void test_timed_out_saving(void **state)
{
	struct fixture *f = *state;

	f->config.hello = on_hello;
	f->config.timeout_ns = 200 * MS;
	start(f);
	tell_hello(f);
	assert_int_equal(outcome_of(f), EXEC_TIMED_OUT);
}

/* A guest that has said HELLO before it was saved. */
static void test_restored(void **state)
{
	struct fixture *f = *state;

	f->config.hello = on_hello;
	f->config.restored = "6.1";
	start(f);
	tell_type(f, MESSAGE_BEAT);
	set_up_command(f);
	tell_exited(f, 9);
	assert_int_equal(outcome_of(f), EXEC_EXITED);
	assert_int_equal(f->outcome.status, 9);
	assert_true(f->outcome.restored);
	assert_string_equal(f->outcome.release, "6.1");
	assert_int_equal(f->outcome.hello_ns, 0);
	assert_false(comes(f->saved_fd, 0));
}

static void test_restored_says_hello(void **state)
{
	struct fixture *f = *state;

	f->config.restored = "6.1";
	start(f);
	drop(f, MESSAGE_SETUP);
	tell_hello(f);
	assert_int_equal(outcome_of(f), EXEC_FAILED);
	assert_int_equal(f->outcome.error, EPROTO);
}

static void test_all_codes(void **state)
{
	for (uint32_t status = 0; status < 256; status++) {
		struct fixture *f;

		if (status) {
			tear_down(state);
			set_up(state);
		}
		f = *state;
		run_command(f);
		tell_exited(f, status);
		assert_int_equal(outcome_of(f), EXEC_EXITED);
		assert_int_equal(f->outcome.status, status);
	}
}

static void test_killed(void **state)
{
	struct fixture *f = *state;

	run_command(f);
	tell(f, &(struct message){ .type = MESSAGE_KILLED,
				   .killed = { SIGSEGV, 1, { 0 } } });
	assert_int_equal(outcome_of(f), EXEC_KILLED);
	assert_int_equal(f->outcome.signal, SIGSEGV);
	assert_true(f->outcome.core_dumped);
}

static void test_not_started(void **state)
{
	struct fixture *f = *state;

	start(f);
	tell_hello(f);
	tell_type(f, MESSAGE_READY);
	tell(f, &(struct message){
			.type = MESSAGE_NOT_STARTED,
			.not_started = { ENOENT, (char *)"no\nsuch", 1 } });
	assert_int_equal(outcome_of(f), EXEC_NOT_STARTED);
	assert_true(f->outcome.before_exec);
	assert_int_equal(f->outcome.error, ENOENT);
	assert_string_equal(f->outcome.what, "no?such");
}

/* An init that cannot go on, at each point. */
static void test_failed(void **state)
{
	for (int point = 0; point < 4; point++) {
		struct fixture *f;

		if (point) {
			tear_down(state);
			set_up(state);
		}
		f = *state;
		if (point == 3) {
			run_command(f);
		} else {
			start(f);
			if (point > 0)
				tell_hello(f);
			if (point > 1)
				tell_type(f, MESSAGE_READY);
		}
		tell(f,
		     &(struct message){ .type = MESSAGE_FAILED,
					.failed = { (char *)"mount", EIO } });
		assert_int_equal(outcome_of(f), EXEC_FAILED);
		assert_int_equal(f->outcome.error, EIO);
		assert_string_equal(f->outcome.what, "mount");
	}
}

static void test_other_version(void **state)
{
	struct fixture *f = *state;

	start(f);
	tell(f, &(struct message){
			.type = MESSAGE_HELLO,
			.hello = { PROTOCOL_VERSION + 1, (char *)"6" } });
	assert_int_equal(outcome_of(f), EXEC_FAILED);
}

/* A guest that never speaks. */
static void test_hung_boot(void **state)
{
	struct fixture *f = *state;

	f->config.hang_ns = 50 * MS;
	start(f);
	assert_int_equal(outcome_of(f), EXEC_HUNG);
	assert_true(f->outcome.ended_ns >= 50 * MS);
}

/* Beats are signs of life; a part of a message is none. */
static void test_hung_in_frame(void **state)
{
	static const uint8_t part[] = { 8, 0, 0, 0, MESSAGE_BEAT, 0, 0, 0, 1 };
	struct fixture *f = *state;

	f->config.hang_ns = 2 * NS_PER_S;
	run_command(f);
	for (int i = 0; i < 30; i++) {
		tell_type(f, MESSAGE_BEAT);
		assert_false(comes(f->decided_fd, 100));
	}
	for (size_t i = 0; i < sizeof(part); i++) {
		send(f->guest_fd, part + i, 1, MSG_NOSIGNAL);
		if (comes(f->decided_fd, 400))
			break;
	}
	assert_int_equal(outcome_of(f), EXEC_HUNG);
}

static void test_timed_out(void **state)
{
	struct fixture *f = *state;

	f->config.timeout_ns = 300 * MS;
	run_command(f);
	assert_int_equal(outcome_of(f), EXEC_TIMED_OUT);
	assert_true(f->outcome.ended_ns >= 300 * MS);
}

/* Output that is not drained in time. */
static void test_timed_out_draining(void **state)
{
	struct fixture *f = *state;

	f->config.timeout_ns = 400 * MS;
	f->is_full = true;
	run_command(f);
	tell_exited(f, 0);
	assert_int_equal(outcome_of(f), EXEC_TIMED_OUT);
}

/* An outcome waits for the output. */
static void test_drained(void **state)
{
	struct fixture *f = *state;

	f->is_full = true;
	f->config.hang_ns = 200 * MS;
	run_command(f);
	tell_exited(f, 9);
	/* Longer than the hang timeout: the init has nothing more to say. */
	assert_false(comes(f->decided_fd, 500));
	f->is_full = false;
	drop(f, MESSAGE_FINISH);
	assert_int_equal(outcome_of(f), EXEC_EXITED);
	assert_int_equal(f->outcome.status, 9);
}

static void console(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->console_fd, text, strlen(text)),
			 strlen(text));
}

/* A VM that ends by itself. */
static void expect_end(void **state, enum vm_end_kind end, const char *text,
		       enum exec_kind kind)
{
	struct fixture *f = *state;

	run_command(f);
	if (text)
		console(f, text);
	finish(f, end);
	assert_int_equal(f->outcome.kind, kind);
	/* Nothing asked for the end. */
	assert_string_equal(f->outcome.console, text ? text : "");
	tear_down(state);
	set_up(state);
}

static void test_ends(void **state)
{
	static const char panic[] = "Kernel panic - not syncing: why\n";
	struct fixture *f;

	expect_end(state, VM_END_RESET, NULL, EXEC_RESET);
	expect_end(state, VM_END_CRASH, "some text\n", EXEC_RESET);
	expect_end(state, VM_END_POWER_OFF, NULL, EXEC_ENDED);
	expect_end(state, VM_END_LEAVE, NULL, EXEC_ENDED);
	expect_end(state, VM_END_HOST, NULL, EXEC_FAILED);
	expect_end(state, VM_END_SOURCE, panic, EXEC_FAILED);
	expect_end(state, VM_END_POWER_OFF, panic, EXEC_PANICKED);
	expect_end(state, VM_END_CRASH, panic, EXEC_PANICKED);
	f = *state;
	run_command(f);
	console(f, panic);
	finish(f, VM_END_RESET);
	assert_int_equal(f->outcome.kind, EXEC_PANICKED);
	assert_string_equal(f->outcome.what, "why");
}

/* A message that came before the end of the VM counts. */
static void test_last_message(void **state)
{
	struct fixture *f = *state;

	f->is_full = true;
	run_command(f);
	for (int i = 0; i < 1000; i++)
		tell_type(f, MESSAGE_BEAT);
	tell_exited(f, 5);
	f->is_full = false;
	finish(f, VM_END_POWER_OFF);
	assert_int_equal(f->outcome.kind, EXEC_EXITED);
	assert_int_equal(f->outcome.status, 5);
}

/* Output that is lost is no success. */
static void test_end_draining(void **state)
{
	struct fixture *f = *state;

	f->is_full = true;
	run_command(f);
	tell_exited(f, 0);
	assert_false(comes(f->decided_fd, 300));
	finish(f, VM_END_RESET);
	assert_int_equal(f->outcome.kind, EXEC_RESET);
}

/* A kernel that stands still after its panic. */
static void test_panic_without_reset(void **state)
{
	struct fixture *f = *state;

	run_command(f);
	console(f, "Kernel panic - not syncing: why\n");
	assert_int_equal(outcome_of(f), EXEC_PANICKED);
	assert_string_equal(f->outcome.what, "why");
	assert_true(f->outcome.ended_ns < LONG_NS / 2);
}

/* A kernel that takes longer than that to print its stack. */
static void test_slow_panic(void **state)
{
	struct fixture *f = *state;

	run_command(f);
	console(f, "Kernel panic - not syncing: why\nCall Trace:\n");
	for (int i = 0; i < 7; i++) {
		assert_false(comes(f->decided_fd, 1000));
		console(f, " function\n");
	}
	console(f, "Rebooting\n");
	finish(f, VM_END_RESET);
	assert_int_equal(f->outcome.kind, EXEC_PANICKED);
	assert_non_null(strstr(f->outcome.console, "function\nRebooting\n"));
}

/* Text of a command, while the init lives, is no panic. */
static void test_false_panic(void **state)
{
	struct fixture *f = *state;

	run_command(f);
	console(f, "Kernel panic - not syncing: not so\n");
	for (int i = 0; i < 7; i++) {
		tell_type(f, MESSAGE_BEAT);
		assert_false(comes(f->decided_fd, 1000));
	}
	tell_exited(f, 0);
	assert_int_equal(outcome_of(f), EXEC_EXITED);
	assert_string_equal(f->outcome.what, "");
}

static void test_hostile(void **state)
{
	static const struct {
		uint8_t bytes[16];
		size_t len;
	} rows[] = {
		/* No such type; one of the host's; too large; a short one. */
		{ { 0, 0, 0, 0, 99, 0, 0, 0 }, 8 },
		{ { 0, 0, 0, 0, MESSAGE_FINISH, 0, 0, 0 }, 8 },
		{ { 0xff, 0xff, 0xff, 0x7f, MESSAGE_BEAT, 0, 0, 0 }, 8 },
		{ { 0, 0, 0, 0, MESSAGE_HELLO, 0, 0, 0 }, 8 },
		{ { 0, 0, 0, 0, MESSAGE_READY, 0, 1, 0 }, 8 },
		/* Before HELLO. */
		{ { 0, 0, 0, 0, MESSAGE_READY, 0, 0, 0 }, 8 },
		{ { 8, 0, 0, 0, MESSAGE_BEAT, 0, 0, 0 }, 16 },
		{ { 4, 0, 0, 0, MESSAGE_STARTED, 0, 0, 0 }, 12 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture *f;

		if (i) {
			tear_down(state);
			set_up(state);
		}
		f = *state;
		start(f);
		send(f->guest_fd, rows[i].bytes, rows[i].len, MSG_NOSIGNAL);
		assert_int_equal(outcome_of(f), EXEC_FAILED);
		assert_int_equal(f->outcome.error, EPROTO);
	}
}

/* A command that exits twice, or before it has started. */
static void test_out_of_order(void **state)
{
	struct fixture *f = *state;

	start(f);
	tell_hello(f);
	tell_type(f, MESSAGE_READY);
	tell_exited(f, 0);
	assert_int_equal(outcome_of(f), EXEC_FAILED);
	tear_down(state);
	set_up(state);
	f = *state;
	f->is_full = true;
	run_command(f);
	tell_exited(f, 0);
	tell_exited(f, 1);
	assert_int_equal(outcome_of(f), EXEC_FAILED);
	assert_int_equal(f->outcome.error, EPROTO);
}

/* The init's end of the control port is closed: the VM's end decides. */
static void test_closed(void **state)
{
	struct fixture *f = *state;

	run_command(f);
	shutdown(f->guest_fd, SHUT_RDWR);
	assert_false(comes(f->decided_fd, 200));
	finish(f, VM_END_POWER_OFF);
	assert_int_equal(f->outcome.kind, EXEC_ENDED);
}

/* Blocks the signals of a run, for all threads that are started from now on. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void test_signals(void **state)
{
	struct fixture *f = *state;
	struct message m;

	f->config.signal_fd = open_signals();
	run_command(f);
	kill(getpid(), SIGINT);
	m = hear(f, MESSAGE_SIGNAL);
	assert_int_equal(m.signal.number, SIGINT);
	message_finish(&m);
	assert_false(comes(f->decided_fd, 100));
	kill(getpid(), SIGTERM);
	assert_int_equal(outcome_of(f), EXEC_SIGNALLED);
	assert_int_equal(f->outcome.signal, SIGTERM);
	close(f->config.signal_fd);
}

/* There is no command yet, or no more. */
static void test_signals_without_command(void **state)
{
	struct fixture *f = *state;
	int fd = open_signals();

	f->config.signal_fd = fd;
	start(f);
	tell_hello(f);
	drop(f, MESSAGE_SETUP);
	kill(getpid(), SIGINT);
	assert_int_equal(outcome_of(f), EXEC_SIGNALLED);
	assert_int_equal(f->outcome.signal, SIGINT);
	tear_down(state);
	set_up(state);
	f = *state;
	f->config.signal_fd = fd;
	f->is_full = true;
	run_command(f);
	tell_exited(f, 0);
	assert_false(comes(f->decided_fd, 100));
	kill(getpid(), SIGINT);
	assert_int_equal(outcome_of(f), EXEC_SIGNALLED);
	close(fd);
}

static void on_leave(void *ctx)
{
	struct fixture *f = ctx;

	exec_session_leave(f->session);
}

/* Keys, the window's size, and Ctrl-A x, while the guest reads keys or not. */
static void test_terminal(void **state)
{
	struct fixture *f = *state;
	struct winsize size = { .ws_row = 25, .ws_col = 81 };
	struct terminal_config terminal = { .leave = on_leave, .ctx = f };
	int master, slave, keys[2];
	struct message m;
	char buf[16];

	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	assert_int_equal(pipe2(keys, O_CLOEXEC | O_NONBLOCK), 0);
	terminal.in_fd = terminal.out_fd = slave;
	assert_int_equal(terminal_open(&f->config.terminal, &terminal), 0);
	f->config.keys_fd = keys[1];
	start(f);
	tell_hello(f);
	drop(f, MESSAGE_SETUP);
	tell_type(f, MESSAGE_READY);
	m = hear(f, MESSAGE_REQUEST);
	assert_int_equal(m.request.rows, 25);
	assert_int_equal(m.request.cols, 81);
	message_finish(&m);
	assert_int_equal(write(master, "a\003b", 3), 3);
	assert_true(comes(keys[0], 30000));
	usleep(50000);
	assert_int_equal(read(keys[0], buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "a\003b", 3);
	size.ws_row = 30;
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	/* The kernel signals a session's foreground; the test has another. */
	kill(getpid(), SIGWINCH);
	m = hear(f, MESSAGE_WINSIZE);
	assert_int_equal(m.winsize.rows, 30);
	message_finish(&m);
	/* The guest takes no keys. */
	while (write(keys[1], buf, 1) == 1)
		;
	assert_int_equal(write(master, "key", 3), 3);
	usleep(50000);
	assert_int_equal(write(master, "\001x", 2), 2);
	assert_int_equal(outcome_of(f), EXEC_ENDED);
	terminal_close(f->config.terminal);
	close(keys[0]);
	close(master);
	close(slave);
}

/* The console is copied, byte for byte. */
static void test_console_copy(void **state)
{
	struct fixture *f = *state;
	char buf[64];
	int copy[2];

	assert_int_equal(pipe2(copy, O_CLOEXEC), 0);
	f->config.console_copy_fd = copy[1];
	run_command(f);
	console(f, "a\r\nb\033");
	finish(f, VM_END_POWER_OFF);
	assert_int_equal(read(copy[0], buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "a\r\nb\033", 5);
	assert_string_equal(f->outcome.console, "a\nb?\n");
	close(copy[0]);
	close(copy[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request),
		TEST(test_saved),
		TEST(test_restored),
		TEST(test_timed_out_saving),
		TEST(test_end_draining),
		TEST(test_restored_says_hello),
		TEST(test_all_codes),
		TEST(test_killed),
		TEST(test_not_started),
		TEST(test_failed),
		TEST(test_other_version),
		TEST(test_hung_boot),
		TEST(test_hung_in_frame),
		TEST(test_timed_out),
		TEST(test_timed_out_draining),
		TEST(test_drained),
		TEST(test_ends),
		TEST(test_last_message),
		TEST(test_panic_without_reset),
		TEST(test_slow_panic),
		TEST(test_false_panic),
		TEST(test_hostile),
		TEST(test_out_of_order),
		TEST(test_closed),
		TEST(test_signals),
		TEST(test_signals_without_command),
		TEST(test_terminal),
		TEST(test_console_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
