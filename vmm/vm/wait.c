/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for the end of a VM, for the signals that cause it, and for keys
 * that the event loop does not read in time.  Main thread.
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

/* How long keys may stay unread, and then the loop may be blocked. */
#define KEYS_MS 500

/*
 * A signal ends the VM.  This thread reads it, not the loop, which may be
 * blocked on an unavailable page.
 */
static void take_signal(struct vm *vm)
{
	struct signalfd_siginfo info;

	if (read(vm->signal_fd, &info, sizeof(info)) == sizeof(info))
		vm_end_asked(vm, VM_END_SIGNAL, (int)info.ssi_signo);
}

/*
 * There is input, which the loop reads when the guest does.  The leave sequence
 * must work as well while the guest is paused or has no room for input, or the
 * loop is blocked, so this thread reads ahead.  @fds: the end and the signals,
 * polled meanwhile.
 */
static void check_keys(struct vm *vm, struct pollfd *fds)
{
	bool blocked;

	if (poll(fds, 2, KEYS_MS) != 0)
		return;
	blocked = loop_sync(vm->loop, KEYS_MS * NS_PER_MS) < 0;
	terminal_read_ahead(vm->config.terminal, blocked);
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

void vm_wait(struct vm *vm)
{
	struct pollfd fds[3];

	fill_poll(vm, fds);
	while (!fds[0].revents) {
		int r = poll(fds, ARRAY_SIZE(fds), vm_mapped_tick_ms(vm));

		if (r < 0 && errno != EINTR) {
			log_errno(errno, "wait for the end");
			vm_end(vm, VM_END_HOST, 0);
			break;
		}
		if (r == 0)
			vm_mapped_tick(vm);
		if (fds[2].revents & POLLIN)
			check_keys(vm, fds);
		/* After a hang-up the terminal has no more input. */
		else if (fds[2].revents)
			fds[2].fd = -1;
		if (fds[1].revents)
			take_signal(vm);
	}
}

/* The signals that end a VM. */
static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void vm_block_signals(bool block)
{
	sigset_t set;

	end_signals(&set);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

int vm_catch_signals(struct vm *vm)
{
	sigset_t set;

	end_signals(&set);
	vm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return vm->signal_fd < 0 ? log_errno(errno, "signalfd") : 0;
}
