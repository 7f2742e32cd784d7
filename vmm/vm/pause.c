/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pausing and resuming: vCPUs parked with complete registers, devices quiesced.
 *
 * Control thread; vm_resume() at the start after a restore: main thread.
 */
#include <errno.h>

#include "vmm/base/clock.h"
#include "vmm/base/thread.h"
#include "vmm/vm/private.h"

/*
 * A vCPU leaves the guest within microseconds, unless it is blocked on a page,
 * which may take as long as its source.  Time in which a thread had no processor
 * does not count, up to a minute: the host is busy then.
 */
#define PAUSE_PATIENCE_NS (5 * NS_PER_S)
#define PAUSE_BUSY_NS	  (60 * NS_PER_S)

/* Whether every thread is parked; the lock is held. */
static bool all_parked(const struct vm *vm)
{
	for (unsigned int i = 0; i < vm->machine.cpu_count; i++)
		if (vm->vcpus[i].started && !vm->vcpus[i].parked)
			return false;
	return true;
}

/* Waits until all are parked or the VM ends; the lock is held.  An errno. */
static int wait_parked(struct vm *vm)
{
	const uint64_t first = clock_now_ns() + PAUSE_PATIENCE_NS;
	const uint64_t delay = threads_run_delay_ns();
	uint64_t until = first;

	while (vm->end.kind == VM_END_NONE && !all_parked(vm)) {
		struct timespec t = clock_timespec(until);
		uint64_t now, busy;

		if (pthread_cond_timedwait(&vm->changed, &vm->lock, &t) == 0)
			continue;
		now = threads_run_delay_ns();
		/* A thread that has exited is not in the sum any more. */
		busy = now > delay ? now - delay : 0;
		if (busy > PAUSE_BUSY_NS)
			busy = PAUSE_BUSY_NS;
		if (first + busy <= until)
			return ETIMEDOUT;
		until = first + busy;
	}
	return 0;
}

/* Parks all vCPUs, or none: -ETIMEDOUT, logged, or -ECANCELED at the end. */
static int park_all(struct vm *vm)
{
	int r;

	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->phase) == VM_PHASE_RUN) {
		atomic_store(&vm->phase, VM_PHASE_PAUSED);
		vcpus_kick(vm);
	}
	r = wait_parked(vm);
	if (vm->end.kind != VM_END_NONE) {
		r = ECANCELED;
	} else if (r) {
		atomic_store(&vm->phase, VM_PHASE_RUN);
		pthread_cond_broadcast(&vm->changed);
	}
	pthread_mutex_unlock(&vm->lock);
	if (r == ETIMEDOUT)
		return log_fail(r, "pause: timed out waiting for guest memory");
	return -r;
}

static void unpark_all(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->machine.cpu_count; i++)
		arch_vcpu_resume(&vm->machine.cpus[i]);
	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->phase) == VM_PHASE_PAUSED)
		atomic_store(&vm->phase, VM_PHASE_RUN);
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

/*
 * Starts the guest's clocks from where they stopped.  Under --clock=follow they
 * have not stopped, except for a snapshot.
 */
static int start_clocks(struct vm *vm)
{
	bool follow = vm->config.clock == VM_CLOCK_FOLLOW;

	return follow && !vm->loaded ? 0 :
				       arch_clocks_start(&vm->machine, follow);
}

int vm_check_stall(const struct vm *vm)
{
	/* The loop may be the waiter, and then the devices cannot be quiesced. */
	return vm_is_stalled(vm) ?
		       log_fail(ETIMEDOUT, "pause: a page is unavailable; use "
					   "\"retry\"") :
		       0;
}

int vm_pause(struct vm *vm)
{
	int r;

	if (vm->paused)
		return 0;
	r = vm_check_stall(vm);
	if (r < 0)
		return r;
	r = park_all(vm);
	if (r < 0)
		return r;
	r = arch_clocks_stop(&vm->machine);
	if (r < 0) {
		unpark_all(vm);
		return r;
	}
	r = vm_devices_quiesce(vm);
	if (r < 0) {
		/*
		 * The devices run, and the clocks can only be set while they
		 * raise no interrupt: the guest sees the time of this attempt.
		 */
		unpark_all(vm);
		return r;
	}
	vm->paused = true;
	return 0;
}

/* The clocks come first, while no device can raise an interrupt. */
int vm_resume(struct vm *vm)
{
	int r;

	/* At the end no device is resumed. */
	if (!vm->paused || atomic_load(&vm->phase) == VM_PHASE_END)
		return 0;
	r = start_clocks(vm);
	if (r < 0)
		return r;
	vm->paused = false;
	vm->loaded = false;
	vm_devices_resume(vm);
	unpark_all(vm);
	return 0;
}

bool vm_is_paused(const struct vm *vm)
{
	return vm->paused;
}
