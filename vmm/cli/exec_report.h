/* SPDX-License-Identifier: BSD-2-Clause */
/* What `thaw exec` says of an outcome: status, messages, --result. */
#ifndef VMM_CLI_EXEC_REPORT_H
#define VMM_CLI_EXEC_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "vmm/exec/outcome.h"

struct vm_end;

/* The exit status for an outcome; any thread. */
int exec_exit_code(const struct exec_outcome *outcome);

/* The exit status for a VM that ended without one; any thread. */
int exec_end_code(const struct vm_end *end);

/*
 * Prints the reason for an outcome that is not the command's, after the guest's
 * last console output, unless that was written to standard error already
 * (@console_shown); nothing else.  @command: for messages.
 */
void exec_report(const struct exec_outcome *outcome, const char *command,
		 bool console_shown);

/*
 * Writes the outcome as JSON to @to; @total_ns: what all of the run took.  0, or
 * -EIO, logged with @name.
 */
int exec_result_write(const struct exec_outcome *outcome, FILE *to,
		      const char *name, uint64_t total_ns);

#endif
