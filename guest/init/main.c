/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process 1 of a guest that runs one command. Its steps are those of protocol.h;
 * the state is the last one that was done. One thread, one poll loop, which only
 * waits there; SETUP and REQUEST are carried out at once.
 *
 * It never exits: whatever fails ends the guest (end.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/init/boot.h"
#include "guest/init/command.h"
#include "guest/init/end.h"
#include "guest/init/failure.h"
#include "guest/init/link.h"
#include "guest/init/ports.h"
#include "guest/init/pump.h"
#include "guest/init/refresh.h"
#include "guest/init/setup.h"

/* How long a device, and the host behind it, may take to appear. */
#define PORT_WAIT_MS 30000

/* A port that the host closed before the command was started stays so. */
#define DATA_WAIT_MS 50

#define BEAT_MS 1000

enum state {
	STATE_BOOTED,
	STATE_READY,
	STATE_RUNNING,
	STATE_DRAINING, /* the command has ended, its output is being moved */
	STATE_SYNCING, /* a process writes the shares' data */
	STATE_DONE, /* the outcome was sent */
};

enum { PUMP_IN, PUMP_OUT, PUMP_ERR, PUMPS };

struct init {
	enum state state;
	struct link link;
	int signal_fd;
	struct message setup, request; /* setup: once mounted */
	bool mounted;
	struct command command;
	struct pump pumps[PUMPS];
	struct message outcome; /* EXITED or KILLED, until it is sent */
	pid_t sync_pid;
	uint64_t next_beat_ms;
};

static const struct setup *mounted_setup(const struct init *init)
{
	return init->mounted ? &init->setup.setup : NULL;
}

static void __attribute__((noreturn))
give_up(struct init *init, int error, const char *what)
{
	struct failure f;

	failure_set(&f, error, "%s", what);
	end_failed(&init->link, mounted_setup(init), &f);
}

static uint64_t now_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Sends BEAT if it is due. A host that does not read gets no second one. */
static void beat(struct init *init)
{
	const struct message m = {
		.type = MESSAGE_BEAT,
		.beat = { now_ms(CLOCK_BOOTTIME) },
	};
	uint64_t now = now_ms(CLOCK_MONOTONIC);

	if (now < init->next_beat_ms)
		return;
	init->next_beat_ms = now + BEAT_MS;
	if (init->link.out.start == init->link.out.end)
		link_send(&init->link, &m);
}

static void do_setup(struct init *init, struct message *m)
{
	const struct message ready = { .type = MESSAGE_READY };
	struct failure f;

	init->setup = *m;
	m->owned = NULL;
	init->mounted = true;
	if (setup_mount(&init->setup.setup, &f))
		end_failed(&init->link, mounted_setup(init), &f);
	init->state = STATE_READY;
	link_send(&init->link, &ready);
}

/* Opens a data port; -1: the host has closed it. */
static int open_data_port(struct init *init, const char *name)
{
	int fd = port_open(name, PORT_WAIT_MS);

	if (fd < 0)
		give_up(init, -fd, name);
	/* A closed input may have bytes; its end is read after them. */
	if (strcmp(name, PORT_STDIN) == 0 ||
	    port_is_connected(fd, DATA_WAIT_MS))
		return fd;
	close(fd);
	return -1;
}

static void start_pumps(struct init *init)
{
	struct command *c = &init->command;
	bool pty = init->request.request.flags & REQUEST_PTY;
	int err, out, in, error_out = -1;

	out = open_data_port(init, PORT_STDOUT);
	if (!pty)
		error_out = open_data_port(init, PORT_STDERR);
	in = c->in_fd < 0 ? -1 : open_data_port(init, PORT_STDIN);
	err = pump_init(&init->pumps[PUMP_IN], in, c->in_fd, pty);
	if (!err)
		err = pump_init(&init->pumps[PUMP_OUT], c->out_fd, out, false);
	if (!err)
		err = pump_init(&init->pumps[PUMP_ERR], c->err_fd, error_out,
				false);
	if (err)
		give_up(init, -err, "create the buffers");
}

static void not_started(struct init *init, const struct failure *f,
			bool before_exec)
{
	const struct message m = {
		.type = MESSAGE_NOT_STARTED,
		.not_started = { (uint32_t)f->error, (char *)f->what,
				 before_exec },
	};

	for (int i = 0; i < PUMPS; i++)
		pump_finish(&init->pumps[i]);
	command_finish(&init->command);
	init->state = STATE_DONE;
	link_send(&init->link, &m);
}

static void do_request(struct init *init, struct message *m)
{
	struct failure f;

	init->request = *m;
	m->owned = NULL;
	refresh(&init->request.request);
	if (command_start(&init->command, &init->request.request, &f)) {
		not_started(init, &f, true);
		return;
	}
	start_pumps(init);
	init->state = STATE_RUNNING;
}

/* Sends STARTED or NOT_STARTED once that is known. */
static void check_start(struct init *init)
{
	struct message m = { .type = MESSAGE_STARTED };
	bool before_exec = false;
	struct failure f;
	int result;

	if (init->command.start_fd < 0)
		return;
	m.started.pid = (uint32_t)init->command.pid;
	result = command_started(&init->command, &f, &before_exec);
	if (result < 0)
		not_started(init, &f, before_exec);
	else if (result > 0)
		link_send(&init->link, &m);
}

static struct usage usage_of(const struct rusage *r)
{
	return (struct usage){
		.max_rss_kib = (uint64_t)r->ru_maxrss,
		.user_us = (uint64_t)r->ru_utime.tv_sec * 1000000 +
			   (uint64_t)r->ru_utime.tv_usec,
		.system_us = (uint64_t)r->ru_stime.tv_sec * 1000000 +
			     (uint64_t)r->ru_stime.tv_usec,
	};
}

static void command_ended(struct init *init, int status, const struct rusage *r)
{
	struct message *m = &init->outcome;

	check_start(init);
	if (init->state != STATE_RUNNING)
		return;
	if (WIFSIGNALED(status)) {
		m->type = MESSAGE_KILLED;
		m->killed = (struct killed){ (uint32_t)WTERMSIG(status),
					     WCOREDUMP(status) ? 1 : 0,
					     usage_of(r) };
	} else {
		m->type = MESSAGE_EXITED;
		m->exited = (struct exited){ (uint32_t)WEXITSTATUS(status),
					     usage_of(r) };
	}
	pump_finish(&init->pumps[PUMP_IN]);
	pump_limit(&init->pumps[PUMP_OUT]);
	pump_limit(&init->pumps[PUMP_ERR]);
	command_finish(&init->command);
	init->state = STATE_DRAINING;
}

static void reap(struct init *init)
{
	struct signalfd_siginfo info;
	struct rusage usage;
	int status;
	pid_t pid;

	while (read(init->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		if (pid == init->command.pid)
			command_ended(init, status, &usage);
		else if (pid == init->sync_pid)
			init->sync_pid = 0;
	}
}

/* Writes the shares' data in a process of its own: BEAT goes on meanwhile. */
static void start_sync(struct init *init)
{
	init->state = STATE_SYNCING;
	if (!setup_is_writable(&init->setup.setup))
		return;
	init->sync_pid = fork();
	if (init->sync_pid == 0) {
		setup_sync(&init->setup.setup);
		_exit(0);
	}
}

/* Moves bytes, and goes on to the next state when a state has nothing left. */
static void advance(struct init *init, struct pollfd polls[PUMPS][2])
{
	struct pump *out = &init->pumps[PUMP_OUT];

	if (init->state == STATE_RUNNING || init->state == STATE_DRAINING)
		for (int i = 0; i < PUMPS; i++)
			pump_step(&init->pumps[i], polls[i]);
	if (init->state == STATE_RUNNING && init->command.pty_fd >= 0 &&
	    pump_is_done(out)) {
		pump_finish(&init->pumps[PUMP_IN]);
		command_hang_up(&init->command);
	}
	if (init->state == STATE_DRAINING && pump_is_done(out) &&
	    pump_is_done(&init->pumps[PUMP_ERR]))
		start_sync(init);
	if (init->state == STATE_SYNCING && init->sync_pid <= 0) {
		init->state = STATE_DONE;
		link_send(&init->link, &init->outcome);
	}
}

static void handle(struct init *init, struct message *m)
{
	if (m->type == MESSAGE_SETUP && init->state == STATE_BOOTED)
		do_setup(init, m);
	else if (m->type == MESSAGE_REQUEST && init->state == STATE_READY)
		do_request(init, m);
	else if (m->type == MESSAGE_SIGNAL && init->state >= STATE_RUNNING)
		command_signal(&init->command, (int)m->signal.number);
	else if (m->type == MESSAGE_WINSIZE && init->state >= STATE_RUNNING)
		command_resize(&init->command, m->winsize.rows,
			       m->winsize.cols);
	else if (m->type == MESSAGE_FINISH)
		end_guest(mounted_setup(init));
	else
		give_up(init, EPROTO, "read the control port: wrong order");
}

static void receive(struct init *init)
{
	struct message m;
	int result;

	while ((result = link_receive(&init->link, &m)) > 0) {
		handle(init, &m);
		message_finish(&m);
	}
	if (result < 0)
		give_up(init, -result, "read the control port");
	if (init->link.closed)
		end_guest(mounted_setup(init));
}

static void wait_and_step(struct init *init)
{
	struct pollfd polls[3 + 2 * PUMPS] = {
		{ .fd = init->link.fd, .events = POLLIN },
		{ .fd = init->signal_fd, .events = POLLIN },
		{ .fd = init->command.start_fd, .events = POLLIN },
	};
	struct pollfd(*pumps)[2] = (struct pollfd(*)[2])(polls + 3);
	uint64_t now = now_ms(CLOCK_MONOTONIC);
	int wait_ms =
		now < init->next_beat_ms ? (int)(init->next_beat_ms - now) : 0;

	if (init->link.out.start < init->link.out.end)
		polls[0].events |= POLLOUT;
	for (int i = 0; i < PUMPS; i++)
		pump_polls(&init->pumps[i], pumps[i]);
	poll(polls, 3 + 2 * PUMPS, wait_ms);
	beat(init);
	link_flush(&init->link);
	if (polls[2].revents)
		check_start(init);
	if (polls[1].revents)
		reap(init);
	if (polls[0].revents & (POLLIN | POLLHUP | POLLERR))
		receive(init);
	/* Last, because the next wait must not come before a change of state. */
	advance(init, pumps);
}

/* Blocks all signals; those of children and of Ctrl-Alt-Del are read. */
static int open_signals(void)
{
	sigset_t all, read;

	reboot(RB_DISABLE_CAD);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&read);
	sigaddset(&read, SIGCHLD);
	sigaddset(&read, SIGINT);
	return signalfd(-1, &read, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void say_hello(struct init *init)
{
	struct message m = { .type = MESSAGE_HELLO };
	struct utsname name;

	uname(&name);
	m.hello.version = PROTOCOL_VERSION;
	m.hello.release = name.release;
	link_send(&init->link, &m);
	init->next_beat_ms = now_ms(CLOCK_MONOTONIC) + BEAT_MS;
}

int main(void)
{
	struct init init = { .command = { .start_fd = -1, .pty_fd = -1 } };
	struct failure f;

	/* Refuse to run as anything but process 1. */
	if (getpid() != 1)
		return 1;
	for (int i = 0; i < PUMPS; i++)
		pump_init(&init.pumps[i], -1, -1, false);
	init.signal_fd = open_signals();
	if (boot(&f) || setup_prepare(&f))
		end_failed(NULL, NULL, &f);
	init.link.fd = port_open(PORT_CONTROL, PORT_WAIT_MS);
	if (init.link.fd < 0) {
		failure_set(&f, -init.link.fd, "open port " PORT_CONTROL);
		end_failed(NULL, NULL, &f);
	}
	if (!port_is_connected(init.link.fd, PORT_WAIT_MS))
		end_guest(NULL);
	say_hello(&init);
	for (;;)
		wait_and_step(&init);
}
