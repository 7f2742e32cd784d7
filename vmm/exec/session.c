/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread `exec': waits for the control port, the guest's console, the
 * terminal, signals and time, until the main thread says that the VM has ended.
 */
#include "vmm/exec/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/exec/session_private.h"
#include "vmm/io/terminal.h"

/* The longest wait; see pass_time(). */
#define WAIT_MS 1000
/* How often the output of an outcome is checked, and keys that wait. */
#define DRAIN_MS 5
#define KEYS_MS	 200
/* How long a kernel that has panicked may print nothing and not reset. */
#define PANIC_NS (5 * NS_PER_S)
/* How long the reader of the console's copy may take. */
#define COPY_MS 2000
/* Lines of the console in an outcome. */
#define CONSOLE_LINES 40

enum {
	POLL_WAKE,
	POLL_CONTROL,
	POLL_CONSOLE,
	POLL_SIGNAL,
	POLL_KEYS_IN,
	POLL_KEYS_OUT,
	POLL_SIZE,
	POLL_COUNT
};

static void fill_poll(const struct exec_session *s, struct pollfd *fds)
{
	const struct exec_config *c = &s->config;
	const struct terminal *t = c->terminal;
	bool sending = s->out.start < s->out.end;

	fds[POLL_WAKE] = (struct pollfd){ s->wake_fd, POLLIN, 0 };
	fds[POLL_CONTROL] =
		(struct pollfd){ c->control_fd,
				 POLLIN | (sending ? POLLOUT : 0), 0 };
	fds[POLL_CONSOLE] = (struct pollfd){ c->console_fd, POLLIN, 0 };
	fds[POLL_SIGNAL] = (struct pollfd){ c->signal_fd, POLLIN, 0 };
	fds[POLL_KEYS_IN] = (struct pollfd){ -1, POLLIN, 0 };
	fds[POLL_KEYS_OUT] = (struct pollfd){ -1, POLLOUT, 0 };
	fds[POLL_SIZE] = (struct pollfd){ -1, POLLIN, 0 };
	if (exec_keys_in_events(s))
		fds[POLL_KEYS_IN].fd = terminal_in_fd(t);
	if (exec_keys_out_events(s))
		fds[POLL_KEYS_OUT].fd = c->keys_fd;
	if (t && s->step >= STEP_READY)
		fds[POLL_SIZE].fd = terminal_size_fd(t);
}

static uint64_t remaining_ns(uint64_t limit_ns, uint64_t passed_ns)
{
	return limit_ns - min_u64(limit_ns, passed_ns);
}

/*
 * Nanoseconds until the guest counts as hung; 0: now.  A kernel that has panicked
 * prints its stack, which takes time on a slow machine, and resets.
 */
static uint64_t until_hung_ns(const struct exec_session *s)
{
	uint64_t ns = remaining_ns(s->config.hang_ns, s->silent_ns);

	return s->log.panicked ?
		       min_u64(ns, remaining_ns(PANIC_NS, s->quiet_ns)) :
		       ns;
}

/* Milliseconds until something is due, at most WAIT_MS. */
static int wait_ms(const struct exec_session *s)
{
	uint64_t ns = WAIT_MS * NS_PER_MS;
	uint64_t run_ns = s->now_ns - s->config.start_ns;

	if (s->decided)
		return WAIT_MS;
	if (s->step == STEP_DONE)
		return DRAIN_MS;
	if (exec_keys_out_events(s))
		ns = KEYS_MS * NS_PER_MS;
	ns = min_u64(ns, until_hung_ns(s));
	if (s->config.timeout_ns)
		ns = min_u64(ns, remaining_ns(s->config.timeout_ns, run_ns));
	return (int)(ns / NS_PER_MS) + 1;
}

/*
 * Time has passed.  A wait that was too long means that this process was stopped
 * or starved, perhaps with the guest, and counts in part only.
 */
static void pass_time(struct exec_session *s)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t ns = min_u64(now_ns - s->now_ns, 2 * WAIT_MS * NS_PER_MS);

	/* A guest that is being saved stands still. */
	if (s->saving)
		ns = 0;
	s->silent_ns += ns;
	s->quiet_ns += ns;
	s->now_ns = now_ns;
}

/*
 * Writes console output to the copy.  A reader that is too slow loses the rest,
 * because the guest's kernel would wait for it.
 */
static void copy_console(struct exec_session *s, const char *bytes, size_t len)
{
	struct pollfd p = { .fd = s->copy.fd, .events = POLLOUT };

	while (len && s->copy.fd >= 0) {
		ssize_t n = stream_write(&s->copy, bytes, len);

		if (n == -EAGAIN && poll(&p, 1, COPY_MS) > 0)
			continue;
		if (n < 0) {
			log_errno((int)-n, "--console");
			stream_close(&s->copy);
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

/* Reads console output; false: none is left now. */
static bool read_console(struct exec_session *s)
{
	char bytes[4096];
	ssize_t n;

	if (s->config.console_fd < 0)
		return false;
	n = read(s->config.console_fd, bytes, sizeof(bytes));
	if (n > 0) {
		s->quiet_ns = 0;
		console_log_add(&s->log, bytes, (size_t)n);
		copy_console(s, bytes, (size_t)n);
		return true;
	}
	if (n == 0)
		s->config.console_fd = -1;
	return false;
}

/* Whether @sig goes to the command while it runs. */
static bool is_forwarded(int sig)
{
	return sig != SIGTERM && sig != SIGHUP;
}

static void take_signal(struct exec_session *s)
{
	struct signalfd_siginfo info;
	struct message m = { .type = MESSAGE_SIGNAL };
	int sig;

	if (read(s->config.signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	sig = (int)info.ssi_signo;
	if (is_forwarded(sig) && s->step >= STEP_READY && s->step < STEP_DONE) {
		m.signal.number = (uint32_t)sig;
		exec_queue(s, &m);
		return;
	}
	if (!s->decided)
		s->outcome.signal = (unsigned int)sig;
	exec_decide(s, EXEC_SIGNALLED);
}

/* An outcome of the command counts when its output has been written. */
static void check_drained(struct exec_session *s)
{
	const struct message finish = { .type = MESSAGE_FINISH };

	if (s->decided || s->step != STEP_DONE || !exec_is_drained(s))
		return;
	exec_queue(s, &finish);
	exec_decide(s, s->outcome.kind);
}

/* Decides that Ctrl-A x has ended the guest. */
static void decide_leave(struct exec_session *s)
{
	struct exec_outcome *o = &s->outcome;

	if (s->decided)
		return;
	exec_decide(s, EXEC_ENDED);
	snprintf(o->what, sizeof(o->what), "was ended with Ctrl-A x");
}

static void check_limits(struct exec_session *s)
{
	const struct exec_config *c = &s->config;

	if (atomic_load(&s->leave_requested))
		decide_leave(s);
	if (c->timeout_ns && s->now_ns - s->config.start_ns >= c->timeout_ns)
		exec_decide(s, EXEC_TIMED_OUT);
	/* After the outcome the init has nothing more to say. */
	if (s->step < STEP_DONE && until_hung_ns(s) == 0)
		exec_decide(s, s->log.panicked ? EXEC_PANICKED : EXEC_HUNG);
}

/* Goes on when the guest has been saved. */
static void check_saved(struct exec_session *s)
{
	if (!s->saving || !atomic_load(&s->saved))
		return;
	s->saving = false;
	exec_send_setup(s);
}

static void dispatch(struct exec_session *s, const struct pollfd *fds)
{
	if (fds[POLL_WAKE].revents)
		event_clear(s->wake_fd);
	check_saved(s);
	if (fds[POLL_CONSOLE].revents)
		read_console(s);
	if (fds[POLL_CONTROL].revents & POLLOUT)
		exec_send(s);
	if (fds[POLL_CONTROL].revents & (POLLIN | POLLHUP | POLLERR))
		exec_receive(s);
	if (fds[POLL_SIGNAL].revents)
		take_signal(s);
	if (fds[POLL_SIZE].revents) {
		terminal_size_seen(s->config.terminal);
		exec_queue_winsize(s);
	}
	exec_keys_pump(s, fds[POLL_KEYS_IN].revents);
	check_drained(s);
	check_limits(s);
}

/* What the VM's devices have left in the descriptors. */
static void read_rest(struct exec_session *s)
{
	while (read_console(s))
		;
	while (s->config.control_fd >= 0 && exec_receive(s))
		;
}

static void *session_main(void *arg)
{
	struct exec_session *s = arg;
	struct pollfd fds[POLL_COUNT];

	if (s->config.restored)
		exec_send_setup(s);
	while (!atomic_load(&s->stop)) {
		fill_poll(s, fds);
		if (poll(fds, POLL_COUNT, wait_ms(s)) < 0 && errno != EINTR) {
			exec_fail(s, errno, "poll");
			break;
		}
		pass_time(s);
		dispatch(s, fds);
	}
	read_rest(s);
	return NULL;
}

/* Frees all but the outcome. */
static void destroy(struct exec_session *s)
{
	frame_buffer_finish(&s->in);
	frame_buffer_finish(&s->out);
	stream_close(&s->copy);
	if (s->config.keys_fd >= 0)
		close(s->config.keys_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	free(s);
}

int exec_session_start(struct exec_session **out,
		       const struct exec_config *config)
{
	struct exec_session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_errno(ENOMEM, "exec session");
	s->config = *config;
	s->now_ns = clock_now_ns();
	if (config->restored) {
		s->step = STEP_HELLO;
		s->outcome.restored = true;
		snprintf(s->outcome.release, sizeof(s->outcome.release), "%s",
			 config->restored);
	}
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0) {
		r = log_errno(errno, "eventfd");
		destroy(s);
		return r;
	}
	stream_open(&s->copy, config->console_copy_fd, O_WRONLY);
	/* Before the thread, which the user's callbacks run on. */
	*out = s;
	r = thread_start(&s->thread, "exec", session_main, s);
	if (r < 0) {
		*out = NULL;
		destroy(s);
		return log_errno(-r, "exec thread");
	}
	return 0;
}

void exec_session_leave(struct exec_session *s)
{
	atomic_store(&s->leave_requested, true);
	event_signal(s->wake_fd);
}

void exec_session_saved(struct exec_session *s)
{
	atomic_store(&s->saved, true);
	event_signal(s->wake_fd);
}

void exec_session_finish(struct exec_session *s, const struct vm_end *end,
			 struct exec_outcome *outcome)
{
	atomic_store(&s->stop, true);
	event_signal(s->wake_fd);
	pthread_join(s->thread, NULL);
	s->now_ns = clock_now_ns();
	exec_decide_end(s, end);
	*outcome = s->outcome;
	outcome->console = console_log_tail(&s->log, CONSOLE_LINES);
	destroy(s);
}
