/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/exec/outcome.h"

#include <stdlib.h>

const char *const exec_kind_names[EXEC_KINDS] = {
	[EXEC_NONE] = "none",		[EXEC_EXITED] = "exited",
	[EXEC_KILLED] = "killed",	[EXEC_NOT_STARTED] = "not-started",
	[EXEC_TIMED_OUT] = "timed-out", [EXEC_HUNG] = "hung",
	[EXEC_PANICKED] = "panicked",	[EXEC_RESET] = "reset",
	[EXEC_ENDED] = "ended",		[EXEC_SIGNALLED] = "signalled",
	[EXEC_FAILED] = "failed",
};

enum exec_kind exec_end_kind(enum vm_end_kind end)
{
	switch (end) {
	case VM_END_RESET:
	case VM_END_CRASH:
		return EXEC_RESET;
	case VM_END_POWER_OFF:
	case VM_END_LEAVE:
	case VM_END_STOPPED:
		return EXEC_ENDED;
	case VM_END_SIGNAL:
		return EXEC_SIGNALLED;
	case VM_END_NONE:
	case VM_END_HOST:
	case VM_END_SOURCE:
		break;
	}
	return EXEC_FAILED;
}

void exec_outcome_finish(struct exec_outcome *outcome)
{
	free(outcome->console);
	outcome->console = NULL;
}
