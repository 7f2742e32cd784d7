/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets the machine. */
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"

void payload_main(struct machine *machine)
{
	(void)machine;
	print("about to reset\n");
	reset();
}
