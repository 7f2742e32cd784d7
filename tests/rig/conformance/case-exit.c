// SPDX-License-Identifier: BSD-2-Clause
/*
 * What stops a vCPU, and what the exit says.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cases.h"

#define TAG   0x1122334400000000ULL
#define STALE 0x5714e00000000000ULL

/* Whether the hardware walks two sets of page tables; not so: shadow paging. */
static bool two_dimensional(void)
{
	return kvm_param("npt", true) && kvm_param("ept", true);
}

/* A machine with one vCPU, whose slot is all absent, and holds `tag`. */
static void machine_absent(struct machine *m, enum kind kind, uint64_t tag)
{
	machine_init(m, kind, 1);
	pages_fill(m, tag);
	bits_set_all(m);
	slot_set(m, UF_MEM_USERFAULT);
}

/* The flag is known to the newer ioctl, and to that one only. */
void case_probe(enum kind kind)
{
	struct kvm_userspace_memory_region old = {
		.slot = TEST_SLOT,
		.flags = UF_MEM_USERFAULT,
		.guest_phys_addr = TEST_GPA,
		.memory_size = TEST_BYTES,
	};
	struct uf_region none = { .slot = TEST_SLOT,
				  .flags = UF_MEM_USERFAULT };
	struct machine m;
	int r;

	machine_init(&m, kind, 0);
	r = slot_try(&m, UF_MEM_USERFAULT, m.bitmap);
	if (r)
		fail("create a slot with KVM_MEM_USERFAULT: %s", strerror(-r));

	old.userspace_addr = (uintptr_t)m.mem;
	old.slot++;
	old.guest_phys_addr += TEST_BYTES;
	if (!ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &old) || errno != EINVAL)
		fail("KVM_SET_USER_MEMORY_REGION takes the flag, want EINVAL");

	none.slot += 2;
	if (!ioctl(m.vm, UF_SET_REGION, &none) || errno != EINVAL)
		fail("deleting an empty slot: want EINVAL");

	if (!slot_try(&m, UF_MEM_USERFAULT | 1U << 15, m.bitmap))
		fail("an unknown flag is taken together with the known ones");
}

/* A load stops before it sees the page, and goes on once it is there. */
void case_read(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];

	machine_absent(&m, kind, STALE);
	vcpu_call(v, guest_load, page_gva(5) + 0x128, 0, 0, 0);
	expect_fault(v, 5);
	page_fill(&m, 5, TAG);
	bit_clear(&m, 5);
	expect_done(v, TAG + 5);

	/* The first and the last page: both ends of the bitmap. */
	vcpu_call(v, guest_load, page_gva(0), 0, 0, 0);
	expect_fault(v, 0);
	vcpu_call(v, guest_load, page_gva(TEST_PAGES) - 8, 0, 0, 0);
	expect_fault(v, TEST_PAGES - 1);
}

/* A store stops before it changes the page. */
void case_write(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];

	machine_absent(&m, kind, STALE);
	vcpu_call(v, guest_store, page_gva(70) + 8, ~TAG, 0, 0);
	expect_fault(v, 70);
	if (((uint64_t *)(void *)(m.mem + 70 * PAGE_BYTES))[1] != STALE + 70)
		fail("the store has changed the page before its exit");
	page_fill(&m, 70, TAG);
	bit_clear(&m, 70);
	vcpu_run(v);
	if (((uint64_t *)(void *)(m.mem + 70 * PAGE_BYTES))[1] != ~TAG)
		fail("the store has not arrived after re-entry");
	if (((uint64_t *)(void *)(m.mem + 70 * PAGE_BYTES))[0] != TAG + 70)
		fail("the store has changed its neighbour");
}

/* An instruction fetch stops as well. */
void case_fetch(enum kind kind)
{
	size_t bytes = (size_t)(guest_snippet_end - guest_snippet);
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	char *to;

	machine_absent(&m, kind, STALE);
	to = (char *)m.mem + 9 * PAGE_BYTES;
	memcpy(to, guest_stale, sizeof(guest_stale));
	__builtin___clear_cache(to, to + sizeof(guest_stale));
	vcpu_call(v, guest_call, page_gva(9), 0, 0, 0);
	expect_fault(v, 9);
	memcpy(to, guest_snippet, bytes);
	__builtin___clear_cache(to, to + bytes);
	bit_clear(&m, 9);
	expect_done(v, SNIPPET_RESULT);
}

/* An access over the end of a page needs both of them. */
void case_crossing(enum kind kind)
{
	unsigned long first, second;
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	struct stop s;

	machine_absent(&m, kind, STALE);
	vcpu_call(v, guest_load, page_gva(64) - 4, 0, 0, 0);
	s = vcpu_run(v);
	first = stop_page(&s);
	if (!stop_is_userfault(&s) || (first != 63 && first != 64))
		fail("want a userfault exit on page 63 or 64: %s",
		     stop_text(&s));
	second = first == 63 ? 64 : 63;
	page_fill(&m, first, TAG);
	bit_clear(&m, first);
	expect_fault(v, second);
	page_fill(&m, second, TAG);
	bit_clear(&m, second);
	expect_done(v, TAG >> 32 | (TAG + 64) << 32);
}

/* The walk of the guest's page tables exits with the address of the table. */
void case_walk(enum kind kind)
{
	static const unsigned long order[] = { WALK_TABLE_1, WALK_TABLE_2,
					       WALK_DATA };
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	size_t i;

	if (!two_dimensional())
		skip("a shadow MMU reads the guest's tables itself");
	machine_init(&m, kind, 1);
	page_fill(&m, WALK_DATA, TAG);
	arch_walk_tables(&m);
	bits_set_all(&m);
	slot_set(&m, UF_MEM_USERFAULT);
	vcpu_call(v, guest_load, arch_walk_va, 0, 0, 0);
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		expect_fault(v, order[i]);
		bit_clear(&m, order[i]);
	}
	expect_done(v, TAG + WALK_DATA);
}

/* What is cleared before the first touch makes no exit at all. */
void case_clear_bit(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	unsigned long page;

	machine_absent(&m, kind, TAG);
	for (page = 100; page < 200; page++)
		bit_clear(&m, page);
	vcpu_call(v, guest_sweep, page_gva(100), 101, TAG + 100, 0);
	expect_fault(v, 200);
	bit_clear(&m, 200);
	expect_done(v, 0);
}

/* Without the bit cleared, each entry ends the same way. */
void case_again(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	int i;

	machine_absent(&m, kind, TAG);
	vcpu_call(v, guest_load, page_gva(300), 0, 0, 0);
	for (i = 0; i < 20; i++)
		expect_fault(v, 300);
	bit_clear(&m, 300);
	expect_done(v, TAG + 300);
}

/* The neighbours of a page that is mapped are not mapped with it. */
static void neighbours(struct machine *m, uint64_t va)
{
	struct vcpu *v = &m->vcpus[0];
	unsigned long page;

	for (page = 3; page < 64; page += 8) {
		bit_clear(m, page);
		vcpu_call(v, guest_load, va + page * PAGE_BYTES, 0, 0, 0);
		expect_done(v, TAG + page);
		vcpu_call(v, guest_load, va + (page + 1) * PAGE_BYTES, 0, 0, 0);
		expect_fault(v, page + 1);
		vcpu_call(v, guest_store, va + (page - 1) * PAGE_BYTES, 0, 0,
			  0);
		expect_fault(v, page - 1);
	}
}

/* So where the guest itself uses large pages ... */
void case_neighbours(enum kind kind)
{
	struct machine m;

	machine_absent(&m, kind, TAG);
	neighbours(&m, page_gva(0));
}

/* ... and where it uses small ones, of which a shadow MMU reads many at once. */
void case_neighbours_small(enum kind kind)
{
	struct machine m;

	machine_absent(&m, kind, TAG);
	neighbours(&m, arch_small_va);
}

/* KVM_PRE_FAULT_MEMORY stops at the first absent page, and says so. */
void case_prefault(enum kind kind)
{
	struct uf_pre_fault range = { .gpa = page_gpa(40),
				      .size = 4 * PAGE_BYTES };
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	struct stop s = { .ret = 0 };
	struct uf_memory_fault *f;

	machine_absent(&m, kind, TAG);
	bit_clear(&m, 40);
	bit_clear(&m, 41);
	if (ioctl(v->fd, UF_PRE_FAULT, &range) &&
	    (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL))
		skip("no KVM_PRE_FAULT_MEMORY here");
	if (range.gpa != page_gpa(42) || range.size != 2 * PAGE_BYTES)
		fail("want progress to page 42: gpa %#llx, size %#llx",
		     (unsigned long long)range.gpa,
		     (unsigned long long)range.size);
	f = (struct uf_memory_fault *)(void *)v->run->padding;
	v->run->exit_reason = SENTINEL_REASON;
	s.ret = ioctl(v->fd, UF_PRE_FAULT, &range);
	s.err = s.ret ? errno : 0;
	s.reason = v->run->exit_reason;
	s.fault = *f;
	if (!stop_is_userfault(&s) || stop_page(&s) != 42)
		fail("want a userfault exit on page 42: %s", stop_text(&s));
}

/*
 * A bitmap that cannot be read fails the entry, at fault time and without an
 * exit; once it can be read all goes on.
 */
void case_bad_bitmap(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];
	struct stop s;
	void *page;
	int i, r;

	machine_init(&m, kind, 1);
	pages_fill(&m, TAG);
	page = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (page == MAP_FAILED)
		fail("map a page: %s", strerror(errno));
	r = slot_try(&m, UF_MEM_USERFAULT, page);
	if (r)
		fail("set a slot with an unreadable bitmap: %s", strerror(-r));
	vcpu_call(v, guest_load, page_gva(7), 0, 0, 0);
	for (i = 0; i < 3; i++) {
		s = vcpu_run(v);
		if (s.ret != -1 || s.err != EFAULT ||
		    s.reason == UF_EXIT_MEMORY_FAULT ||
		    s.fault.flags != SENTINEL_FIELD ||
		    s.fault.gpa != SENTINEL_FIELD)
			fail("want EFAULT and no exit: %s", stop_text(&s));
	}
	if (mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE))
		fail("unprotect a page: %s", strerror(errno));
	memset(page, 0xff, PAGE_BYTES);
	expect_fault(v, 7);
	memset(page, 0, PAGE_BYTES);
	expect_done(v, TAG + 7);
}
