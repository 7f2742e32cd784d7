/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw mode, and the signal handlers that end it.
 *
 * Signal handlers have no context argument, so their data (the descriptor, the
 * mode to restore, the previous actions) is the one process-wide variable of
 * this file. The mode is written before the descriptor that guards it, with
 * release order, and the handler reads the descriptor with acquire order.
 */
#include "vmm/io/raw_mode.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <termios.h>

#include "vmm/base/log.h"
#include "vmm/base/signals.h"

/* Restored when the process ends. */
static struct {
	atomic_int fd_plus_1; /* 0: no terminal is raw */
	struct termios mode;
	bool installed; /* handlers and atexit; main thread */
	struct sigaction before[NSIG]; /* by signal number */
} rescue;

/* tcsetattr() that works in a background process, too. Async-signal-safe. */
static int set_mode(int fd, const struct termios *mode)
{
	sigset_t ttou, before;
	int ret;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &before);
	do
		ret = tcsetattr(fd, TCSANOW, mode);
	while (ret < 0 && errno == EINTR);
	ret = ret < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/*
 * Async-signal-safe. Clears the descriptor last, so that a second thread that
 * crashes meanwhile restores the mode as well.
 */
void raw_mode_leave(void)
{
	int fd_plus_1 =
		atomic_load_explicit(&rescue.fd_plus_1, memory_order_acquire);

	if (!fd_plus_1)
		return;
	set_mode(fd_plus_1 - 1, &rescue.mode);
	atomic_store_explicit(&rescue.fd_plus_1, 0, memory_order_relaxed);
}

/*
 * Handler of fatal signals: restores the mode and the previous action, and
 * makes the signal recur when it returns: a faulting instruction is restarted,
 * any other signal is raised again.
 */
static void on_fatal(int sig, siginfo_t *info, void *context)
{
	bool again = signal_is_crash(sig) && info->si_code > 0 &&
		     !(sig == SIGBUS && info->si_code == BUS_MCEERR_AO) &&
		     sig != SIGSYS && sig != SIGTRAP;
	int saved = errno;

	(void)context;
	raw_mode_leave();
	sigaction(sig, &rescue.before[sig], NULL);
	if (!again)
		raise(sig);
	errno = saved;
}

/*
 * Installs on_fatal() for @sig. A signal that is ignored or has another handler
 * does not end the process and is left alone, except crashes: their previous
 * handler (a sanitizer's) runs after ours.
 */
static void rescue_catch(int sig)
{
	struct sigaction action = { .sa_sigaction = on_fatal,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction *before = &rescue.before[sig];

	/* Block all signals until the mode is restored. */
	sigfillset(&action.sa_mask);
	if (sigaction(sig, NULL, before) < 0)
		return; /* reserved by the C library */
	if (before->sa_handler == SIG_DFL || signal_is_crash(sig))
		sigaction(sig, &action, NULL);
}

/* Installs the handlers and the exit hook, once per process. */
static int rescue_install(void)
{
	if (rescue.installed)
		return 0;
	if (atexit(raw_mode_leave))
		return -ENOMEM;
	for (int sig = 1; sig < NSIG; sig++) {
		if (signal_is_fatal(sig))
			rescue_catch(sig);
	}
	rescue.installed = true;
	return 0;
}

int raw_mode_enter(int fd)
{
	struct termios mode, raw;
	int err = rescue_install();

	if (!err && tcgetattr(fd, &mode) < 0)
		err = -errno;
	if (err)
		return log_errno(-err, "set the terminal to raw mode");
	if (atomic_load_explicit(&rescue.fd_plus_1, memory_order_relaxed))
		return log_fail(EBUSY,
				"set the terminal to raw mode: in use by "
				"another console");
	rescue.mode = mode;
	atomic_store_explicit(&rescue.fd_plus_1, fd + 1, memory_order_release);
	raw = mode;
	cfmakeraw(&raw);
	/* In a background process this stops the process, as usual. */
	do
		err = tcsetattr(fd, TCSANOW, &raw) ? -errno : 0;
	while (err == -EINTR);
	if (err) {
		raw_mode_leave();
		return log_errno(-err, "set the terminal to raw mode");
	}
	return 0;
}
