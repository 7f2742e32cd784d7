/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The phase that vCPUs check before each entry, the reason for the end, and the
 * kick.  The other files of vm/ depend on this one, not on each other for these.
 *
 * Any thread; vm->lock guards changes of the phase and of the end.
 */
#include <unistd.h>

#include "vmm/base/thread.h"
#include "vmm/vm/private.h"

void vcpus_kick(struct vm *vm)
{
	for (unsigned int i = 0; vm->vcpus && i < vm->machine.cpu_count; i++)
		if (vm->vcpus[i].started)
			thread_kick(vm->vcpus[i].thread);
}

/* The VM's lock is held, and the VM has not ended. */
static void end_now(struct vm *vm, struct vm_end end)
{
	uint64_t one = 1;

	vm->end = end;
	atomic_store(&vm->phase, VM_PHASE_END);
	if (vm->config.ended)
		vm->config.ended(vm->config.ended_ctx, end);
	pthread_cond_broadcast(&vm->changed);
	vcpus_kick(vm);
	/* No descriptor: creation failed early, and no thread waits. */
	if (write(vm->end_fd, &one, sizeof(one)) < 0)
		log_debug("VM ended before its creation");
}

void vm_end(struct vm *vm, enum vm_end_kind kind, int detail)
{
	pthread_mutex_lock(&vm->lock);
	if (vm->end.kind == VM_END_NONE)
		end_now(vm, (struct vm_end){ kind, detail });
	pthread_mutex_unlock(&vm->lock);
}

void vm_end_asked(struct vm *vm, enum vm_end_kind kind, int detail)
{
	struct vm_end end = { kind, detail };

	pthread_mutex_lock(&vm->lock);
	if (vm->end.kind == VM_END_NONE)
		end_now(vm, end);
	else if (vm->end.kind == VM_END_RESET)
		vm->end = end;
	pthread_mutex_unlock(&vm->lock);
}

struct vm_end vm_get_end(struct vm *vm)
{
	struct vm_end end;

	pthread_mutex_lock(&vm->lock);
	end = vm->end;
	pthread_mutex_unlock(&vm->lock);
	return end;
}

bool vm_is_stalled(const struct vm *vm)
{
	return vm->pager && pager_is_stalled(vm->pager);
}
