/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's side of a command in a guest: a thread, `exec', that speaks with the
 * guest's init over the control port (guest/init/protocol.h), reads the guest's
 * console, forwards signals and keys, and decides how the run ended.
 *
 * It knows descriptors only, no VM: a test may be at their other ends.
 */
#ifndef VMM_EXEC_SESSION_H
#define VMM_EXEC_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/init/protocol.h"
#include "vmm/exec/outcome.h"

struct exec_session;
struct terminal;
struct vm_end;

/* All that it points to, and the descriptors, are the caller's and outlive it. */
struct exec_config {
	int control_fd; /* the host's end of the control port; a socket */
	int console_fd; /* a non-blocking pipe, the guest's console; -1: none */
	int console_copy_fd; /* where console output is written too; -1: none */
	int signal_fd; /* signalfd(2) of the signals for the run; -1: none */
	/*
	 * With a pty in the guest: the terminal, which is raw from the request on,
	 * and the non-blocking end of a pipe for its keys, which the session owns
	 * and closes at the end of input.  Otherwise NULL and -1.
	 */
	struct terminal *terminal;
	int keys_fd;
	const struct setup *setup;
	/* realtime_ns and entropy are filled in when it is sent. */
	const struct request *request;
	/*
	 * The kernel's release of a guest that was saved in hello(), and restored;
	 * the session goes on with SETUP.  NULL: the guest boots.
	 */
	const char *restored;
	/*
	 * CLOCK_MONOTONIC when the run began, from which times in the outcome, and
	 * the timeout, count.
	 */
	uint64_t start_ns;
	uint64_t timeout_ns; /* 0: none */
	uint64_t hang_ns; /* the longest silence of the init */
	/*
	 * The init has said HELLO, and knows nothing of this run yet.  True: the guest
	 * is being saved, and exec_session_saved() follows; the init gets no message
	 * before that, and its silence does not count.  NULL: false.
	 */
	bool (*hello)(void *ctx);
	/*
	 * Whether all output of the guest has been written; NULL: it has.  An
	 * outcome of the command counts once it has.  Also asked by
	 * exec_session_finish().
	 */
	bool (*is_drained)(void *ctx);
	/* The outcome is known, and the VM is to end.  Must not wait. */
	void (*decided)(void *ctx, const struct exec_outcome *outcome);
	void *ctx; /* of these three, which run on the thread `exec' */
};

/* Starts the thread; 0 or -errno, logged. */
int exec_session_start(struct exec_session **session,
		       const struct exec_config *config);

/*
 * Ctrl-A x was typed; for the callback of the terminal, thus called by the thread
 * that reads it.
 */
void exec_session_leave(struct exec_session *session);

/* The guest has been saved, or not; it runs.  Any thread, before the VM's end. */
void exec_session_saved(struct exec_session *session);

/*
 * The VM has ended, and its devices have written what they had.  Reads the rest,
 * joins the thread, decides the outcome by @end if it is not known yet, and frees
 * the session.  exec_outcome_finish() follows.
 */
void exec_session_finish(struct exec_session *session, const struct vm_end *end,
			 struct exec_outcome *outcome);

#endif
