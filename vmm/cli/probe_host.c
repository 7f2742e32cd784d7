/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw probe`: the host, userfaultfd and the pager modes.  Main thread. */
#include "vmm/cli/probe_host.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/pager/choose.h"

void probe_report_host(const struct probe_host *host, struct report *report)
{
	const struct mem_host *memory = &host->memory;
	struct utsname name = { .release = "" };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	uname(&name);
	report_section(report, "host", "Host");
	report_add(report, "kernel", REPORT_FACT, "%.60s %.100s on %.60s",
		   name.sysname, name.release, name.machine);
	report_add_value(report, "processors", REPORT_FACT, (uint64_t)cpus,
			 "%ld online", cpus);
	report_add_value(report, "memory", REPORT_FACT, memory->total_bytes,
			 "%" PRIu64 " MiB, %" PRIu64 " MiB available",
			 memory->total_bytes / MIB,
			 memory->available_bytes / MIB);
	report_add_value(report, "page_size", REPORT_FACT, memory->page_bytes,
			 "%" PRIu64 " bytes", memory->page_bytes);
	if (*memory->thp)
		report_add(report, "transparent_hugepages", REPORT_FACT,
			   "%s; shared memory: %s", memory->thp,
			   *memory->thp_shmem ? memory->thp_shmem : "none");
	else
		report_add(report, "transparent_hugepages", REPORT_NO,
			   "not supported by this kernel, or /sys is not "
			   "mounted");
	for (unsigned int i = 0; i < memory->pool_count; i++)
		report_add_value(report, "hugetlb", REPORT_FACT,
				 memory->pools[i].page_bytes,
				 "%" PRIu64 " pages of %" PRIu64
				 " KiB, %" PRIu64 " free",
				 memory->pools[i].total_pages,
				 memory->pools[i].page_bytes / KIB,
				 memory->pools[i].free_pages);
	if (memory->pool_count == 0)
		report_add(report, "hugetlb", REPORT_FACT, "no pages reserved");
}

/* Why userfaultfd is not available. */
static const char *uffd_refusal(int err)
{
	switch (-err) {
	case ENOSYS:
		return "kernel built without CONFIG_USERFAULTFD, or hidden by "
		       "a seccomp filter";
	case ENOENT:
		return "no such device (Linux 6.1 and later with "
		       "CONFIG_USERFAULTFD)";
	case EPERM:
		return "not permitted: needs CAP_SYS_PTRACE or "
		       "vm.unprivileged_userfaultfd=1 (or blocked by a "
		       "seccomp filter)";
	case EACCES:
		return "permission denied: give your group access to "
		       "/dev/userfaultfd";
	default:
		return strerrordesc_np(-err);
	}
}

/* Adds a line about one interface to userfaultfd. */
static void report_interface(struct report *report, const char *name,
			     int answer, const char *yes)
{
	report_add(report, name, answer == 0 ? REPORT_YES : REPORT_NO, "%s",
		   answer == 0 ? yes : uffd_refusal(answer));
}

/* Adds a line about one type of memory. */
static void report_range(struct report *report, const char *name, int answer,
			 const char *no)
{
	if (answer == 0)
		report_add(report, name, REPORT_YES, "can be registered");
	else
		report_add(report, name, REPORT_NO, "%s", no);
}

static void report_ranges(const struct uffd_probe *uffd, struct report *report)
{
	static const char gmem[] =
		"not supported by this kernel (Linux 7.1 and later)";
	static const char none[] = "not tested: no guest_memfd";
	const char *no = uffd->guest_memfd_missing == -ENODEV ? none : gmem;

	report_range(report, "anonymous_missing", uffd->anon_missing,
		     "not supported by this kernel");
	report_range(report, "anonymous_wp", uffd->anon_wp,
		     "not supported by this kernel (Linux 5.7 and later)");
	report_range(report, "shmem_missing", uffd->shmem_missing,
		     "not supported by this kernel");
	report_range(report, "shmem_minor", uffd->shmem_minor,
		     "not supported by this kernel (Linux 5.14 and later)");
	report_range(report, "guest_memfd_missing", uffd->guest_memfd_missing,
		     no);
	report_range(report, "guest_memfd_minor", uffd->guest_memfd_minor, no);
}

void probe_report_uffd(const struct probe_host *host, struct report *report)
{
	const struct uffd_probe *uffd = &host->uffd;

	report_section(report, "userfaultfd", "userfaultfd");
	report_interface(report, "syscall", uffd->syscall,
			 "userfaultfd(2), including kernel faults");
	report_interface(report, "syscall_user_only", uffd->syscall_user_only,
			 "with UFFD_USER_MODE_ONLY: user faults only");
	report_interface(report, "device", uffd->device,
			 "/dev/userfaultfd, including kernel faults");
	if (uffd->unprivileged >= 0)
		report_add_value(report, "unprivileged", REPORT_FACT,
				 (unsigned)uffd->unprivileged,
				 "vm.unprivileged_userfaultfd=%d",
				 uffd->unprivileged);
	report_add(report, "kernel_faults",
		   uffd->kernel_faults ? REPORT_YES : REPORT_NO, "%s",
		   uffd->kernel_faults ?
			   "accesses by KVM itself are caught" :
			   "accesses by KVM itself are not caught: needs "
			   "/dev/userfaultfd or CAP_SYS_PTRACE");
	if (uffd->syscall_user_only && uffd->device)
		return;
	report_add_value(report, "features", REPORT_FACT, uffd->features,
			 "0x%" PRIx64, uffd->features);
	report_add(report, "minor_hugetlbfs",
		   uffd->features & UFFD_FEATURE_MINOR_HUGETLBFS ? REPORT_YES :
								   REPORT_NO,
		   "%s",
		   uffd->features & UFFD_FEATURE_MINOR_HUGETLBFS ?
			   "can be registered" :
			   "not supported by this kernel (Linux 5.13 and "
			   "later, on some architectures)");
	if (uffd->kernel_faults)
		report_ranges(uffd, report);
}

static void report_pager_mode(const struct probe_host *host,
			      struct report *report, enum pager_mode mode,
			      const char *yes)
{
	struct host_caps caps = {
		.backing = MEMORY_ANON,
		.has_file = true,
		.userfault = host->answers.userfault_anon,
		.uffd = host->uffd.kernel_faults ? 0 : host->uffd.syscall,
	};
	const char *refusal = pager_mode_refusal(mode, &caps);
	bool gmem;

	if (refusal) {
		report_add(report, pager_mode_names[mode], REPORT_NO, "%s",
			   refusal);
		return;
	}
	caps.backing = MEMORY_GUEST_MEMFD;
	caps.userfault = host->answers.userfault_guest_memfd;
	gmem = host->answers.guest_memfd_slot == 0 &&
	       !pager_mode_refusal(mode, &caps);
	report_add(report, pager_mode_names[mode], REPORT_YES,
		   "%s; with --memory=anon%s", yes,
		   gmem ? " and guest_memfd" : "");
}

/* What --pager=auto selects for `thaw restore`. */
static void report_auto(const struct probe_host *host, struct report *report)
{
	const struct host_caps caps = {
		.backing = MEMORY_ANON,
		.has_file = true,
		.userfault = host->answers.userfault_anon,
		.uffd = host->uffd.kernel_faults ? 0 : host->uffd.syscall,
	};
	struct pager_choice choice;

	if (pager_choose(&choice, PAGER_AUTO, &caps) == 0)
		report_add(report, "auto", REPORT_FACT, "%s: %s",
			   pager_mode_names[choice.mode], choice.why);
}

void probe_report_pager(const struct probe_host *host, struct report *report)
{
	if (!host->vm.kvm)
		return;
	report_section(report, "pager", "Pager");
	report_pager_mode(host, report, PAGER_USERFAULT,
			  "each vCPU fills the absent pages that it accesses");
	report_pager_mode(host, report, PAGER_UFFD,
			  "userfaultfd catches accesses to absent pages");
	report_pager_mode(host, report, PAGER_MAP,
			  "the memory file is mapped; the host kernel loads "
			  "its pages, unverified");
	report_pager_mode(host, report, PAGER_EAGER,
			  "all memory is loaded before the guest starts");
	report_auto(host, report);
	report_add(report, "integrity", REPORT_FACT,
		   "userfault and uffd verify each page before a vCPU sees it, "
		   "eager all of them first; map none, unless restore --verify "
		   "has verified all or snapshot --fsverity has made the host "
		   "kernel verify each block");
}
