/* SPDX-License-Identifier: BSD-2-Clause */
/* `thaw probe`: KVM and guest memory.  Main thread. */
#include <errno.h>
#include <string.h>

#include "vmm/cli/probe_host.h"

#define USERFAULT_WANTED                                                 \
	"KVM_MEM_USERFAULT is not supported by this kernel, nor by any " \
	"released one; see tests/rig/README.md"

bool probe_can_run(const struct probe_host *host)
{
	size_t count;
	const struct kvm_probe_cap *caps = kvm_probe_caps(&count);

	if (!host->vm.kvm)
		return false;
	for (size_t i = 0; i < count; i++)
		if (caps[i].needed && host->answers.caps[i] <= 0)
			return false;
	return true;
}

static void report_cap(struct report *report, const struct kvm_probe_cap *cap,
		       int value)
{
	if (value > 0)
		report_add_value(report, cap->name, REPORT_YES, (unsigned)value,
				 "%s", cap->use);
	else if (cap->needed)
		report_add(report, cap->name, REPORT_NO,
			   "required for %s (%s and later)", cap->use,
			   cap->since ? cap->since : "Linux 2.6");
	else if (cap->since)
		report_add(report, cap->name, REPORT_NO,
			   "not supported by this kernel (%s and later): "
			   "%s",
			   cap->since, cap->without);
	else
		report_add(report, cap->name, REPORT_NO,
			   "not supported by this kernel: %s", cap->without);
}

void probe_report_kvm(const struct probe_host *host, struct report *report)
{
	size_t count;
	const struct kvm_probe_cap *caps = kvm_probe_caps(&count);
	const struct kvm_probe *kvm = &host->answers;

	report_section(report, "kvm", "KVM");
	if (host->kvm_refusal) {
		report_add(report, "device", REPORT_NO, "%s: %s",
			   host->kvm_path, host->kvm_refusal);
		return;
	}
	report_add(report, "device", REPORT_YES, "%s", host->kvm_path);
	if (!host->vm.kvm) {
		report_add(report, "vm", REPORT_NO,
			   "KVM_CREATE_VM failed: is another hypervisor using "
			   "the processor?");
		return;
	}
	report_add_value(report, "api_version", REPORT_FACT,
			 (unsigned)kvm->api_version, "%d", kvm->api_version);
	report_add_value(report, "vcpus_max", REPORT_FACT,
			 (unsigned)kvm->vcpus_max, "%d per VM, %d recommended",
			 kvm->vcpus_max, kvm->vcpus_advised);
	report_add_value(report, "slots_max", REPORT_FACT,
			 (unsigned)kvm->slots_max, "%d memslots",
			 kvm->slots_max);
	for (size_t i = 0; i < count; i++)
		report_cap(report, &caps[i], kvm->caps[i]);
}

/* @has_plain: a guest_memfd without flags can be created. */
static const char *guest_memfd_refusal(int err, bool has_plain)
{
	switch (-err) {
	case ENOTTY:
		return "not supported by this kernel (Linux 6.8 and later)";
	case EINVAL:
	case ENODEV:
		return has_plain ?
			       "not supported by this kernel (Linux 6.18 and "
			       "later)" :
			       "not supported for this VM type (Linux 6.18 "
			       "and later)";
	default:
		return strerrordesc_np(-err);
	}
}

static void report_guest_memfd(struct report *report, const char *name,
			       int answer, bool has_plain, const char *yes)
{
	report_add(report, name, answer == 0 ? REPORT_YES : REPORT_NO, "%s",
		   answer == 0 ? yes : guest_memfd_refusal(answer, has_plain));
}

static void report_userfault(struct report *report, const char *name,
			     int answer, bool can_have_slot)
{
	if (answer == 0)
		report_add(report, name, REPORT_YES,
			   "a vCPU exits when it accesses an absent page");
	else if (!can_have_slot)
		report_add(report, name, REPORT_NO,
			   "not tested: no such memslot");
	else if (answer == -EINVAL || answer == -ENOTTY)
		report_add(report, name, REPORT_NO, USERFAULT_WANTED);
	else
		report_add(report, name, REPORT_NO,
			   "memslot with a userfault bitmap: %s",
			   strerrordesc_np(-answer));
}

void probe_report_memory(const struct probe_host *host, struct report *report)
{
	const struct kvm_probe *kvm = &host->answers;
	bool plain = kvm->guest_memfd == 0;

	if (!host->vm.kvm)
		return;
	report_section(report, "guest_memory", "Guest memory");
	report_add(report, "anonymous", REPORT_YES, "--memory=anon");
	report_guest_memfd(report, "guest_memfd", kvm->guest_memfd, plain,
			   "memory owned by KVM");
	report_guest_memfd(report, "guest_memfd_mmap", kvm->guest_memfd_mmap,
			   plain, "can be mapped by user space");
	report_guest_memfd(report, "guest_memfd_shared",
			   kvm->guest_memfd_slot ? kvm->guest_memfd_slot :
						   kvm->guest_memfd_map,
			   plain, "shared memslots: --memory=guest_memfd");
	report_userfault(report, "userfault_anonymous", kvm->userfault_anon,
			 true);
	report_userfault(report, "userfault_guest_memfd",
			 kvm->userfault_guest_memfd,
			 kvm->guest_memfd_slot == 0);
}
