/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts the locked read-modify-writes of a page fault, and those of them on cache
 * lines that the fault of another vCPU writes as well: such a line moves between the
 * processors at each fault.  Instead of a profiler, which virtual machines often do
 * not have: each vCPU's fault is single-stepped by ptrace(2), its locked instructions
 * are decoded, and the lines that they access are compared.  One such access is of the
 * tests' page source, which counts its reads.
 *
 * A child plays the vCPUs, one after the other, each with a page in a part of memory
 * of its own, and stops before and after each fault, which fills one page.  x86-64.
 */
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pager/lib.h"

#define VCPUS	   16
#define PART_PAGES 1024 /* of memory, for a vCPU */
#define LINES_MAX  1024
#define LINE_BYTES 64

/* The lines of one fault, in order of access. */
struct fault {
	uint64_t lines[LINES_MAX];
	unsigned int count;
};

/* The child: two faults of each vCPU, as the first allocates what is used again. */
static void play(void)
{
	struct fixture f;
	const uint64_t pages = VCPUS * PART_PAGES;

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	fixture_open(&f,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .run_pages = 1 },
		     NULL, test_source(pages), pages);
	for (unsigned int i = 0; i < 2 * VCPUS; i++) {
		uint64_t page = i % VCPUS * PART_PAGES + i / VCPUS * 64;
		struct memory_range filled;

		raise(SIGSTOP);
		if (pager_vcpu_fault(f.pager, i % VCPUS,
				     test_gpa(&f.memory, page), &filled) < 0)
			_exit(1);
		raise(SIGSTOP);
	}
	_exit(0);
}

static uint64_t reg(const struct user_regs_struct *r, unsigned int number)
{
	const uint64_t all[] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp,
				 r->rsi, r->rdi, r->r8,	 r->r9,	 r->r10, r->r11,
				 r->r12, r->r13, r->r14, r->r15 };

	return all[number];
}

/*
 * The address of a memory operand (SDM 2A, 2.1.5); @m: the ModRM byte, @rex: that
 * prefix or 0.  0: a register, or relative to the instruction, which no datum of the
 * pager is.
 */
static uint64_t operand(const uint8_t *m, unsigned int rex,
			const struct user_regs_struct *r)
{
	unsigned int mod = *m >> 6, rm = *m & 7;
	const uint8_t *rest = m + 1;
	uint64_t at = 0;
	int32_t wide;

	if (mod == 3 || (mod == 0 && rm == 5))
		return 0;
	if (rm == 4) {
		unsigned int base = *rest & 7, index = *rest >> 3 & 7;

		index |= (rex & 2) << 2;
		if (index != 4)
			at = reg(r, index) << (*rest >> 6);
		if (mod != 0 || base != 5)
			at += reg(r, base | (rex & 1) << 3);
		rest++;
	} else {
		at = reg(r, rm | (rex & 1) << 3);
	}
	if (mod == 1)
		at += (uint64_t)(int64_t)(int8_t)*rest;
	if (mod == 2) {
		__builtin_memcpy(&wide, rest, sizeof(wide));
		at += (uint64_t)(int64_t)wide;
	}
	return at;
}

/* The address that the next instruction accesses locked; 0: none. */
static uint64_t locked_address(pid_t child, const struct user_regs_struct *r)
{
	uint8_t code[16];
	unsigned int at = 0, rex = 0;
	bool lock = false;

	for (unsigned int i = 0; i < sizeof(code); i += sizeof(long)) {
		long word = ptrace(PTRACE_PEEKTEXT, child, r->rip + i, NULL);

		__builtin_memcpy(code + i, &word, sizeof(word));
	}
	for (; code[at] == 0xf0 || code[at] == 0x66 || code[at] == 0xf2 ||
	       code[at] == 0xf3;
	     at++)
		lock = lock || code[at] == 0xf0;
	if ((code[at] & 0xf0) == 0x40)
		rex = code[at++];
	/* XCHG with memory locks without the prefix. */
	if (!lock && code[at] != 0x86 && code[at] != 0x87)
		return 0;
	at += code[at] == 0x0f ? 2 : 1;
	return operand(code + at, rex, r);
}

/* Steps through one fault, from one stop of the child to the next. */
static bool step(pid_t child, struct fault *fault)
{
	int status;

	for (;;) {
		struct user_regs_struct r;
		uint64_t at;

		ptrace(PTRACE_GETREGS, child, NULL, &r);
		at = locked_address(child, &r);
		if (at && fault->count < LINES_MAX)
			fault->lines[fault->count++] = at / LINE_BYTES;
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0 ||
		    waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
			return false;
		if (WSTOPSIG(status) == SIGSTOP)
			return true;
	}
}

static bool accesses(const struct fault *fault, uint64_t line)
{
	for (unsigned int i = 0; i < fault->count; i++)
		if (fault->lines[i] == line)
			return true;
	return false;
}

/* How many accesses of vCPU @number are of lines that another of @vcpus has. */
static unsigned int shared(const struct fault *faults, unsigned int number,
			   unsigned int vcpus)
{
	const struct fault *own = &faults[number];
	unsigned int count = 0;

	for (unsigned int i = 0; i < own->count; i++) {
		bool other = false;

		for (unsigned int v = 0; v < vcpus && !other; v++)
			other = v != number &&
				accesses(&faults[v], own->lines[i]);
		count += other;
	}
	return count;
}

/* Runs the child to its next stop. */
static bool run_on(pid_t child)
{
	int status;

	return ptrace(PTRACE_CONT, child, NULL, NULL) == 0 &&
	       waitpid(child, &status, 0) >= 0 && WIFSTOPPED(status);
}

/* Follows the child through all its faults; the second of each vCPU counts. */
static bool follow(pid_t child, struct fault *faults)
{
	int status;

	/* The stop before the first fault. */
	if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
		return false;
	for (unsigned int i = 0; i < 2 * VCPUS; i++) {
		if (i > 0 && !run_on(child))
			return false;
		if (i < VCPUS ? !run_on(child) :
				!step(child, &faults[i % VCPUS]))
			return false;
	}
	return true;
}

static void show(const struct fault *faults)
{
	printf("| vCPUs | locked accesses of a fault | on lines of another "
	       "vCPU's fault |\n|---:|---:|---:|\n");
	for (unsigned int vcpus = 1; vcpus <= VCPUS; vcpus *= 2) {
		unsigned int all = 0, common = 0;

		for (unsigned int v = 0; v < vcpus; v++) {
			all += faults[v].count;
			common += shared(faults, v, vcpus);
		}
		printf("| %u | %.1f | %.1f |\n", vcpus, (double)all / vcpus,
		       (double)common / vcpus);
	}
}

int main(void)
{
	static struct fault faults[VCPUS];
	pid_t child = fork();
	bool followed;

	if (child == 0)
		play();
	followed = follow(child, faults);
	kill(child, SIGKILL);
	if (!followed) {
		fprintf(stderr, "fault-lines: the child ended\n");
		return 1;
	}
	show(faults);
	return 0;
}
