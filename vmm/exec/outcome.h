/* SPDX-License-Identifier: BSD-2-Clause */
/* How a command in a guest ended. */
#ifndef VMM_EXEC_OUTCOME_H
#define VMM_EXEC_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/vm/vm.h"

enum exec_kind {
	EXEC_NONE, /* not known yet */
	EXEC_EXITED, /* with a status */
	EXEC_KILLED, /* by a signal in the guest */
	EXEC_NOT_STARTED, /* error: ENOENT, EACCES... */
	EXEC_TIMED_OUT, /* at timeout_ns */
	EXEC_HUNG, /* no sign of life for hang_ns */
	EXEC_PANICKED, /* the guest's kernel */
	EXEC_RESET, /* the guest reset, or crashed */
	EXEC_ENDED, /* powered off, or ended by the user, without an outcome */
	EXEC_SIGNALLED, /* thaw received a signal */
	EXEC_FAILED, /* thaw, the host, or the guest's init */
	EXEC_KINDS
};

/* "exited", "killed"...: the kinds in --result. */
extern const char *const exec_kind_names[EXEC_KINDS];

#define EXEC_RELEASE_BYTES 96
#define EXEC_WHAT_BYTES	   256

struct exec_outcome {
	enum exec_kind kind;
	unsigned int status; /* EXITED: 0 to 255 */
	unsigned int signal; /* KILLED, SIGNALLED */
	bool core_dumped;
	bool restored; /* the guest did not boot, but came from a snapshot */
	int error; /* NOT_STARTED, FAILED: an errno; 0: none */
	bool init_failed; /* FAILED: the guest's init has said so */
	bool before_exec; /* NOT_STARTED: not an error of execve() */
	/* What was not started or failed, or the reason for a panic; or "". */
	char what[EXEC_WHAT_BYTES];
	char release[EXEC_RELEASE_BYTES]; /* of the guest's kernel, or "" */
	/* EXITED and KILLED: of the command and its children. */
	uint64_t max_rss_kib, user_us, system_us;
	/*
	 * Nanoseconds from the start of the run to the first instruction of the
	 * guest (the caller's), HELLO, READY, STARTED, and the outcome; 0: not
	 * reached.
	 */
	uint64_t entered_ns, hello_ns, ready_ns, started_ns, ended_ns;
	/* The guest's last console output; on the heap, or NULL. */
	char *console;
};

/* The kind for a VM that ended in this way without an outcome of the command. */
enum exec_kind exec_end_kind(enum vm_end_kind end);

/* Frees the console's text; a zeroed outcome is fine. */
void exec_outcome_finish(struct exec_outcome *outcome);

#endif
