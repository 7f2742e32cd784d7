/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM whose memory is the snapshot's file, mapped (--pager=map).
 *
 * The kernel pages it, so no checksum is verified, and the file must not change:
 * truncation removes its pages, including those that the guest has written to,
 * and writes to it become visible to the guest.  Both are found by whichever
 * comes first: inotify, in the event loop; the populator, before an access of
 * this program; SIGBUS, during one; KVM, which fails to enter the guest.  The
 * VM then ends as for any unavailable page.
 *
 * Main thread opens and closes it; the other functions are for any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/bus/loop.h"
#include "vmm/snap/file.h"
#include "vmm/vm/private.h"

/* How long vCPUs may take to leave the guest before a lost page is replaced. */
#define LEAVE_POLLS   200
#define LEAVE_POLL_NS (1000 * 1000)

/* Whether the file has been truncated below the size of RAM. */
static bool is_shorter(const struct vm *vm)
{
	const struct snap_file *file = vm->config.snapshot;
	struct stat st;

	return fstat(file->memory_fd, &st) == 0 &&
	       (uint64_t)st.st_size < file->memory_bytes;
}

/* Whether the file was written to; inotify reports it once. */
static bool is_written(struct vm *vm)
{
	char events[4096];

	if (vm->mapped.watch_fd >= 0 &&
	    read(vm->mapped.watch_fd, events, sizeof(events)) > 0)
		atomic_store(&vm->mapped.written, true);
	return atomic_load(&vm->mapped.written);
}

/* Reports why memory at @gpa is lost, once, and ends the VM. */
static void lose(struct vm *vm, gpa_t gpa)
{
	const char *path = vm->config.snapshot->path;

	if (vm_get_end(vm).kind != VM_END_NONE ||
	    atomic_exchange(&vm->mapped.reported, true))
		return;
	if (is_shorter(vm))
		log_error("%s/%s: was truncated while a guest was running from "
			  "it (--pager=map), so guest memory is lost",
			  path, SNAP_MEMORY_NAME);
	else if (is_written(vm))
		log_error(
			"%s/%s: was written to while a guest was running from "
			"it (--pager=map), so guest memory cannot be trusted",
			path, SNAP_MEMORY_NAME);
	else
		log_error("%s/%s: the page of guest address %#llx cannot be "
			  "read (--pager=map)",
			  path, SNAP_MEMORY_NAME, (unsigned long long)gpa);
	vm_end(vm, VM_END_SOURCE, 0);
}

bool vm_mapped_check(struct vm *vm)
{
	if (!vm->mapped.open || (!is_shorter(vm) && !is_written(vm)))
		return false;
	lose(vm, 0);
	return true;
}

bool vm_mapped_fault(struct vm *vm, gpa_t gpa)
{
	if (vm->mapped.open)
		lose(vm, gpa);
	return vm->mapped.open;
}

/* The inotify descriptor is readable.  Loop thread. */
static void on_watch(void *ctx, uint32_t events)
{
	struct vm *vm = ctx;

	(void)events;
	vm_mapped_check(vm);
}

/* The populator.  -EIO: memory is lost. */
static int on_access(void *ctx, gpa_t gpa, uint64_t len_bytes)
{
	struct vm *vm = ctx;

	(void)len_bytes;
	if (!is_shorter(vm))
		return 0;
	lose(vm, gpa);
	return -EIO;
}

/* Whether all vCPU threads but this one have ended. */
static bool others_have_left(struct vm *vm)
{
	bool left = true;

	pthread_mutex_lock(&vm->lock);
	for (unsigned int i = 0; vm->vcpus && i < vm->machine.cpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		if (vcpu->started && !atomic_load(&vcpu->left) &&
		    !pthread_equal(vcpu->thread, pthread_self()))
			left = false;
	}
	pthread_mutex_unlock(&vm->lock);
	return left;
}

/*
 * SIGBUS in an access of this program, which continues with zeros.  The guest must
 * not see them, so the vCPUs leave it first; one that does not waits for the
 * loop, which may be this thread, and is not in the guest either.
 */
static void on_sigbus(void *ctx, gpa_t gpa)
{
	static const struct timespec poll = { .tv_nsec = LEAVE_POLL_NS };
	struct vm *vm = ctx;

	lose(vm, gpa);
	for (int i = 0; i < LEAVE_POLLS && !others_have_left(vm); i++)
		nanosleep(&poll, NULL);
}

/* Adds the inotify watch; without one, accesses find the change. */
static void watch(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 vm->config.snapshot->memory_fd);
	mapped->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (mapped->watch_fd < 0 ||
	    inotify_add_watch(mapped->watch_fd, path, IN_MODIFY) < 0 ||
	    loop_add(vm->loop, &mapped->source, mapped->watch_fd, EPOLLIN,
		     on_watch, vm) < 0)
		log_info("%s/%s: inotify watch failed",
			 vm->config.snapshot->path, SNAP_MEMORY_NAME);
}

/* Memory is mapped, and the loop does not run yet. */
int vm_mapped_open(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;

	mapped->open = true;
	watch(vm);
	vm->machine.memory.populator =
		(struct memory_populator){ .populate = on_access, .ctx = vm };
	mapped->sigbus = (struct sigbus_watch){ .memory = &vm->machine.memory,
						.lost = on_sigbus,
						.ctx = vm };
	return sigbus_watch(&mapped->sigbus);
}

/* The loop and the vCPU threads have ended. */
void vm_mapped_close(struct vm *vm)
{
	if (!vm->mapped.open)
		return;
	sigbus_unwatch();
	if (vm->mapped.watch_fd >= 0)
		close(vm->mapped.watch_fd);
	vm->mapped.open = false;
}
