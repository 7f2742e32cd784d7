/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of `thaw probe` about the host, userfaultfd and the ways the pager
 * can work.  Main thread only.
 */
#include "vmm/cli/probe_host.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/pager/choose.h"

/* Adds the section about the host; see the header. */
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
			 "%" PRIu64 " MiB, of which %" PRIu64
			 " MiB are available",
			 memory->total_bytes / MIB,
			 memory->available_bytes / MIB);
	report_add_value(report, "page_size", REPORT_FACT, memory->page_bytes,
			 "%" PRIu64 " bytes", memory->page_bytes);
	if (*memory->thp)
		report_add(report, "transparent_hugepages", REPORT_FACT,
			   "%s; for shared memory %s", memory->thp,
			   *memory->thp_shmem ? memory->thp_shmem : "none");
	else
		report_add(report, "transparent_hugepages", REPORT_NO,
			   "the kernel has them not, or /sys is not mounted: "
			   "guests run on small pages");
	for (unsigned int i = 0; i < memory->pool_count; i++)
		report_add_value(report, "hugetlb", REPORT_FACT,
				 memory->pools[i].page_bytes,
				 "%" PRIu64 " pages of %" PRIu64
				 " KiB, %" PRIu64 " free",
				 memory->pools[i].total_pages,
				 memory->pools[i].page_bytes / KIB,
				 memory->pools[i].free_pages);
	if (memory->pool_count == 0)
		report_add(report, "hugetlb", REPORT_FACT,
			   "no pages set apart");
}

/* Why userfaultfd(2) or the device was refused. */
static const char *uffd_words(int err)
{
	switch (-err) {
	case ENOSYS:
		return "the kernel is built without CONFIG_USERFAULTFD, or a "
		       "seccomp filter hides it";
	case ENOENT:
		return "no such device: Linux 6.1 and later with "
		       "CONFIG_USERFAULTFD has it";
	case EPERM:
		return "not for this user: needs CAP_SYS_PTRACE or "
		       "vm.unprivileged_userfaultfd=1 (or a seccomp filter "
		       "forbids it)";
	case EACCES:
		return "permission denied: let your group open "
		       "/dev/userfaultfd";
	default:
		return strerrordesc_np(-err);
	}
}

/* Adds a line about a way to get a userfaultfd. */
static void report_way(struct report *report, const char *name, int answer,
		       const char *yes)
{
	report_add(report, name, answer == 0 ? REPORT_YES : REPORT_NO, "%s",
		   answer == 0 ? yes : uffd_words(answer));
}

/* Adds a line about a kind of memory. */
static void report_range(struct report *report, const char *name, int answer,
			 const char *no)
{
	if (answer == 0)
		report_add(report, name, REPORT_YES, "can be registered");
	else
		report_add(report, name, REPORT_NO, "%s", no);
}

/* Adds the lines about what can be registered. */
static void report_ranges(const struct uffd_probe *uffd, struct report *report)
{
	static const char gmem[] =
		"this kernel does not take guest_memfd mappings; Linux 7.1 and "
		"later can";
	static const char none[] = "no guest_memfd to be had to try it with";
	const char *no = uffd->guest_memfd_missing == -ENODEV ? none : gmem;

	report_range(report, "anonymous_missing", uffd->anon_missing,
		     "the kernel refuses anonymous memory");
	report_range(report, "anonymous_wp", uffd->anon_wp,
		     "no write protection; Linux 5.7 and later can");
	report_range(report, "shmem_missing", uffd->shmem_missing,
		     "the kernel refuses shared memory");
	report_range(report, "shmem_minor", uffd->shmem_minor,
		     "no minor faults of shared memory; Linux 5.14 and later "
		     "can");
	report_range(report, "guest_memfd_missing", uffd->guest_memfd_missing,
		     no);
	report_range(report, "guest_memfd_minor", uffd->guest_memfd_minor, no);
}

/* Adds the section about userfaultfd; see the header. */
void probe_report_uffd(const struct probe_host *host, struct report *report)
{
	const struct uffd_probe *uffd = &host->uffd;

	report_section(report, "userfaultfd", "userfaultfd");
	report_way(report, "syscall", uffd->syscall,
		   "userfaultfd(2), faults of the kernel included");
	report_way(report, "syscall_user_only", uffd->syscall_user_only,
		   "with UFFD_USER_MODE_ONLY: faults of user space");
	report_way(report, "device", uffd->device,
		   "/dev/userfaultfd, faults of the kernel included");
	if (uffd->unprivileged >= 0)
		report_add_value(report, "unprivileged", REPORT_FACT,
				 (unsigned)uffd->unprivileged,
				 "vm.unprivileged_userfaultfd=%d",
				 uffd->unprivileged);
	report_add(report, "kernel_faults",
		   uffd->kernel_faults ? REPORT_YES : REPORT_NO, "%s",
		   uffd->kernel_faults ?
			   "KVM's own accesses can be caught" :
			   "KVM's own accesses cannot be caught: give this "
			   "user /dev/userfaultfd or CAP_SYS_PTRACE");
	if (uffd->syscall_user_only && uffd->device)
		return;
	report_add_value(report, "features", REPORT_FACT, uffd->features,
			 "0x%" PRIx64, uffd->features);
	report_add(report, "minor_hugetlbfs",
		   uffd->features & UFFD_FEATURE_MINOR_HUGETLBFS ? REPORT_YES :
								   REPORT_NO,
		   "%s",
		   uffd->features & UFFD_FEATURE_MINOR_HUGETLBFS ?
			   "minor faults of hugetlbfs" :
			   "Linux 5.13 and later, where the architecture "
			   "allows it");
	if (uffd->kernel_faults)
		report_ranges(uffd, report);
}

/* Adds the line about one pager mode. */
static void report_pager_way(const struct probe_host *host,
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

/* Adds the line about what `auto` chooses for a boot. */
static void report_auto(const struct probe_host *host, struct report *report)
{
	const struct host_caps caps = {
		.backing = MEMORY_ANON,
		.userfault = host->answers.userfault_anon,
		.uffd = host->uffd.kernel_faults ? 0 : host->uffd.syscall,
	};
	struct pager_choice choice;

	if (pager_choose(&choice, PAGER_AUTO, &caps) == 0)
		report_add(report, "auto", REPORT_FACT, "%s: %s",
			   pager_mode_names[choice.mode], choice.why);
}

/* Adds the section about the pager; see the header. */
void probe_report_pager(const struct probe_host *host, struct report *report)
{
	if (!host->vm.kvm)
		return;
	report_section(report, "pager", "Pager");
	report_pager_way(host, report, PAGER_USERFAULT,
			 "an absent page stops only the vCPU that needs it, "
			 "without another thread");
	report_pager_way(host, report, PAGER_UFFD,
			 "userfaultfd stops who touches an absent page");
	report_pager_way(host, report, PAGER_MAP,
			 "a snapshot's file is mapped, the host kernel pages "
			 "it in");
	report_pager_way(host, report, PAGER_EAGER,
			 "all memory is there before the guest runs");
	report_auto(host, report);
}
