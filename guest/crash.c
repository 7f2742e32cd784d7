/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes. how=fault (the default): a state in which the processor cannot run;
 * trap: an unhandled exception; jump: a jump to an address without memory.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"

/* Without memory or device on both architectures: below 4 GiB, below 1 GiB. */
#define NOWHERE 0xfffff000

void payload_main(struct machine *machine)
{
	void (*nowhere)(void) = (void (*)(void))(uintptr_t)NOWHERE;

	print("about to crash\n");
	if (arg_is(machine, "how", "trap"))
		__builtin_trap();
	if (arg_is(machine, "how", "jump"))
		nowhere();
	crash();
}
