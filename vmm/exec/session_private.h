/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of a session share.  All of it belongs to the thread `exec'
 * while that runs, except stop, left and wake_fd.
 */
#ifndef VMM_EXEC_SESSION_PRIVATE_H
#define VMM_EXEC_SESSION_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/init/frame.h"
#include "vmm/exec/console_log.h"
#include "vmm/exec/session.h"
#include "vmm/io/stream.h"

/* What was received last; the next message must fit. */
enum exec_step {
	STEP_START,
	STEP_HELLO,
	STEP_READY,
	STEP_STARTED,
	STEP_DONE, /* an outcome of the command */
};

#define EXEC_KEYS_BYTES 4096

struct exec_session {
	struct exec_config config;
	pthread_t thread;
	int wake_fd; /* an eventfd: one of these three was set */
	atomic_bool stop; /* the VM has ended */
	atomic_bool leave_requested; /* Ctrl-A x */
	atomic_bool saved; /* exec_session_saved() */
	bool saving; /* SETUP is sent when saved is true */

	enum exec_step step;
	struct exec_outcome outcome;
	bool decided; /* the callback was called */
	struct frame_buffer in, out;
	struct console_log log;
	struct stream copy; /* of the console; its fd is -1 after a failure */
	uint64_t now_ns; /* updated after each wait */
	uint64_t silent_ns; /* without a message */
	uint64_t quiet_ns; /* without a message and without console output */
	/* Keys that the guest has not taken. */
	uint8_t keys[EXEC_KEYS_BYTES];
	size_t keys_at, keys_len;
};

/*
 * decide.c: the first outcome counts, except that thaw's own end may replace one
 * whose output is still being written; calls the callback.
 */
void exec_decide(struct exec_session *s, enum exec_kind kind);
/* The same with EXEC_FAILED and a reason; @error 0: none but @what. */
void exec_fail(struct exec_session *s, int error, const char *what);
/* Whether the guest's output has been written. */
bool exec_is_drained(const struct exec_session *s);
/* The outcome of a VM that has ended by itself, unless one is known. */
void exec_decide_end(struct exec_session *s, const struct vm_end *end);

/*
 * message.c: reads the control port and handles the messages in it; false: there
 * was nothing.  After the decision it is not read any more.
 */
bool exec_receive(struct exec_session *s);
/* Sends what the control port takes now. */
void exec_send(struct exec_session *s);
/* Queues a message, and sends what the control port takes now. */
void exec_queue(struct exec_session *s, const struct message *m);
void exec_queue_winsize(struct exec_session *s);
void exec_send_setup(struct exec_session *s);

/*
 * keys.c: from the terminal to the pipe; the events to poll the terminal and the
 * pipe for.
 */
void exec_keys_pump(struct exec_session *s, bool readable);
short exec_keys_in_events(const struct exec_session *s);
short exec_keys_out_events(const struct exec_session *s);

#endif
