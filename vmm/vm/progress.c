/* SPDX-License-Identifier: BSD-2-Clause */
/* The progress of a save, and whether it must end.  Control thread. */
#include <errno.h>

#include "vmm/vm/private.h"

int vm_save_check_end(const struct vm *vm)
{
	return atomic_load(&vm->phase) == VM_PHASE_END ?
		       log_fail(ECANCELED, "snapshot: the VM has ended") :
		       0;
}

int vm_save_report(const struct vm *vm, const struct vm_save_options *options,
		   uint64_t done, uint64_t of)
{
	const struct vm_progress *progress = options->progress;
	int r = vm_save_check_end(vm);

	if (r < 0)
		return r;
	if (progress && !progress->tell(progress->ctx, done, of))
		return log_fail(ECANCELED, "snapshot: cancelled");
	return 0;
}
