/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw probe`: what this host can do for a guest.  Main thread only. */
#include "vmm/cli/probe.h"

#include <stdbool.h>
#include <stddef.h>

#include "vmm/base/bytes.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"

struct probe_options {
	bool json;
	const char *kvm;
};

static const struct option options[] = {
	{
		.kind = OPTION_FLAG,
		.name = "json",
		.offset = offsetof(struct probe_options, json),
		.help = "for programs: one JSON object",
	},
	{
		.kind = OPTION_STRING,
		.name = "kvm",
		.offset = offsetof(struct probe_options, kvm),
		.metavar = "PATH",
		.help = "the KVM device (/dev/kvm)",
	},
};

static const struct option_spec spec = {
	.command = "thaw probe",
	.about = "Tells what this host can do for a guest.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
};

/* The subcommand. */
int probe_main(int argc, char **argv)
{
	struct probe_options values = { .kvm = NULL };

	switch (option_parse(&spec, argc, argv, &values, NULL)) {
	case OPTION_DONE:
		break;
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}
