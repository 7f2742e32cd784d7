// SPDX-License-Identifier: BSD-2-Clause
/*
 * Changes of the slot: the flag off and on, its pointer, what a guest_memfd
 * slot allows, and what becomes of its binding.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cases.h"

#define TAG   0x2233445500000000ULL
#define OTHER 0x6655443300000000ULL

/* Run `code` on one page, from the start, to its end. */
static void load_done(struct vcpu *v, unsigned long page, uint64_t tag)
{
	vcpu_call(v, guest_load, page_gva(page), 0, 0, 0);
	expect_done(v, tag + page);
}

/* Touch one page, and expect it absent. */
static void load_fault(struct vcpu *v, unsigned long page)
{
	vcpu_call(v, guest_load, page_gva(page), 0, 0, 0);
	expect_fault(v, page);
}

/* Off: the bits mean nothing.  On again: they do, for mapped pages too. */
void case_off_on(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	int round;

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	bits_set_all(&m);
	slot_set(&m, UF_MEM_USERFAULT);
	for (round = 0; round < 4; round++) {
		load_fault(v, 20);
		slot_set(&m, 0);
		load_done(v, 20, TAG);
		load_done(v, 21, TAG);
		load_done(v, 600, TAG);
		slot_set(&m, UF_MEM_USERFAULT);
		load_fault(v, 21);
		load_fault(v, 600);
	}
}

/* On for the first time when the guest has run, with all its pages mapped. */
void case_on_later(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	slot_set(&m, 0);
	vcpu_call(v, guest_sweep, page_gva(0), TEST_PAGES, TAG, 0);
	expect_done(v, 0);
	vcpu_call(v, guest_load, arch_small_va, 0, 0, 0);
	expect_done(v, TAG);

	bits_set_all(&m);
	bit_clear(&m, 30);
	slot_set(&m, UF_MEM_USERFAULT);
	load_done(v, 30, TAG);
	load_fault(v, 31);
	load_fault(v, 0);
	vcpu_call(v, guest_load, arch_small_va, 0, 0, 0);
	expect_fault(v, 0);
	load_fault(v, TEST_PAGES - 1);
}

/* The same flags with another bitmap: success, and no effect. */
void case_same_flags(enum kind kind)
{
	static unsigned long clear[TEST_PAGES / 64];
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	int r;

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	bits_set_all(&m);
	slot_set(&m, UF_MEM_USERFAULT);
	load_fault(v, 11);
	r = slot_try(&m, UF_MEM_USERFAULT, clear);
	if (r)
		fail("the same flags, a new bitmap: %s", strerror(-r));
	load_fault(v, 11);
	load_fault(v, 12);

	slot_set(&m, 0);
	r = slot_try(&m, UF_MEM_USERFAULT, clear);
	if (r)
		fail("off and on with a new bitmap: %s", strerror(-r));
	load_done(v, 12, TAG);
	clear[0] = 1UL << 13;
	load_fault(v, 13);
}

/* A bit set behind a mapping waits until the flag goes off and on. */
void case_set_bit_late(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	slot_set(&m, UF_MEM_USERFAULT);
	vcpu_call(v, guest_store, page_gva(50) + 8, 1, 0, 0);
	vcpu_run(v);
	bit_set(&m, 50);
	bit_set(&m, 51);
	load_done(v, 50, TAG);
	load_fault(v, 51);
	slot_set(&m, 0);
	slot_set(&m, UF_MEM_USERFAULT);
	load_fault(v, 50);
}

/* Every change that a guest_memfd slot refuses, each alone, from `base`. */
static void memfd_refusals(struct machine *m, const struct uf_region *base,
			   int other)
{
	struct uf_region r;

	/* Change slot parameter `what` only, and expect EINVAL. */
#define REFUSED(what, value)                                             \
	do {                                                             \
		r = *base;                                               \
		r.what = (value);                                        \
		if (!ioctl(m->vm, UF_SET_REGION, &r) || errno != EINVAL) \
			fail("a change to " #what " = " #value           \
			     ": want EINVAL");                           \
	} while (0)

	REFUSED(guest_phys_addr, TEST_GPA + TEST_BYTES);
	REFUSED(memory_size, TEST_BYTES / 2);
	REFUSED(userspace_addr, base->userspace_addr + PAGE_BYTES);
	REFUSED(flags, UF_MEM_USERFAULT);
	REFUSED(flags, 0);
	REFUSED(flags, base->flags | UF_MEM_LOG_DIRTY);
	REFUSED(flags, base->flags | UF_MEM_READONLY);
	REFUSED(guest_memfd, (uint32_t)other);
	REFUSED(guest_memfd, (uint32_t)m->vm);
	REFUSED(guest_memfd_offset, PAGE_BYTES);
#undef REFUSED
}

/* What a guest_memfd slot must refuse, as before it knew userfault. */
void case_fixed(enum kind kind)
{
	struct uf_guest_memfd more = {
		.size = TEST_BYTES,
		.flags = UF_MEMFD_MMAP | UF_MEMFD_INIT_SHARED,
	};
	struct uf_region base = {
		.slot = TEST_SLOT,
		.guest_phys_addr = TEST_GPA,
		.memory_size = TEST_BYTES,
	};
	struct machine m;
	int other;

	machine_init(&m, kind, 1);
	base.userspace_addr = (uintptr_t)m.mem;
	base.guest_memfd = (uint32_t)m.memfd;
	base.userfault_bitmap = (uintptr_t)m.bitmap;
	other = ioctl(m.vm, UF_CREATE_MEMFD, &more);
	if (other < 0)
		fail("create another guest_memfd: %s", strerror(errno));

	/* Both changes: from off to on, and from on to off. */
	slot_set(&m, 0);
	base.flags = UF_MEM_MEMFD | UF_MEM_USERFAULT;
	memfd_refusals(&m, &base, other);
	slot_set(&m, UF_MEM_USERFAULT);
	base.flags = UF_MEM_MEMFD;
	memfd_refusals(&m, &base, other);

	pages_fill(&m, TAG);
	load_done(&m.vcpus[0], 3, TAG);
}

/*
 * The memory of a guest_memfd slot is the same after each change of its flags,
 * for faults and for the invalidation of what they mapped.
 */
void case_binding(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	unsigned long page;

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	slot_set(&m, 0);
	load_done(v, 0, TAG);
	for (page = 1; page < 9; page += 2) {
		slot_set(&m, UF_MEM_USERFAULT);
		load_done(v, page, TAG);
		slot_set(&m, 0);
		load_done(v, page, TAG);
		load_done(v, page + 1, TAG);
	}

	/* Only a slot that the file knows loses what is punched out of it. */
	if (fallocate(m.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      4 * PAGE_BYTES, PAGE_BYTES))
		fail("punch a hole: %s", strerror(errno));
	vcpu_call(v, guest_load, page_gva(4), 0, 0, 0);
	expect_done(v, 0);
	load_done(v, 5, TAG);
}

/* Deleted and made again, with the flag and without. */
void case_recreate(enum kind kind)
{
	struct uf_region gone = { .slot = TEST_SLOT };
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	int i;

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	bits_set_all(&m);
	for (i = 0; i < 4; i++) {
		slot_set(&m, i & 1 ? UF_MEM_USERFAULT : 0);
		slot_set(&m, UF_MEM_USERFAULT);
		load_fault(v, 8);
		slot_set(&m, 0);
		load_done(v, 8, TAG);
		if (ioctl(m.vm, UF_SET_REGION, &gone))
			fail("delete the slot: %s", strerror(errno));
	}
}

/* A guest_memfd that is closed is an error, and not a userfault. */
void case_closed(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	struct stop s;

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	slot_set(&m, 0);
	slot_set(&m, UF_MEM_USERFAULT);
	load_done(v, 1, TAG);
	if (munmap(m.mem, TEST_BYTES) || close(m.memfd))
		fail("close the guest_memfd: %s", strerror(errno));
	vcpu_call(v, guest_load, page_gva(1), 0, 0, 0);
	s = vcpu_run(v);
	if (s.ret != -1 || s.err != EFAULT ||
	    s.reason != UF_EXIT_MEMORY_FAULT || s.fault.flags)
		fail("want a memory fault without flags: %s", stop_text(&s));
	if (slot_try(&m, 0, m.bitmap) != -EINVAL &&
	    slot_try(&m, 0, m.bitmap) != -EBADF)
		fail("the slot of a closed guest_memfd can still change");
}

/* A read-only slot stops its readers like any other. */
void case_read_only(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	bits_set_all(&m);
	slot_set(&m, UF_MEM_READONLY | UF_MEM_USERFAULT);
	load_fault(v, 8);
	bit_clear(&m, 8);
	load_done(v, 8, TAG);
	slot_set(&m, UF_MEM_READONLY);
	load_done(v, 9, TAG);
	bit_set(&m, 8);
	slot_set(&m, UF_MEM_READONLY | UF_MEM_USERFAULT);
	load_fault(v, 8);
	load_fault(v, 9);
}

/* A slot that moves takes its bits along: bit 0 is its first page. */
void case_move(enum kind kind)
{
	struct uf_region r = {
		.slot = TEST_SLOT,
		.flags = UF_MEM_USERFAULT,
		.guest_phys_addr = TEST_GPA + 64 * PAGE_BYTES,
		.memory_size = TEST_BYTES,
	};
	struct machine m;
	struct vcpu *v = &m.vcpus[0];

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	bits_set_all(&m);
	slot_set(&m, UF_MEM_USERFAULT);
	load_fault(v, 100);
	bit_clear(&m, 100);
	load_done(v, 100, TAG);
	r.userspace_addr = (uintptr_t)m.mem;
	r.userfault_bitmap = (uintptr_t)m.bitmap;
	if (ioctl(m.vm, UF_SET_REGION, &r))
		fail("move the slot: %s", strerror(errno));
	vcpu_call(v, guest_load, page_gva(164), 0, 0, 0);
	expect_done(v, TAG + 100);
	load_fault(v, 163);
}
