/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small VM to put one question to the kernel: one slot of its own, which is
 * never absent, one slot under test, one or two vCPUs that run guest routines
 * on request.
 *
 * Every case runs in a process of its own (main.c), so nothing here is freed,
 * and every function ends the case by fail() when the kernel does not do what
 * it must.  Functions of one vCPU are for one thread at a time.
 */
#ifndef CONFORMANCE_MACHINE_H
#define CONFORMANCE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi.h"

#define PAGE_BYTES 4096UL

/* The slot of the machine: guest code, its page tables, stacks, a stop word. */
#define SYS_SLOT   0
#define SYS_GPA	   0UL
#define SYS_BYTES  0x100000UL
#define SYS_CODE   0x1000UL
#define SYS_STACK  0x8000UL /* of vCPU 0; that of vCPU n starts n pages up */
#define SYS_STOP   0xc000UL
#define SYS_TABLES 0x10000UL

/* The slot under test: two large pages, so that a test can distinguish them. */
#define TEST_SLOT  1
#define TEST_GPA   0x40000000UL
#define TEST_PAGES 1024UL
#define TEST_BYTES (TEST_PAGES * PAGE_BYTES)

/* Where the slot under test holds the tables of the window WALK_VA. */
#define WALK_TABLE_1 16UL
#define WALK_TABLE_2 24UL
#define WALK_DATA    32UL

/* A store here ends a guest routine on arm64; no slot is there. */
#define DONE_GPA 0xc0000000UL

/* What stands in kvm_run before an entry, to see what the kernel wrote. */
#define SENTINEL_REASON 0xfeedU
#define SENTINEL_FIELD	0xa5a5a5a5a5a5a5a5ULL

/* The kinds of memory under test. */
enum kind { KIND_ANON, KIND_MEMFD, KINDS };

struct vcpu {
	struct machine *machine;
	int index, fd;
	struct kvm_run *run;
};

struct machine {
	enum kind kind;
	int kvm, vm, memfd;
	uint8_t *sys; /* SYS_BYTES, the host's mapping */
	uint8_t *mem; /* TEST_BYTES, aligned for large pages */
	unsigned long *bitmap; /* a bit a page, whole longs */
	struct vcpu vcpus[2];
};

/* How one entry into the guest ended. */
struct stop {
	int ret, err;
	uint32_t reason;
	struct uf_memory_fault fault;
	bool done; /* the routine has ended, with ... */
	uint64_t result; /* ... this */
};

/* Guest routines, in guest-*.S; each is position independent. */
extern const uint8_t guest_code[], guest_code_end[];
extern const uint8_t guest_load[]; /* (va): the word there */
extern const uint8_t guest_store[]; /* (va, word) */
extern const uint8_t guest_call[]; /* (va): what the code there returns */
extern const uint8_t guest_sweep[]; /* (va, pages, tag): how many are wrong */
extern const uint8_t guest_write[]; /* (va, pages, tag) */
extern const uint8_t guest_spin[]; /* (va, pages, tag, stop va): as sweep */
extern const uint8_t guest_snippet[], guest_snippet_end[], guest_stale[4];
#define SNIPPET_RESULT 0x7a3bU

/* report.c: how a case ends other than by returning. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2))) void skip(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void note(const char *fmt, ...);
/* Whether module parameter `name` is on; `absent` where there is no such. */
bool kvm_param(const char *name, bool absent);

/* machine.c */
void machine_init(struct machine *m, enum kind kind, int vcpus);
/* Set the slot under test: 0 or -errno. */
int slot_try(struct machine *m, uint32_t flags, const void *bitmap);
/* The same with the machine's bitmap, and it must succeed. */
void slot_set(struct machine *m, uint32_t flags);
/* The flags that a slot of this machine's kind cannot do without. */
uint32_t slot_base_flags(const struct machine *m);

void bits_set_all(struct machine *m);
void bits_clear_all(struct machine *m);
void bit_set(struct machine *m, unsigned long page);
/* Store-release; returns whether the bit was set. */
bool bit_clear(struct machine *m, unsigned long page);

/* What page `page` holds after page_fill(): tag + page at both its ends. */
void page_fill(struct machine *m, unsigned long page, uint64_t tag);
void pages_fill(struct machine *m, uint64_t tag);
uint64_t page_gva(unsigned long page); /* through the machine's large pages */
uint64_t page_gpa(unsigned long page);

/* Make the next entry start routine `code`. */
void vcpu_call(struct vcpu *v, const uint8_t *code, uint64_t a0, uint64_t a1,
	       uint64_t a2, uint64_t a3);
struct stop vcpu_run(struct vcpu *v);
/* Enter, and expect the routine's end with `result`. */
void expect_done(struct vcpu *v, uint64_t result);
/* Enter, and expect a userfault exit on `page` with exactly the right fields. */
void expect_fault(struct vcpu *v, unsigned long page);
/* Whether a stop is a userfault exit at all, with its fields in bounds. */
bool stop_is_userfault(const struct stop *s);
/* The page of the slot under test that a stop tells of. */
unsigned long stop_page(const struct stop *s);
const char *stop_text(const struct stop *s);

/* The number behind `name` in the VM's statistics; fails when there is none. */
uint64_t vm_stat(struct machine *m, const char *name);
/* The dirty log of the slot under test since the last call. */
void dirty_log(struct machine *m, unsigned long log[TEST_PAGES / 64]);

/* x86.c, arm64.c */
extern const uint64_t arch_small_va; /* the first 512 test pages, by 4 KiB */
extern const uint64_t arch_walk_va; /* WALK_DATA by tables under test */
extern const bool arch_large_pages_return;
void arch_tables(struct machine *m); /* the machine's own, in sys */
void arch_walk_tables(struct machine *m); /* WALK_TABLE_*, in mem */
void arch_vcpu_init(struct vcpu *v);
void arch_vcpu_call(struct vcpu *v, uint64_t pc, const uint64_t arg[4]);
/* Whether kvm_run tells of a routine's end, and its result. */
bool arch_vcpu_done(struct vcpu *v, uint64_t *result);

#endif
