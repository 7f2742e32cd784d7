/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for the end of a machine, beside the signals that cause it and the
 * keys that the event loop may be too late for.  Main thread.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/bus/loop.h"
#include "vmm/io/terminal.h"
#include "vmm/vm/private.h"

/* How long keys may wait for the loop, and then the loop for a call. */
#define KEYS_MS	  500
#define NS_PER_MS (NS_PER_S / 1000)

/*
 * A signal came.  It is for this thread, not the loop's, which may stand still
 * for a page that does not come.
 */
static void take_signal(struct vm *vm)
{
	struct signalfd_siginfo info;

	if (read(vm->signal_fd, &info, sizeof(info)) == sizeof(info))
		vm_end(vm, VM_END_SIGNAL, (int)info.ssi_signo);
}

/* A call that only says that the loop does not stand still. */
static void nothing(void *ctx)
{
	(void)ctx;
}

/*
 * Something was typed.  It is the loop's, which takes it when the guest does;
 * but while the loop stands still the leave key must work.  @fds: the end and
 * the signals, which are waited for meanwhile.
 */
static void look_at_keys(struct vm *vm, struct pollfd *fds)
{
	if (poll(fds, 2, KEYS_MS) == 0 &&
	    loop_call_within(vm->loop, nothing, NULL, KEYS_MS * NS_PER_MS) < 0)
		terminal_read_ahead(vm->config.terminal);
}

/* What vm_wait() waits for: the end, the signals, and keys. */
static void fill_poll(const struct vm *vm, struct pollfd fds[3])
{
	const struct terminal *terminal = vm->config.terminal;
	const int fd[] = { vm->end_fd, vm->signal_fd,
			   terminal ? terminal_leave_fd(terminal) : -1 };

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		fds[i] = (struct pollfd){ .fd = fd[i], .events = POLLIN };
}

/* Waits for the end. */
struct vm_end vm_wait(struct vm *vm)
{
	struct pollfd fds[3];

	fill_poll(vm, fds);
	while (!fds[0].revents) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR) {
			log_errno(errno, "wait for the end");
			vm_end(vm, VM_END_HOST, 0);
			break;
		}
		if (fds[2].revents & POLLIN)
			look_at_keys(vm, fds);
		/* A terminal that hung up has no keys any more. */
		else if (fds[2].revents)
			fds[2].fd = -1;
		if (fds[1].revents)
			take_signal(vm);
	}
	return vm_get_end(vm);
}

/* The signals that end a machine. */
static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* Blocks them in this thread and those that it makes, or lets them through. */
void vm_block_signals(bool block)
{
	sigset_t set;

	end_signals(&set);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* Watches for them. */
int vm_catch_signals(struct vm *vm)
{
	sigset_t set;

	end_signals(&set);
	vm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return vm->signal_fd < 0 ? log_errno(errno, "signalfd") : 0;
}
