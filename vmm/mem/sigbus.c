/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SIGBUS handler. Handlers have no context argument, so it uses the only
 * variable of this file: the watch, stored with release order after everything
 * it points to, and loaded by the handler with acquire order.
 */
#include "vmm/mem/sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/log.h"

static struct {
	_Atomic(const struct sigbus_watch *) watch;
	struct sigaction before;
	uint64_t page_bytes; /* the host's */
} guarded;

/* Stores the guest physical address of @hva; false: not in guest memory. */
static bool find_gpa(const struct memory *memory, const void *hva, gpa_t *gpa)
{
	uintptr_t at = (uintptr_t)hva;

	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->regions[i];
		uintptr_t base = (uintptr_t)region->hva;

		if (at >= base && at - base < region->size_bytes) {
			*gpa = region->gpa + (at - base);
			return true;
		}
	}
	return false;
}

/* Restores the previous action: the signal recurs on return. */
static void pass_on(const siginfo_t *info)
{
	sigaction(SIGBUS, &guarded.before, NULL);
	if (info->si_code <= 0)
		raise(SIGBUS);
}

/* Maps a zero page at @hva, so that the access completes. */
static bool put_zeros(void *hva)
{
	void *page = (void *)((uintptr_t)hva & ~(guarded.page_bytes - 1));

	return mmap(page, guarded.page_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) != MAP_FAILED;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	const struct sigbus_watch *watch =
		atomic_load_explicit(&guarded.watch, memory_order_acquire);
	int saved = errno;
	gpa_t gpa;

	(void)sig;
	(void)context;
	if (watch && info->si_code > 0 &&
	    find_gpa(watch->memory, info->si_addr, &gpa)) {
		watch->lost(watch->ctx, gpa);
		if (!put_zeros(info->si_addr))
			pass_on(info);
	} else {
		pass_on(info);
	}
	errno = saved;
}

int sigbus_watch(const struct sigbus_watch *watch)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	guarded.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	atomic_store_explicit(&guarded.watch, watch, memory_order_release);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, &guarded.before) < 0) {
		sigbus_unwatch();
		return log_errno(errno, "SIGBUS");
	}
	return 0;
}

/* The handler stays installed, as another one may have replaced it since. */
void sigbus_unwatch(void)
{
	atomic_store_explicit(&guarded.watch, NULL, memory_order_release);
}
