/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM whose memory is mapped from the files of the snapshot and its bases
 * (--pager=map, and userfault where the gate is KVM's bitmap alone).
 *
 * The kernel pages it, so no file may change: truncation removes its pages,
 * including those that the guest has written to, and writes to it become visible
 * to the guest, also in pages that the pager has verified.  Both are found by
 * whichever comes first: inotify, in the event loop; under --pager=map the
 * populator, before an access of this program; SIGBUS, during one; KVM, which
 * fails to enter the guest.  The VM then ends as for any unavailable page.
 *
 * Main thread opens and closes it; the other functions are for any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
static bool is_shorter(const struct snap_file *file)
{
	struct stat st;

	return fstat(file->memory_fd, &st) == 0 &&
	       (uint64_t)st.st_size < file->memory_bytes;
}

/* The first file that has become shorter, or NULL. */
static const struct snap_file *find_shorter(const struct vm *vm)
{
	const struct snap_layout *layout = &vm->mapped.layout;

	for (unsigned int i = 0; i < layout->file_count; i++)
		if (is_shorter(layout->files[i]))
			return layout->files[i];
	return NULL;
}

/* The file of an inotify watch; the first for one of none (an overflow). */
static const struct snap_file *file_of_watch(const struct mapped *mapped,
					     int watch)
{
	for (unsigned int i = 0; i < mapped->layout.file_count; i++)
		if (mapped->watches[i] == watch)
			return mapped->layout.files[i];
	return mapped->layout.files[0];
}

/* A file that was written to, or NULL; inotify reports it once. */
static const struct snap_file *find_written(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;
	/* Aligned for the first event, which is enough. */
	union {
		struct inotify_event event;
		char bytes[4096];
	} read_once;

	if (mapped->watch_fd >= 0 &&
	    read(mapped->watch_fd, &read_once, sizeof(read_once)) > 0)
		atomic_store(&mapped->written,
			     file_of_watch(mapped, read_once.event.wd));
	return atomic_load(&mapped->written);
}

/* The file that @gpa is mapped from; that of the snapshot if it is not. */
static const struct snap_file *file_of(const struct vm *vm, gpa_t gpa)
{
	const struct memory_region *region =
		memory_find(&vm->machine.memory, gpa, 1);
	const struct snap_file *file = NULL;

	if (region)
		file = snap_layout_file(&vm->mapped.layout,
					memory_page(region, gpa));
	return file ? file : vm->config.snapshot;
}

/* Reports why memory at @gpa, 0 if unknown, is lost, once, and ends the VM. */
static void lose(struct vm *vm, gpa_t gpa)
{
	const char *pager = pager_mode_names[vm->pager_choice.mode];
	const struct snap_file *file;

	if (vm_get_end(vm).kind != VM_END_NONE ||
	    atomic_exchange(&vm->mapped.reported, true))
		return;
	if ((file = find_shorter(vm)))
		log_error("%s/%s: was truncated while a guest was running from "
			  "it (--pager=%s), so guest memory is lost",
			  file->path, SNAP_MEMORY_NAME, pager);
	else if ((file = find_written(vm)))
		log_error(
			"%s/%s: was written to while a guest was running from "
			"it (--pager=%s), so guest memory cannot be trusted",
			file->path, SNAP_MEMORY_NAME, pager);
	else if (!gpa)
		log_error("%s/%s: a page cannot be read (--pager=%s)",
			  vm->config.snapshot->path, SNAP_MEMORY_NAME, pager);
	else
		log_error("%s/%s: the page of guest address %#llx cannot be "
			  "read (--pager=%s)",
			  file_of(vm, gpa)->path, SNAP_MEMORY_NAME,
			  (unsigned long long)gpa, pager);
	vm_end(vm, VM_END_SOURCE, 0);
}

bool vm_mapped_check(struct vm *vm)
{
	if (!vm->mapped.open || (!find_shorter(vm) && !find_written(vm)))
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

/*
 * Whether a file that [gpa, gpa + len), of one region, is mapped from has become
 * shorter.  Those of other addresses do not matter to the access.
 */
static bool is_lost(const struct vm *vm, gpa_t gpa, uint64_t len_bytes)
{
	const struct snap_layout *layout = &vm->mapped.layout;
	const struct memory_region *region =
		memory_find(&vm->machine.memory, gpa, len_bytes);
	const struct snap_file *checked = NULL;
	uint64_t first = memory_page(region, gpa);
	uint64_t last = memory_page(region, gpa + len_bytes - 1);
	size_t i = snap_layout_search(layout, first);

	for (; i < layout->part_count && layout->parts[i].first <= last; i++) {
		if (layout->parts[i].file == checked)
			continue;
		checked = layout->parts[i].file;
		if (is_shorter(checked))
			return true;
	}
	return false;
}

/* The populator.  -EIO: memory is lost. */
static int on_access(void *ctx, gpa_t gpa, uint64_t len_bytes)
{
	struct vm *vm = ctx;

	if (!is_lost(vm, gpa, len_bytes))
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

/* Watches a file by inotify; -errno. */
static int watch_file(struct mapped *mapped, unsigned int n)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 mapped->layout.files[n]->memory_fd);
	mapped->watches[n] =
		inotify_add_watch(mapped->watch_fd, path, IN_MODIFY);
	return mapped->watches[n] < 0 ? -errno : 0;
}

/* Watches all files; without that, accesses find the change. */
static void watch(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;
	int r;

	mapped->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r = mapped->watch_fd;
	for (unsigned int i = 0; r >= 0 && i < mapped->layout.file_count; i++)
		r = watch_file(mapped, i);
	if (r < 0 || loop_add(vm->loop, &mapped->source, mapped->watch_fd,
			      EPOLLIN, on_watch, vm) < 0)
		log_info("%s/%s: inotify watch failed",
			 vm->config.snapshot->path, SNAP_MEMORY_NAME);
}

/* Memory is mapped, and the loop does not run yet. */
int vm_mapped_open(struct vm *vm)
{
	struct mapped *mapped = &vm->mapped;

	mapped->open = true;
	watch(vm);
	/* A pager has a populator of its own. */
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
	struct mapped *mapped = &vm->mapped;

	free(mapped->accessed);
	mapped->accessed = NULL;
	if (mapped->open) {
		sigbus_unwatch();
		if (mapped->watch_fd >= 0)
			close(mapped->watch_fd);
		mapped->open = false;
	}
	free(mapped->parts);
	mapped->parts = NULL;
	snap_layout_finish(&mapped->layout);
}
