/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw ctl`: a client of a control socket.  Main thread. */
#include "vmm/cli/ctl.h"

#include <stdio.h>

#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/ctl/ctl.h"

static const struct option_spec spec = {
	.command = "thaw ctl",
	.operands = "SOCKET VERB [ARGUMENT]...",
	.about = "Send a command to the VM whose control socket is SOCKET; the "
		 "reply is JSON.\n\n"
		 "Verbs:\n"
		 "  status        state of the VM\n"
		 "  stats         statistics of its memory, disks and shares\n"
		 "  pause         pause the guest\n"
		 "  resume        resume a paused guest\n"
		 "  snapshot [--stop] [--pause] [--base=NAME] [--disks=copy]\n"
		 "           [--rate=SIZE] [--accept-stale] [--fsverity] "
		 "[--progress] DIR\n"
		 "                save the guest to DIR\n"
		 "  power-button  press the guest's power button\n"
		 "  retry         read unavailable pages again\n"
		 "  quit          end the VM",
	.operands_min = 2,
	.operands_max = OPTION_LIST_MAX,
	.operands_last = true,
};

/* Sends the verb and its arguments as one line. */
int ctl_main(int argc, char **argv)
{
	struct option_operands operands;
	int status;
	char line[CTL_LINE_BYTES] = "";
	size_t at = 0;

	status = exit_after_options(
		option_parse(&spec, argc, argv, NULL, &operands));
	if (status >= 0)
		return status;
	for (unsigned int i = 1; i < operands.count && at < sizeof(line); i++)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%s",
				       i > 1 ? " " : "", operands.values[i]);
	if (at >= sizeof(line)) {
		log_error("ctl: the arguments are too long");
		return EXIT_USAGE;
	}
	return ctl_ask(operands.values[0], line, NULL, stdout) < 0 ? EXIT_HOST :
								     EXIT_DONE;
}
