// SPDX-License-Identifier: BSD-2-Clause
/*
 * The machine: see machine.h for what it is and who calls it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

#define LARGE_BYTES (2UL << 20)

/* Anonymous memory that large pages can back. */
static uint8_t *map_anon(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + LARGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("map memory: %s", strerror(errno));
	p += -(uintptr_t)p & (LARGE_BYTES - 1);
	madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

/* Memory of a guest_memfd that starts shared. */
static uint8_t *map_memfd(struct machine *m)
{
	struct uf_guest_memfd args = {
		.size = TEST_BYTES,
		.flags = UF_MEMFD_MMAP | UF_MEMFD_INIT_SHARED,
	};
	uint8_t *p;

	if (!(ioctl(m->vm, KVM_CHECK_EXTENSION, UF_CAP_GUEST_MEMFD_FLAGS) &
	      (int)UF_MEMFD_INIT_SHARED))
		skip("no guest_memfd that can be mapped");
	m->memfd = ioctl(m->vm, UF_CREATE_MEMFD, &args);
	if (m->memfd < 0)
		fail("create a guest_memfd: %s", strerror(errno));
	p = mmap(NULL, TEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, m->memfd,
		 0);
	if (p == MAP_FAILED)
		fail("map a guest_memfd: %s", strerror(errno));
	return p;
}

/* Set slot `slot` as `r` says: 0 or -errno. */
static int region_set(struct machine *m, struct uf_region *r)
{
	return ioctl(m->vm, UF_SET_REGION, r) ? -errno : 0;
}

/* The machine's vCPU `i`. */
static void vcpu_init(struct machine *m, int i, size_t run_bytes)
{
	struct vcpu *v = &m->vcpus[i];

	v->machine = m;
	v->index = i;
	v->fd = ioctl(m->vm, KVM_CREATE_VCPU, i);
	if (v->fd < 0)
		fail("create vCPU %d: %s", i, strerror(errno));
	v->run = mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		      v->fd, 0);
	if (v->run == MAP_FAILED)
		fail("map kvm_run: %s", strerror(errno));
	arch_vcpu_init(v);
}

/* The machine, with all but the slot under test. */
void machine_init(struct machine *m, enum kind kind, int vcpus)
{
	struct uf_region sys = {
		.slot = SYS_SLOT,
		.guest_phys_addr = SYS_GPA,
		.memory_size = SYS_BYTES,
	};
	int i, run_bytes, r;

	memset(m, 0, sizeof(*m));
	m->kind = kind;
	m->memfd = -1;
	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm < 0)
		fail("open /dev/kvm: %s", strerror(errno));
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		fail("create a VM: %s", strerror(errno));
	run_bytes = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	m->sys = map_anon(SYS_BYTES);
	sys.userspace_addr = (uintptr_t)m->sys;
	memcpy(m->sys + SYS_CODE, guest_code,
	       (size_t)(guest_code_end - guest_code));
	arch_tables(m);
	r = region_set(m, &sys);
	if (r)
		fail("set the machine's own slot: %s", strerror(-r));

	m->mem = kind == KIND_MEMFD ? map_memfd(m) : map_anon(TEST_BYTES);
	m->bitmap = calloc(1, TEST_PAGES / 8);
	if (!m->bitmap)
		fail("out of memory");

	for (i = 0; i < vcpus; i++)
		vcpu_init(m, i, (size_t)run_bytes);
}

uint32_t slot_base_flags(const struct machine *m)
{
	return m->kind == KIND_MEMFD ? UF_MEM_MEMFD : 0;
}

int slot_try(struct machine *m, uint32_t flags, const void *bitmap)
{
	struct uf_region r = {
		.slot = TEST_SLOT,
		.flags = flags | slot_base_flags(m),
		.guest_phys_addr = TEST_GPA,
		.memory_size = TEST_BYTES,
		.userspace_addr = (uintptr_t)m->mem,
		.guest_memfd = m->kind == KIND_MEMFD ? (uint32_t)m->memfd : 0,
		.userfault_bitmap = (uintptr_t)bitmap,
	};

	return region_set(m, &r);
}

void slot_set(struct machine *m, uint32_t flags)
{
	int r = slot_try(m, flags, m->bitmap);

	if (r)
		fail("set the slot with flags %#x: %s",
		     flags | slot_base_flags(m), strerror(-r));
}

void bits_set_all(struct machine *m)
{
	memset(m->bitmap, 0xff, TEST_PAGES / 8);
}

void bits_clear_all(struct machine *m)
{
	memset(m->bitmap, 0, TEST_PAGES / 8);
}

void bit_set(struct machine *m, unsigned long page)
{
	__atomic_fetch_or(&m->bitmap[page / 64], 1UL << page % 64,
			  __ATOMIC_RELEASE);
}

/* Release: the contents of the page come first, as the ABI asks. */
bool bit_clear(struct machine *m, unsigned long page)
{
	unsigned long bit = 1UL << page % 64;

	return __atomic_fetch_and(&m->bitmap[page / 64], ~bit,
				  __ATOMIC_RELEASE) &
	       bit;
}

void page_fill(struct machine *m, unsigned long page, uint64_t tag)
{
	uint64_t *p = (uint64_t *)(void *)(m->mem + page * PAGE_BYTES);
	size_t i, n = PAGE_BYTES / sizeof(*p);

	for (i = 0; i < n; i++)
		p[i] = tag + page;
}

void pages_fill(struct machine *m, uint64_t tag)
{
	unsigned long page;

	for (page = 0; page < TEST_PAGES; page++)
		page_fill(m, page, tag);
}

uint64_t page_gpa(unsigned long page)
{
	return TEST_GPA + page * PAGE_BYTES;
}

uint64_t page_gva(unsigned long page)
{
	return page_gpa(page);
}

/* An I/O or MMIO exit is only over after another entry, so that one first. */
void vcpu_call(struct vcpu *v, const uint8_t *code, uint64_t a0, uint64_t a1,
	       uint64_t a2, uint64_t a3)
{
	const uint64_t arg[4] = { a0, a1, a2, a3 };

	v->run->immediate_exit = 1;
	ioctl(v->fd, KVM_RUN, 0);
	v->run->immediate_exit = 0;
	arch_vcpu_call(v, SYS_CODE + (uint64_t)(code - guest_code), arg);
}

/* The exit's part of kvm_run. */
static struct uf_memory_fault *run_fault(struct vcpu *v)
{
	return (struct uf_memory_fault *)(void *)v->run->padding;
}

struct stop vcpu_run(struct vcpu *v)
{
	struct stop s = { .ret = 0 };

	v->run->exit_reason = SENTINEL_REASON;
	*run_fault(v) =
		(struct uf_memory_fault){ SENTINEL_FIELD, SENTINEL_FIELD,
					  SENTINEL_FIELD };
	s.ret = ioctl(v->fd, KVM_RUN, 0);
	s.err = s.ret ? errno : 0;
	s.reason = v->run->exit_reason;
	s.fault = *run_fault(v);
	s.done = !s.ret && arch_vcpu_done(v, &s.result);
	return s;
}

bool stop_is_userfault(const struct stop *s)
{
	return s->ret == -1 && s->err == EFAULT &&
	       s->reason == UF_EXIT_MEMORY_FAULT &&
	       s->fault.flags == UF_FAULT_USERFAULT &&
	       s->fault.size == PAGE_BYTES && s->fault.gpa % PAGE_BYTES == 0 &&
	       s->fault.gpa >= TEST_GPA && s->fault.gpa < TEST_GPA + TEST_BYTES;
}

unsigned long stop_page(const struct stop *s)
{
	return (s->fault.gpa - TEST_GPA) / PAGE_BYTES;
}

/* One string for one thread at a time: a case fails only once. */
const char *stop_text(const struct stop *s)
{
	static char text[256];

	if (s->done)
		snprintf(text, sizeof(text), "the routine ended with %#llx",
			 (unsigned long long)s->result);
	else
		snprintf(
			text, sizeof(text),
			"KVM_RUN %d (%s), exit reason %u, flags %#llx, gpa %#llx, size %#llx",
			s->ret, s->ret ? strerror(s->err) : "no error",
			s->reason, (unsigned long long)s->fault.flags,
			(unsigned long long)s->fault.gpa,
			(unsigned long long)s->fault.size);
	return text;
}

void expect_done(struct vcpu *v, uint64_t result)
{
	struct stop s = vcpu_run(v);

	if (!s.done || s.result != result)
		fail("want the routine to end with %#llx: %s",
		     (unsigned long long)result, stop_text(&s));
}

void expect_fault(struct vcpu *v, unsigned long page)
{
	struct stop s = vcpu_run(v);

	if (!stop_is_userfault(&s) || stop_page(&s) != page)
		fail("want a userfault exit on page %lu (gpa %#llx): %s", page,
		     (unsigned long long)page_gpa(page), stop_text(&s));
}

uint64_t vm_stat(struct machine *m, const char *name)
{
	struct kvm_stats_header head;
	struct kvm_stats_desc *d;
	uint64_t value = 0;
	uint32_t i;
	int fd = ioctl(m->vm, KVM_GET_STATS_FD, NULL);

	if (fd < 0)
		skip("no KVM statistics: %s", strerror(errno));
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head))
		fail("read the statistics' head: %s", strerror(errno));
	d = malloc(sizeof(*d) + head.name_size);
	if (!d)
		fail("out of memory");
	for (i = 0; i < head.num_desc; i++) {
		size_t bytes = sizeof(*d) + head.name_size;

		if (pread(fd, d, bytes,
			  (off_t)(head.desc_offset + i * bytes)) !=
		    (ssize_t)bytes)
			fail("read a statistic's descriptor: %s",
			     strerror(errno));
		if (strcmp(d->name, name))
			continue;
		if (pread(fd, &value, 8,
			  (off_t)(head.data_offset + d->offset)) != 8)
			fail("read a statistic: %s", strerror(errno));
		free(d);
		close(fd);
		return value;
	}
	skip("no statistic named %s", name);
}

void dirty_log(struct machine *m, unsigned long log[TEST_PAGES / 64])
{
	struct kvm_dirty_log args = { .slot = TEST_SLOT, .dirty_bitmap = log };

	if (ioctl(m->vm, KVM_GET_DIRTY_LOG, &args))
		fail("read the dirty log: %s", strerror(errno));
}
