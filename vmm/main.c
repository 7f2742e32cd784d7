/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/cli/command.h"

int main(int argc, char **argv)
{
	return command_main(argc, argv);
}
