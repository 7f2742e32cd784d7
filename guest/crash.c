/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that ends badly.  how=fault (the default): nothing can run on; trap:
 * an unhandled exception; jump: it runs where no memory is.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"

/* Where neither machine has memory nor a device: below 4 GiB, 1 GiB. */
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
