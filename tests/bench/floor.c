/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor under a restore: what the kernel alone takes to make a virtual
 * machine with one slot, an interrupt controller (where KVM makes one by one
 * request) and one vCPU, and to enter it once.  Prints the median of many in
 * microseconds.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS	  51
#define RAM_BYTES (UINT64_C(256) << 20)

/* CLOCK_MONOTONIC in microseconds. */
static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Leaves with a line. */
static int must(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
	return r;
}

/* Makes one and lets it go; microseconds to the vCPU. */
static double make_one(void)
{
	double start = now_us(), end;
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM"), vcpu;
	int run_bytes = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "run page");
	void *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region slot = {
		.memory_size = RAM_BYTES,
		.userspace_addr = (uintptr_t)ram,
	};
	void *run;

	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "slot");
	ioctl(vm, KVM_CREATE_IRQCHIP, 0);
	vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		   vcpu, 0);
	end = now_us();
	munmap(run, (size_t)run_bytes);
	close(vcpu);
	close(vm);
	close(kvm);
	munmap(ram, RAM_BYTES);
	return end - start;
}

int main(void)
{
	double us[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		us[i] = make_one();
	qsort(us, ROUNDS, sizeof(us[0]), compare);
	printf("%.1f\n", us[ROUNDS / 2]);
	return 0;
}
