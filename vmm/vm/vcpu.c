/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vCPU threads.
 *
 * A thread loops: check the phase (park while paused, leave at the end), enter
 * the guest, handle the exit.  Another thread changes the phase and sends the
 * kick signal; the handler sets immediate_exit in the run page, so a kick just
 * before KVM_RUN is not lost.  The thread clears immediate_exit before it checks
 * the phase, never after.
 *
 * An exit for port or memory-mapped I/O is only finished inside the next
 * KVM_RUN.  So before a vCPU parks it enters with immediate_exit set until that
 * returns EINTR; only then are its registers complete.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/base/clock.h"
#include "vmm/base/thread.h"
#include "vmm/vm/private.h"

/* Enters the guest once, and handles the exit. */
static void enter(struct vcpu *vcpu)
{
	int r = kvm_vcpu_run(vcpu->cpu);

	vcpu->unfinished = false;
	/* At the end the exit may be due to memory that is no longer there. */
	if (atomic_load(&vcpu->vm->phase) == VM_PHASE_END)
		return;
	if (r != -EINTR && r != -EAGAIN)
		vcpu_handle_exit(vcpu, r);
}

/* Completes an I/O exit, which KVM does at the next entry. */
static void finish_exit(struct vcpu *vcpu)
{
	while (vcpu->unfinished &&
	       atomic_load(&vcpu->vm->phase) != VM_PHASE_END) {
		vcpu->cpu->run->immediate_exit = 1;
		enter(vcpu);
	}
}

static void park(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	finish_exit(vcpu);
	pthread_mutex_lock(&vm->lock);
	vcpu->parked = true;
	pthread_cond_broadcast(&vm->changed);
	while (atomic_load(&vm->phase) == VM_PHASE_PAUSED)
		pthread_cond_wait(&vm->changed, &vm->lock);
	vcpu->parked = false;
	pthread_mutex_unlock(&vm->lock);
}

/* Whether to enter the guest; while paused, parks first. */
static bool may_enter(struct vcpu *vcpu)
{
	for (;;) {
		vcpu->cpu->run->immediate_exit = 0;
		atomic_signal_fence(memory_order_seq_cst);
		switch (atomic_load(&vcpu->vm->phase)) {
		case VM_PHASE_RUN:
			return true;
		case VM_PHASE_END:
			return false;
		case VM_PHASE_PAUSED:
			park(vcpu);
		}
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	uint64_t none = 0;

	thread_set_kick_flag(&vcpu->cpu->run->immediate_exit);
	atomic_compare_exchange_strong(&vcpu->vm->entered_ns, &none,
				       clock_now_ns());
	while (may_enter(vcpu))
		enter(vcpu);
	pthread_mutex_lock(&vcpu->vm->lock);
	atomic_store(&vcpu->left, true);
	pthread_cond_broadcast(&vcpu->vm->changed);
	pthread_mutex_unlock(&vcpu->vm->lock);
	return NULL;
}

int vcpus_create(struct vm *vm)
{
	struct machine *m = &vm->machine;
	unsigned int n = vm->config.cpu_count;
	int r = arch_irqchip_create(m);

	if (r < 0)
		return r;
	m->cpus = calloc(n, sizeof(m->cpus[0]));
	vm->vcpus = calloc(n, sizeof(vm->vcpus[0]));
	if (!m->cpus || !vm->vcpus)
		return log_errno(ENOMEM, "vCPUs");
	m->cpu_count = n;
	for (unsigned int i = 0; i < n; i++) {
		vm->vcpus[i] = (struct vcpu){ .vm = vm, .cpu = &m->cpus[i] };
		r = kvm_vcpu_create(&m->cpus[i], &m->vm, i);
		if (r < 0)
			return r;
		r = arch_vcpu_setup(m, &m->cpus[i]);
		if (r < 0)
			return r;
	}
	return arch_irqchip_finish(m);
}

static int start_one(struct vcpu *vcpu)
{
	char name[16];
	int r;

	snprintf(name, sizeof(name), "vcpu%u", vcpu->cpu->id);
	r = thread_start(&vcpu->thread, name, vcpu_thread, vcpu);
	return r < 0 ? log_errno(-r, "thread of vCPU %u", vcpu->cpu->id) : 0;
}

int vcpus_start(struct vm *vm)
{
	int r = 0;

	pthread_mutex_lock(&vm->lock);
	for (unsigned int i = 0; r == 0 && i < vm->machine.cpu_count; i++) {
		r = start_one(&vm->vcpus[i]);
		vm->vcpus[i].started = r == 0;
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}

/* Whether all threads have left the guest; the lock is held. */
static bool all_left(const struct vm *vm)
{
	for (unsigned int i = 0; vm->vcpus && i < vm->machine.cpu_count; i++)
		if (vm->vcpus[i].started && !atomic_load(&vm->vcpus[i].left))
			return false;
	return true;
}

void vcpus_wait(struct vm *vm, uint64_t ns)
{
	const struct timespec until = clock_timespec(clock_now_ns() + ns);

	pthread_mutex_lock(&vm->lock);
	while (!all_left(vm))
		if (pthread_cond_timedwait(&vm->changed, &vm->lock, &until))
			break;
	pthread_mutex_unlock(&vm->lock);
}

void vcpus_join(struct vm *vm)
{
	for (unsigned int i = 0; vm->vcpus && i < vm->machine.cpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		if (!vcpu->started)
			continue;
		pthread_join(vcpu->thread, NULL);
		pthread_mutex_lock(&vm->lock);
		vcpu->started = false;
		pthread_mutex_unlock(&vm->lock);
	}
}
