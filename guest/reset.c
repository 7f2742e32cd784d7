/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that asks for a reset as soon as it runs. */
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"

void payload_main(struct machine *machine)
{
	(void)machine;
	print("about to reset\n");
	reset();
}
