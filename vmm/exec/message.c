/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of the control port.  What the guest sends is not trusted: a
 * message that is malformed or out of order ends the session.  Thread `exec'.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/exec/session_private.h"
#include "vmm/io/terminal.h"

#define ENTROPY_BYTES 64

/* Copies text of the guest for messages; too long is truncated. */
static void copy_text(char *to, size_t room, const char *from)
{
	snprintf(to, room, "%s", from);
	console_log_clean(to);
	for (; *to; to++)
		if (*to == '\n')
			*to = '?';
}

void exec_queue(struct exec_session *s, const struct message *m)
{
	int r = frame_encode(&s->out, m);

	if (r < 0)
		exec_fail(s, -r,
			  r == -EMSGSIZE ?
				  "arguments and environment, at most 4 MiB" :
				  "message to the guest");
	exec_send(s);
}

void exec_queue_winsize(struct exec_session *s)
{
	struct message m = { .type = MESSAGE_WINSIZE };

	if (terminal_size(s->config.terminal, &m.winsize.cols, &m.winsize.rows))
		exec_queue(s, &m);
}

void exec_send_setup(struct exec_session *s)
{
	const struct message m = { .type = MESSAGE_SETUP,
				   .setup = *s->config.setup };

	exec_queue(s, &m);
}

/* The request, with what must be new: time, entropy, the window's size. */
static void send_request(struct exec_session *s)
{
	uint8_t entropy[ENTROPY_BYTES];
	struct message m = { .type = MESSAGE_REQUEST,
			     .request = *s->config.request };

	if (getrandom(entropy, sizeof(entropy), 0) == sizeof(entropy)) {
		m.request.entropy = entropy;
		m.request.entropy_bytes = sizeof(entropy);
	}
	if (s->config.terminal) {
		terminal_size(s->config.terminal, &m.request.cols,
			      &m.request.rows);
		terminal_raw(s->config.terminal, true);
	}
	m.request.realtime_ns = clock_wall_ns();
	exec_queue(s, &m);
}

static void on_hello(struct exec_session *s, const struct message *m)
{
	copy_text(s->outcome.release, sizeof(s->outcome.release),
		  m->hello.release);
	s->outcome.hello_ns = s->now_ns - s->config.start_ns;
	if (m->hello.version != PROTOCOL_VERSION) {
		exec_fail(s, EPROTO, "the guest's init has another version");
		return;
	}
	s->saving = s->config.hello && s->config.hello(s->config.ctx);
	if (!s->saving)
		exec_send_setup(s);
}

static void on_ready(struct exec_session *s, const struct message *m)
{
	(void)m;
	s->outcome.ready_ns = s->now_ns - s->config.start_ns;
	log_info("guest kernel %s: ready after %.3f s", s->outcome.release,
		 (double)s->outcome.ready_ns / NS_PER_S);
	send_request(s);
}

static void on_started(struct exec_session *s, const struct message *m)
{
	(void)m;
	s->outcome.started_ns = s->now_ns - s->config.start_ns;
}

static void on_failed(struct exec_session *s, const struct message *m)
{
	char what[EXEC_WHAT_BYTES];

	copy_text(what, sizeof(what), m->failed.what);
	s->outcome.init_failed = true;
	exec_fail(s, (int)(m->failed.error & 0xfff), what);
}

static void on_not_started(struct exec_session *s, const struct message *m)
{
	struct exec_outcome *o = &s->outcome;

	o->kind = EXEC_NOT_STARTED;
	o->error = (int)(m->not_started.error & 0xfff);
	o->before_exec = m->not_started.before_exec;
	copy_text(o->what, sizeof(o->what), m->not_started.what);
}

static void set_usage(struct exec_outcome *o, const struct usage *usage)
{
	o->max_rss_kib = usage->max_rss_kib;
	o->user_us = usage->user_us;
	o->system_us = usage->system_us;
}

static void on_exited(struct exec_session *s, const struct message *m)
{
	s->outcome.kind = EXEC_EXITED;
	s->outcome.status = m->exited.status & 0xff;
	set_usage(&s->outcome, &m->exited.usage);
}

static void on_killed(struct exec_session *s, const struct message *m)
{
	s->outcome.kind = EXEC_KILLED;
	s->outcome.signal = m->killed.signal & 0x7f;
	s->outcome.core_dumped = m->killed.core_dumped;
	set_usage(&s->outcome, &m->killed.usage);
}

/* Each message of the guest: the step in which it is valid, and the next. */
static const struct row {
	enum message_type type;
	enum exec_step from, to;
	void (*handle)(struct exec_session *s, const struct message *m);
} rows[] = {
	{ MESSAGE_HELLO, STEP_START, STEP_HELLO, on_hello },
	{ MESSAGE_READY, STEP_HELLO, STEP_READY, on_ready },
	{ MESSAGE_STARTED, STEP_READY, STEP_STARTED, on_started },
	{ MESSAGE_NOT_STARTED, STEP_READY, STEP_DONE, on_not_started },
	{ MESSAGE_EXITED, STEP_STARTED, STEP_DONE, on_exited },
	{ MESSAGE_KILLED, STEP_STARTED, STEP_DONE, on_killed },
};

static void handle(struct exec_session *s, const struct message *m)
{
	if (m->type == MESSAGE_BEAT && s->step != STEP_START)
		return;
	if (m->type == MESSAGE_FAILED && s->step != STEP_DONE) {
		on_failed(s, m);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].type != m->type || rows[i].from != s->step)
			continue;
		s->step = rows[i].to;
		rows[i].handle(s, m);
		return;
	}
	exec_fail(s, EPROTO, "unexpected message of the guest's init");
}

/* Handles the complete messages of the buffer. */
static void handle_all(struct exec_session *s)
{
	struct message m;
	int r = 0;

	while (!s->decided && (r = frame_decode(&s->in, &m)) > 0) {
		s->silent_ns = s->quiet_ns = 0;
		handle(s, &m);
		message_finish(&m);
	}
	if (r < 0)
		exec_fail(s, -r, "malformed message of the guest's init");
}

bool exec_receive(struct exec_session *s)
{
	size_t room;
	void *to = s->decided ? NULL : frame_room(&s->in, &room);
	ssize_t n;

	if (!to) {
		exec_fail(s, ENOMEM, "message of the guest's init");
		s->config.control_fd = -1;
		return false;
	}
	do
		n = recv(s->config.control_fd, to, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		frame_received(&s->in, (size_t)n);
		handle_all(s);
	} else if (n == 0 || errno != EAGAIN) {
		/* The device is gone; the end of the VM says the rest. */
		s->config.control_fd = -1;
	}
	return n > 0;
}

void exec_send(struct exec_session *s)
{
	struct frame_buffer *out = &s->out;
	ssize_t n;

	while (s->config.control_fd >= 0 && out->start < out->end) {
		n = send(s->config.control_fd, out->data + out->start,
			 out->end - out->start, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0)
			return;
		frame_sent(out, (size_t)n);
	}
}
