// SPDX-License-Identifier: BSD-2-Clause
/*
 * Userfault together with dirty logging, in every order, and the large pages
 * that may come back when neither needs small ones.  guest_memfd slots have
 * neither.
 */
#include <string.h>

#include "cases.h"

#define TAG 0x3344556600000000ULL
#define LOG UF_MEM_LOG_DIRTY
#define UF  UF_MEM_USERFAULT

/* A machine whose slot is absent but for page 0, and starts with `flags`. */
static void machine_start(struct machine *m, enum kind kind, uint32_t flags)
{
	machine_init(m, kind, 1);
	pages_fill(m, TAG);
	bits_set_all(m);
	bit_clear(m, 0);
	slot_set(m, flags);
}

/* Page `page` is absent: touched, filled, touched again. */
static void absent_then_filled(struct machine *m, unsigned long page)
{
	struct vcpu *v = &m->vcpus[0];

	vcpu_call(v, guest_load, page_gva(page), 0, 0, 0);
	expect_fault(v, page);
	vcpu_call(v, guest_store, page_gva(page) + 8, TAG, 0, 0);
	expect_fault(v, page);
	bit_clear(m, page);
	vcpu_call(v, guest_load, page_gva(page), 0, 0, 0);
	expect_done(v, TAG + page);
}

/* Write to page `page`, which is there. */
static void write_page(struct machine *m, unsigned long page)
{
	struct vcpu *v = &m->vcpus[0];
	struct stop s;

	vcpu_call(v, guest_store, page_gva(page) + 8, TAG, 0, 0);
	s = vcpu_run(v);
	if (!s.done)
		fail("want a store to page %lu to end: %s", page,
		     stop_text(&s));
}

/* The log holds exactly the one page `page`, or nothing (NO_PAGE). */
#define NO_PAGE TEST_PAGES
static void expect_dirty(struct machine *m, unsigned long page)
{
	unsigned long log[TEST_PAGES / 64], i;

	dirty_log(m, log);
	for (i = 0; i < TEST_PAGES; i++) {
		bool is = log[i / 64] >> i % 64 & 1;

		if (is != (i == page))
			fail("page %lu is%s in the dirty log", i,
			     is ? "" : " not");
	}
}

/* Both are on: absent pages exit, and only what is written gets dirty. */
static void both_on(struct machine *m, unsigned long page)
{
	unsigned long log[TEST_PAGES / 64];
	struct vcpu *v = &m->vcpus[0];

	absent_then_filled(m, page);
	dirty_log(m, log);
	vcpu_call(v, guest_load, page_gva(page), 0, 0, 0);
	expect_done(v, TAG + page);
	expect_dirty(m, NO_PAGE);
	write_page(m, page);
	expect_dirty(m, page);
	vcpu_call(v, guest_load, page_gva(page + 1), 0, 0, 0);
	expect_fault(v, page + 1);
}

/* Only userfault is on. */
static void userfault_on(struct machine *m, unsigned long page)
{
	absent_then_filled(m, page);
	write_page(m, page);
	vcpu_call(&m->vcpus[0], guest_load, page_gva(page + 1), 0, 0, 0);
	expect_fault(&m->vcpus[0], page + 1);
}

/* Only the log is on. */
static void log_on(struct machine *m, unsigned long page)
{
	unsigned long log[TEST_PAGES / 64];

	dirty_log(m, log);
	write_page(m, page);
	expect_dirty(m, page);
	write_page(m, page + 2);
	expect_dirty(m, page + 2);
}

/* Both are off: nothing stops anywhere. */
static void both_off(struct machine *m)
{
	struct vcpu *v = &m->vcpus[0];

	vcpu_call(v, guest_sweep, page_gva(0), TEST_PAGES, TAG, 0);
	expect_done(v, 0);
}

/* The log is on already when userfault comes. */
void case_dirty_then_userfault(enum kind kind)
{
	struct machine m;

	machine_start(&m, kind, LOG);
	log_on(&m, 0);
	slot_set(&m, LOG | UF);
	both_on(&m, 2);
	slot_set(&m, LOG);
	log_on(&m, 4);
	slot_set(&m, LOG | UF);
	both_on(&m, 8);
	slot_set(&m, 0);
	both_off(&m);
}

/* Userfault is on already when the log comes, as in a live migration. */
void case_userfault_then_dirty(enum kind kind)
{
	struct machine m;

	machine_start(&m, kind, UF);
	userfault_on(&m, 2);
	slot_set(&m, LOG | UF);
	both_on(&m, 4);
	slot_set(&m, UF);
	userfault_on(&m, 8);
	slot_set(&m, LOG | UF);
	both_on(&m, 12);
	slot_set(&m, 0);
	both_off(&m);
}

/* Both at once, off for on and on for off. */
void case_dirty_together(enum kind kind)
{
	struct machine m;

	machine_start(&m, kind, 0);
	both_off(&m);
	slot_set(&m, LOG | UF);
	both_on(&m, 2);
	slot_set(&m, 0);
	both_off(&m);
	slot_set(&m, LOG);
	log_on(&m, 4);
	slot_set(&m, UF);
	userfault_on(&m, 8);
	slot_set(&m, LOG);
	log_on(&m, 12);
}

/* The log goes off while userfault stays on: that must create no large page. */
void case_dirty_off_first(enum kind kind)
{
	struct machine m;
	struct vcpu *v = &m.vcpus[0];

	machine_start(&m, kind, UF);
	slot_set(&m, LOG | UF);
	vcpu_call(v, guest_load, page_gva(0), 0, 0, 0);
	expect_done(v, TAG);
	write_page(&m, 0);
	slot_set(&m, UF);
	vcpu_call(v, guest_load, page_gva(1), 0, 0, 0);
	expect_fault(v, 1);
	vcpu_call(v, guest_load, page_gva(511), 0, 0, 0);
	expect_fault(v, 511);
	userfault_on(&m, 4);
	slot_set(&m, 0);
	both_off(&m);
}

/* Userfault goes off while the log stays on: the log stays exact. */
void case_userfault_off_first(enum kind kind)
{
	struct machine m;

	machine_start(&m, kind, UF);
	userfault_on(&m, 2);
	slot_set(&m, LOG | UF);
	both_on(&m, 4);
	slot_set(&m, LOG);
	log_on(&m, 4);
	log_on(&m, 20);
	slot_set(&m, 0);
	both_off(&m);
}

/* Large pages: none while userfault is on, some again when it is off. */
void case_large_pages(enum kind kind)
{
	struct machine m;

	if (!arch_large_pages_return)
		skip("small pages stay small on this architecture");
	machine_start(&m, kind, 0);
	both_off(&m);
	if (!vm_stat(&m, "pages_2m"))
		skip("the host gave no large pages");
	bits_clear_all(&m);
	slot_set(&m, UF);
	if (vm_stat(&m, "pages_2m"))
		fail("large pages are mapped when userfault is on");
	both_off(&m);
	if (vm_stat(&m, "pages_2m"))
		fail("large pages were mapped while userfault is on");
	slot_set(&m, 0);
	both_off(&m);
	if (!vm_stat(&m, "pages_2m"))
		fail("no large page after userfault went off");
	both_off(&m);
}

/* The same with a dirty log that outlives userfault, and one that does not. */
void case_large_pages_after_dirty(enum kind kind)
{
	struct machine m;

	if (!arch_large_pages_return)
		skip("small pages stay small on this architecture");
	machine_start(&m, kind, 0);
	both_off(&m);
	if (!vm_stat(&m, "pages_2m"))
		skip("the host gave no large pages");
	bits_clear_all(&m);

	slot_set(&m, UF);
	both_off(&m);
	slot_set(&m, LOG | UF);
	slot_set(&m, LOG);
	both_off(&m);
	if (vm_stat(&m, "pages_2m"))
		fail("large pages are mapped while the dirty log is on");
	slot_set(&m, 0);
	both_off(&m);
	if (!vm_stat(&m, "pages_2m"))
		fail("no large page after userfault, then the log went off");

	slot_set(&m, LOG | UF);
	both_off(&m);
	slot_set(&m, UF);
	both_off(&m);
	if (vm_stat(&m, "pages_2m"))
		fail("large pages are mapped after the log went off alone");
	slot_set(&m, 0);
	both_off(&m);
	if (!vm_stat(&m, "pages_2m"))
		fail("no large page after the log, then userfault went off");
}
