// SPDX-License-Identifier: BSD-2-Clause
/*
 * plainexits: asks whether the host under it runs guests faithfully, with
 * nothing but the oldest parts of KVM.  No thaw, no userfault.
 *
 * A run makes a fresh VM whose vCPUs, a thread each, count upwards and show
 * every number to the outside.  The kinds are: by a port write (x86 only), by a
 * write to an address without memory, by a first write to each page of plain
 * memory, and (x86 only) by a port write of how many interrupts it has seen, each
 * of which the outside raises once the one before has been counted.  Those come
 * by KVM_INTERRUPT (irq), or from KVM's own APIC as MSIs (msi), or so with a
 * handler that first sets its timer (timer), which newer kernels do without
 * leaving KVM's inner loop.
 * The outside knows which number must come next.  Any other exit, a number that
 * is lost or comes twice, a word that is not in memory at the end, or a run that
 * does not end is a lie of the host.
 *
 *	plainexits [-r RUNS] [-n EXITS] [-c VCPUS] [-k KIND]
 *
 * Runs are counted per kind.  Prints each lie and a summary; status 0 when there
 * was none, 1 when there was, 2 when KVM cannot be used at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_VCPUS = 8,
	RUN_SECONDS = 60, /* a run that takes longer hangs */
	STATUS_NO_KVM = 2,
};

#define PAGE_BYTES  4096u
#define LOW_BYTES   0x4000u /* vectors, code, counters, stacks */
#define CODE_GPA    0x1000u
#define COUNTER_GPA 0x2000u /* interrupts seen, a word per vCPU */
#define STACK_GPA   0x3000u /* 512 bytes per vCPU */
#define RAM_GPA	    0x100000u /* pages of the touch kind, per vCPU */
#define MMIO_GPA    0xe0000000u /* no memory here */
#define DONE_GPA    (MMIO_GPA + 0x1000u)
#define PORT	    0x10
#define DONE_PORT   0x11
#define VECTOR	    0x20

enum kind {
	KIND_PORT,
	KIND_MMIO,
	KIND_TOUCH,
	KIND_IRQ,
	KIND_MSI,
	KIND_TIMER,
	KIND_COUNT,
};

static const char *const kind_name[] = { "port", "mmio", "touch",
					 "irq",	 "msi",	 "timer" };

/* One VM of one run. */
struct machine {
	int kvm, vm;
	enum kind kind;
	uint32_t count; /* numbers each vCPU shows */
	int vcpus;
	char *low; /* address 0 */
	char *ram; /* RAM_GPA */
	size_t ram_bytes;
};

/* One vCPU of it; its thread owns it until joined. */
struct vcpu {
	struct machine *m;
	int index, fd;
	struct kvm_run *run;
	uint32_t next; /* the number that must come next */
	char lie[160]; /* empty: none */
};

/* The guest programs; each starts with the first number in its register. */
#if defined(__x86_64__)
__asm__(".pushsection .rodata\n"
	".globl guest_port, guest_mmio, guest_touch, guest_irq\n"
	".globl guest_apic, guest_handler, guest_msi_handler\n"
	".globl guest_timer_handler, guest_end\n"
	".code16\n"
	"guest_port: out %eax, $0x10\n"
	"	inc %eax\n"
	"	cmp %ebx, %eax\n"
	"	jne guest_port\n"
	"	hlt\n"
	"guest_mmio: movl %eax, %ds:(%edi)\n"
	"	inc %eax\n"
	"	cmp %ebx, %eax\n"
	"	jne guest_mmio\n"
	"	hlt\n"
	"guest_touch: movl %eax, %ds:(%edi)\n"
	"	addl $0x1000, %edi\n"
	"	inc %eax\n"
	"	cmp %ebx, %eax\n"
	"	jne guest_touch\n"
	"	hlt\n"
	"guest_irq: sti\n"
	"1:	movl %ds:(%esi), %eax\n"
	"	out %eax, $0x10\n"
	"	cmp %ebx, %eax\n"
	"	jne 1b\n"
	"	hlt\n"
	/* The x2APIC on, its timer in deadline mode; then as above. */
	"guest_apic: movl $0x1b, %ecx\n"
	"	rdmsr\n"
	"	orl $0xc00, %eax\n"
	"	wrmsr\n"
	"	xorl %edx, %edx\n"
	"	movl $0x80f, %ecx\n"
	"	movl $0x1ff, %eax\n"
	"	wrmsr\n"
	"	movl $0x832, %ecx\n"
	"	movl $0x40030, %eax\n"
	"	wrmsr\n"
	"	sti\n"
	"1:	movl %ds:(%esi), %eax\n"
	"	out %eax, $0x10\n"
	"	cmp %ebx, %eax\n"
	"	jne 1b\n"
	"	out %eax, $0x11\n"
	"guest_handler: addl $1, %ds:(%esi)\n"
	"	iretw\n"
	"guest_timer_handler: pushal\n"
	"	movl $0x6e0, %ecx\n" /* a deadline that never comes */
	"	xorl %eax, %eax\n"
	"	movl $0x7fffffff, %edx\n"
	"	wrmsr\n"
	"	jmp 2f\n"
	"guest_msi_handler: pushal\n"
	"2:	addl $1, %ds:(%esi)\n"
	"	movl $0x80b, %ecx\n" /* end of interrupt */
	"	xorl %eax, %eax\n"
	"	xorl %edx, %edx\n"
	"	wrmsr\n"
	"	popal\n"
	"	iretw\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const char guest_port[], guest_irq[], guest_apic[];
extern const char guest_handler[], guest_msi_handler[], guest_timer_handler[];
#elif defined(__aarch64__)
__asm__(".pushsection .rodata\n"
	".globl guest_mmio, guest_touch, guest_end\n"
	".balign 4\n"
	"guest_mmio: str w0, [x1]\n"
	"	add w0, w0, #1\n"
	"	cmp w0, w2\n"
	"	b.ne guest_mmio\n"
	"	str w0, [x3]\n"
	"	b .\n"
	"guest_touch: str w0, [x1]\n"
	"	add x1, x1, #0x1000\n"
	"	add w0, w0, #1\n"
	"	cmp w0, w2\n"
	"	b.ne guest_touch\n"
	"	str w0, [x3]\n"
	"	b .\n"
	"guest_end:\n"
	".popsection\n");
#endif
extern const char guest_mmio[], guest_touch[], guest_end[];

/* Says why KVM cannot be used, and leaves. */
static void no_kvm(const char *what)
{
	fprintf(stderr, "plainexits: %s: %s\n", what, strerror(errno));
	exit(STATUS_NO_KVM);
}

/* Gives where guest memory for vCPU i of the touch kind starts. */
static uint64_t touch_gpa(const struct machine *m, int i)
{
	return RAM_GPA + (uint64_t)i * m->count * PAGE_BYTES;
}

#if defined(__x86_64__)
/* Whether this architecture has that kind. */
static int has_kind(enum kind kind)
{
	return kind < KIND_COUNT;
}

/* Gives the start of the program of a kind. */
static const char *program(enum kind kind)
{
	return kind == KIND_PORT  ? guest_port :
	       kind == KIND_MMIO  ? guest_mmio :
	       kind == KIND_TOUCH ? guest_touch :
	       kind == KIND_IRQ	  ? guest_irq :
				    guest_apic;
}

/* Whether the VM of a kind has KVM's own interrupt controller. */
static int has_irqchip(const struct machine *m)
{
	return m->kind == KIND_MSI || m->kind == KIND_TIMER;
}

/* Readies a VM: the vector of its handler, and its interrupt controller. */
static void arch_ready(struct machine *m)
{
	const char *handler = m->kind == KIND_MSI   ? guest_msi_handler :
			      m->kind == KIND_TIMER ? guest_timer_handler :
						      guest_handler;
	uint16_t vector[2] = {
		(uint16_t)(CODE_GPA +
			   ((uintptr_t)handler - (uintptr_t)program(m->kind))),
		0,
	};

	memcpy(m->low + 4 * VECTOR, vector, sizeof(vector));
	if (has_irqchip(m) && ioctl(m->vm, KVM_CREATE_IRQCHIP))
		no_kvm("KVM_CREATE_IRQCHIP");
}

/* Raises an interrupt.  Returns 0, or -1 when the vCPU cannot take one. */
static int arch_interrupt(struct vcpu *v)
{
	struct kvm_interrupt irq = { .irq = VECTOR };
	struct kvm_msi msi = {
		.address_lo = 0xfee00000u | (uint32_t)v->index << 12,
		.data = VECTOR,
	};

	if (has_irqchip(v->m))
		return ioctl(v->m->vm, KVM_SIGNAL_MSI, &msi) == 1 ? 0 : -1;
	if (!v->run->ready_for_interrupt_injection)
		return -1;
	return ioctl(v->fd, KVM_INTERRUPT, &irq);
}

/* Gives a vCPU all that KVM can, with x2APIC and the deadline timer. */
static void set_cpuid(struct vcpu *v)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };
	struct kvm_mp_state running = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (ioctl(v->m->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid))
		no_kvm("KVM_GET_SUPPORTED_CPUID");
	for (unsigned i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entries[i].function == 1)
			cpuid.entries[i].ecx |= 1u << 21 | 1u << 24;
	if (ioctl(v->fd, KVM_SET_CPUID2, &cpuid) ||
	    ioctl(v->fd, KVM_SET_MP_STATE, &running))
		no_kvm("KVM_SET_CPUID2");
}

/* Sets a vCPU up in real mode with a flat data segment. */
static void arch_reset(struct vcpu *v)
{
	struct machine *m = v->m;
	struct kvm_sregs sregs;
	struct kvm_regs regs = {
		.rflags = 2,
		.rip = CODE_GPA,
		.rax = 0,
		.rbx = m->count,
		.rdi = m->kind == KIND_MMIO ? MMIO_GPA : touch_gpa(m, v->index),
		.rsi = COUNTER_GPA + 4 * (unsigned)v->index,
		.rsp = STACK_GPA + 512 * (unsigned)(v->index + 1),
	};

	if (has_irqchip(m))
		set_cpuid(v);
	if (ioctl(v->fd, KVM_GET_SREGS, &sregs))
		no_kvm("KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	sregs.ss.base = 0;
	sregs.ds.limit = 0xffffffff;
	sregs.ds.g = 1;
	if (ioctl(v->fd, KVM_SET_SREGS, &sregs) ||
	    ioctl(v->fd, KVM_SET_REGS, &regs))
		no_kvm("KVM_SET_REGS");
}

/* Whether the exit says that the program has come to its end. */
static int arch_done(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_HLT ||
	       (run->exit_reason == KVM_EXIT_IO && run->io.port == DONE_PORT);
}
#elif defined(__aarch64__)
/* Whether this architecture has that kind. */
static int has_kind(enum kind kind)
{
	return kind == KIND_MMIO || kind == KIND_TOUCH;
}

/* Gives the start of the program of a kind. */
static const char *program(enum kind kind)
{
	return kind == KIND_MMIO ? guest_mmio : guest_touch;
}

/* Readies a VM: there is nothing to do. */
static void arch_ready(struct machine *m)
{
	(void)m;
}

/* Injects an interrupt: no program here takes one. */
static int arch_interrupt(struct vcpu *v)
{
	(void)v;
	return -1;
}

/* Sets a 64-bit core register by its index in struct kvm_regs. */
static void set_reg(int fd, uint64_t offset_bytes, uint64_t value)
{
	struct kvm_one_reg reg = {
		.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
		      offset_bytes / 4,
		.addr = (uintptr_t)&value,
	};

	if (ioctl(fd, KVM_SET_ONE_REG, &reg))
		no_kvm("KVM_SET_ONE_REG");
}

/* Sets a vCPU up with the MMU off. */
static void arch_reset(struct vcpu *v)
{
	struct machine *m = v->m;
	struct kvm_vcpu_init init;
	uint64_t at = m->kind == KIND_MMIO ? MMIO_GPA : touch_gpa(m, v->index);

	if (ioctl(m->vm, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(v->fd, KVM_ARM_VCPU_INIT, &init))
		no_kvm("KVM_ARM_VCPU_INIT");
	set_reg(v->fd, offsetof(struct kvm_regs, regs.regs[0]), 0);
	set_reg(v->fd, offsetof(struct kvm_regs, regs.regs[1]), at);
	set_reg(v->fd, offsetof(struct kvm_regs, regs.regs[2]), m->count);
	set_reg(v->fd, offsetof(struct kvm_regs, regs.regs[3]), DONE_GPA);
	set_reg(v->fd, offsetof(struct kvm_regs, regs.pc), CODE_GPA);
}

/* Whether the exit says that the program has come to its end. */
static int arch_done(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_MMIO &&
	       run->mmio.phys_addr == DONE_GPA;
}
#endif

/* Notes a lie of the host, with the exit that showed it. */
static void *lie(struct vcpu *v, const char *what, uint64_t got)
{
	snprintf(v->lie, sizeof(v->lie),
		 "vcpu %d at number %u of %u: %s 0x%llx (exit reason %u)",
		 v->index, v->next, v->m->count, what, (unsigned long long)got,
		 v->run->exit_reason);
	return v;
}

/* Takes the number that an exit shows.  Returns -1 when it is no such exit. */
static int shown_number(const struct kvm_run *run, uint32_t *number)
{
	const void *bytes;

	if (run->exit_reason == KVM_EXIT_IO && run->io.port == PORT &&
	    run->io.direction == KVM_EXIT_IO_OUT && run->io.size == 4 &&
	    run->io.count == 1)
		bytes = (const char *)run + run->io.data_offset;
	else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write &&
		 run->mmio.phys_addr == MMIO_GPA && run->mmio.len == 4)
		bytes = run->mmio.data;
	else
		return -1;
	memcpy(number, bytes, 4);
	return 0;
}

/* A vCPU's thread: runs it to its end or to the first lie. */
static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	uint32_t number = 0;

	for (;;) {
		if (ioctl(v->fd, KVM_RUN, 0))
			return lie(v, "KVM_RUN failed, errno", (uint64_t)errno);
		if (arch_done(v->run))
			break;
		if (shown_number(v->run, &number))
			return lie(v, "unexpected exit", v->run->exit_reason);
		if (number != v->next)
			return lie(v, "wrong number", number);
		if (v->m->kind >= KIND_IRQ && v->next == v->m->count)
			continue;
		v->next++;
		if (v->m->kind >= KIND_IRQ && arch_interrupt(v))
			return lie(v, "takes no interrupt, errno",
				   (uint64_t)errno);
	}
	if (v->m->kind != KIND_TOUCH && v->next != v->m->count)
		return lie(v, "ended early", v->next);
	return v;
}

/* Adds one memory slot. */
static void *add_slot(struct machine *m, unsigned slot, uint64_t gpa,
		      size_t bytes)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
	};
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		no_kvm("mmap");
	region.userspace_addr = (uintptr_t)p;
	if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region))
		no_kvm("KVM_SET_USER_MEMORY_REGION");
	return p;
}

/* Makes the VM of one run. */
static void machine_init(struct machine *m)
{
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		no_kvm("KVM_CREATE_VM");
	m->low = add_slot(m, 0, 0, LOW_BYTES);
	memcpy(m->low + CODE_GPA, program(m->kind),
	       (uintptr_t)guest_end - (uintptr_t)program(m->kind));
	arch_ready(m);
	__builtin___clear_cache(m->low, m->low + LOW_BYTES);
	m->ram_bytes = (size_t)m->vcpus * m->count * PAGE_BYTES;
	m->ram = NULL;
	if (m->kind == KIND_TOUCH)
		m->ram = add_slot(m, 1, RAM_GPA, m->ram_bytes);
}

/* Frees the VM of one run. */
static void machine_finish(struct machine *m)
{
	if (m->ram)
		munmap(m->ram, m->ram_bytes);
	munmap(m->low, LOW_BYTES);
	close(m->vm);
}

/* Makes one vCPU. */
static void vcpu_init(struct vcpu *v, struct machine *m, int index,
		      int run_bytes)
{
	memset(v, 0, sizeof(*v));
	v->m = m;
	v->index = index;
	v->fd = ioctl(m->vm, KVM_CREATE_VCPU, index);
	if (v->fd < 0)
		no_kvm("KVM_CREATE_VCPU");
	v->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		no_kvm("mmap of a vCPU");
	arch_reset(v);
}

/* Looks whether every page that was touched holds its number. */
static void check_ram(struct vcpu *v)
{
	const char *ram =
		v->m->ram + (size_t)v->index * v->m->count * PAGE_BYTES;
	uint32_t got;

	for (uint32_t i = 0; i < v->m->count && !v->lie[0]; i++) {
		memcpy(&got, ram + (size_t)i * PAGE_BYTES, 4);
		v->next = i;
		if (got != i)
			lie(v, "memory holds", got);
	}
}

/* Does one run.  Returns how many of its vCPUs saw a lie. */
static int do_run(struct machine *m, int run_bytes, int number)
{
	struct vcpu vcpus[MAX_VCPUS];
	pthread_t thread[MAX_VCPUS];
	int lies = 0;

	machine_init(m);
	for (int i = 0; i < m->vcpus; i++)
		vcpu_init(&vcpus[i], m, i, run_bytes);
	alarm(RUN_SECONDS);
	for (int i = 0; i < m->vcpus; i++)
		if (pthread_create(&thread[i], NULL, vcpu_main, &vcpus[i]))
			no_kvm("pthread_create");
	for (int i = 0; i < m->vcpus; i++)
		pthread_join(thread[i], NULL);
	alarm(0);
	for (int i = 0; i < m->vcpus; i++) {
		if (m->kind == KIND_TOUCH && !vcpus[i].lie[0])
			check_ram(&vcpus[i]);
		if (vcpus[i].lie[0]) {
			printf("lie: %s run %d: %s\n", kind_name[m->kind],
			       number, vcpus[i].lie);
			lies++;
		}
		munmap(vcpus[i].run, (size_t)run_bytes);
		close(vcpus[i].fd);
	}
	machine_finish(m);
	return lies;
}

/* Gives the time in seconds. */
static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Does all runs of one kind.  Returns how many had a lie. */
static int do_kind(struct machine *m, enum kind kind, int runs, int run_bytes)
{
	double start = now();
	int bad = 0;

	m->kind = kind;
	for (int i = 0; i < runs; i++)
		bad += do_run(m, run_bytes, i) != 0;
	printf("%s: %d of %d runs lied (%d vCPUs, %u numbers each, %.1f us a number)\n",
	       kind_name[kind], bad, runs, m->vcpus, m->count,
	       (now() - start) * 1e6 / ((double)runs * m->count * m->vcpus));
	fflush(stdout);
	return bad;
}

/* Reads the options and does the runs of every kind. */
int main(int argc, char **argv)
{
	struct machine m = { .count = 2000, .vcpus = 2 };
	int runs = 20, bad = 0, run_bytes, opt;
	const char *only = NULL;

	while ((opt = getopt(argc, argv, "r:n:c:k:")) != -1) {
		if (opt == 'r')
			runs = atoi(optarg);
		else if (opt == 'n')
			m.count = (uint32_t)atoi(optarg);
		else if (opt == 'c')
			m.vcpus = atoi(optarg);
		else if (opt == 'k')
			only = optarg;
		else
			return 64;
	}
	if (runs < 1 || m.count < 1 || m.count > 65536 || m.vcpus < 1 ||
	    m.vcpus > MAX_VCPUS)
		return 64;
	m.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m.kvm < 0)
		no_kvm("/dev/kvm");
	run_bytes = ioctl(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < 0)
		no_kvm("KVM_GET_VCPU_MMAP_SIZE");
	for (enum kind kind = KIND_PORT; kind < KIND_COUNT; kind++)
		if (has_kind(kind) && (!only || !strcmp(only, kind_name[kind])))
			bad += do_kind(&m, kind, runs, run_bytes);
	return bad ? 1 : 0;
}
