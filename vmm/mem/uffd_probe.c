/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probes the capabilities of this host's userfaultfd. One thread. Semantics are
 * from userfaultfd(2), ioctl_userfaultfd(2) and the kernel document
 * admin-guide/mm/userfaultfd.rst.
 */
#include "vmm/mem/uffd_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

/* A multiple of the host page size on both architectures. */
#define SCRATCH_BYTES UINT64_C(65536)

/* Since Linux 5.11 and 6.1; older headers lack them. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/*
 * Features that change the behaviour of a descriptor or need privileges; the
 * probe does not enable them.
 */
#define FEATURES_NOT_PROBED                                     \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |   \
	 UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | \
	 UFFD_FEATURE_SIGBUS)

/* A new descriptor from userfaultfd(2); -errno. */
static int open_syscall(int flags)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);

	return fd < 0 ? -errno : fd;
}

/* A new descriptor from /dev/userfaultfd; -errno. */
static int open_device(void)
{
	CLEANUP_CLOSE int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd;

	if (device < 0)
		return -errno;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* UFFDIO_API; stores the kernel's features unless @supported is NULL. */
static int enable_api(int fd, uint64_t features, uint64_t *supported)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return -errno;
	if (supported)
		*supported = api.features;
	return 0;
}

int uffd_open(uint64_t features, uint64_t *supported)
{
	CLEANUP_CLOSE int fd = open_syscall(0);
	int err;

	if (fd < 0)
		fd = open_device();
	if (fd < 0)
		return fd;
	err = enable_api(fd, features, supported);
	return err < 0 ? err : take_fd(&fd);
}

/* Registers a range in @mode and unregisters it; 0 or -errno. */
static int try_register(int uffd, void *hva, uint64_t mode)
{
	struct uffdio_register request = {
		.range = { .start = (uintptr_t)hva, .len = SCRATCH_BYTES },
		.mode = mode,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &request) < 0)
		return -errno;
	ioctl(uffd, UFFDIO_UNREGISTER, &request.range);
	return 0;
}

/* Maps memory (@fd -1: anonymous), tries @mode on it, and unmaps it. */
static int try_memory(int uffd, int fd, uint64_t mode)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, err;
	void *hva =
		mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (hva == MAP_FAILED)
		return -errno;
	err = try_register(uffd, hva, mode);
	munmap(hva, SCRATCH_BYTES);
	return err;
}

/* Tries each kind of memory; @uffd may be -errno. */
static void probe_ranges(struct uffd_probe *probe, int uffd, int guest_memfd)
{
	CLEANUP_CLOSE int shmem = memfd_create("thaw-probe", MFD_CLOEXEC);
	bool has_shmem = shmem >= 0 && ftruncate(shmem, SCRATCH_BYTES) == 0;

	probe->anon_missing =
		try_memory(uffd, -1, UFFDIO_REGISTER_MODE_MISSING);
	probe->anon_wp = try_memory(uffd, -1, UFFDIO_REGISTER_MODE_WP);
	probe->shmem_missing = -ENODEV;
	probe->shmem_minor = -ENODEV;
	probe->guest_memfd_missing = -ENODEV;
	probe->guest_memfd_minor = -ENODEV;
	if (has_shmem) {
		probe->shmem_missing =
			try_memory(uffd, shmem, UFFDIO_REGISTER_MODE_MISSING);
		probe->shmem_minor =
			try_memory(uffd, shmem, UFFDIO_REGISTER_MODE_MINOR);
	}
	if (guest_memfd >= 0) {
		probe->guest_memfd_missing =
			try_memory(uffd, guest_memfd,
				   UFFDIO_REGISTER_MODE_MISSING);
		probe->guest_memfd_minor =
			try_memory(uffd, guest_memfd,
				   UFFDIO_REGISTER_MODE_MINOR);
	}
}

/* The value of vm.unprivileged_userfaultfd; -1: unknown. */
static int read_unprivileged(void)
{
	FILE *file = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
	int value = -1;

	if (!file)
		return -1;
	value = fgetc(file);
	fclose(file);
	return value >= '0' && value <= '9' ? value - '0' : -1;
}

/* Closes the descriptor and returns 0; a negative @fd is returned. */
static int close_probed(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

void uffd_probe(struct uffd_probe *probe, int guest_memfd)
{
	CLEANUP_CLOSE int uffd = -1;

	*probe = (struct uffd_probe){ .unprivileged = read_unprivileged() };
	probe->syscall = close_probed(open_syscall(0));
	probe->syscall_user_only =
		close_probed(open_syscall(UFFD_USER_MODE_ONLY));
	probe->device = close_probed(open_device());
	probe->kernel_faults = probe->syscall == 0 || probe->device == 0;

	/* A first UFFDIO_API returns the features, a second enables them. */
	uffd = open_syscall(UFFD_USER_MODE_ONLY);
	if (uffd < 0)
		uffd = open_device();
	if (uffd >= 0)
		enable_api(uffd, 0, &probe->features);
	cleanup_close(&uffd);
	uffd = uffd_open(probe->features & ~(uint64_t)FEATURES_NOT_PROBED,
			 NULL);
	probe_ranges(probe, uffd, guest_memfd);
}
