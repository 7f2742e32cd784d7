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

void exec_outcome_finish(struct exec_outcome *outcome)
{
	free(outcome->console);
	outcome->console = NULL;
}
