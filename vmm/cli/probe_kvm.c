/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of `thaw probe` about KVM and what guest memory can be made of.
 * Main thread only.
 */
#include <errno.h>
#include <string.h>

#include "vmm/cli/probe_host.h"

/* What would change a "no" about userfault. */
#define USERFAULT_WANTED                                                    \
	"KVM here does not know KVM_MEM_USERFAULT; no released kernel has " \
	"it, tests/rig/README.md tells of one that does"

/* Whether every needed capability is there. */
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

/* Adds one capability. */
static void report_cap(struct report *report, const struct kvm_probe_cap *cap,
		       int value)
{
	if (value > 0)
		report_add_value(report, cap->name, REPORT_YES, (unsigned)value,
				 "%s", cap->use);
	else if (cap->needed)
		report_add(report, cap->name, REPORT_NO,
			   "needed for %s; %s and later has it", cap->use,
			   cap->since ? cap->since : "any Linux in use");
	else if (cap->since)
		report_add(report, cap->name, REPORT_NO,
			   "this kernel's KVM lacks it (%s and later can have "
			   "it): %s",
			   cap->since, cap->without);
	else
		report_add(report, cap->name, REPORT_NO,
			   "this kernel's KVM lacks it: %s", cap->without);
}

/* Adds the section about KVM; see the header. */
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
			   "KVM opens but makes no VM: is another hypervisor "
			   "using the processor?");
		return;
	}
	report_add_value(report, "api_version", REPORT_FACT,
			 (unsigned)kvm->api_version, "%d", kvm->api_version);
	report_add_value(report, "vcpus_max", REPORT_FACT,
			 (unsigned)kvm->vcpus_max,
			 "%d in one guest, %d advised", kvm->vcpus_max,
			 kvm->vcpus_advised);
	report_add_value(report, "slots_max", REPORT_FACT,
			 (unsigned)kvm->slots_max, "%d memory slots",
			 kvm->slots_max);
	for (size_t i = 0; i < count; i++)
		report_cap(report, &caps[i], kvm->caps[i]);
}

/* Why a guest_memfd of some kind was refused. */
static const char *guest_memfd_words(int err, bool has_plain)
{
	switch (-err) {
	case ENOTTY:
		return "this kernel's KVM has no guest_memfd; Linux 6.8 and "
		       "later can have it";
	case EINVAL:
	case ENODEV:
		return has_plain ?
			       "this kernel's guest_memfd cannot do that; "
			       "Linux 6.18 and later can" :
			       "KVM has it for other kinds of VM only; Linux "
			       "6.18 and later has it for this one";
	default:
		return strerrordesc_np(-err);
	}
}

/* Adds a line about guest_memfd. */
static void report_guest_memfd(struct report *report, const char *name,
			       int answer, bool has_plain, const char *yes)
{
	report_add(report, name, answer == 0 ? REPORT_YES : REPORT_NO, "%s",
		   answer == 0 ? yes : guest_memfd_words(answer, has_plain));
}

/* Adds a line about userfault. */
static void report_userfault(struct report *report, const char *name,
			     int answer, bool can_have_slot)
{
	if (answer == 0)
		report_add(report, name, REPORT_YES,
			   "an absent page stops the vCPU that touches it, "
			   "and only that one");
	else if (!can_have_slot)
		report_add(report, name, REPORT_NO,
			   "such slots are not to be had here at all");
	else if (answer == -EINVAL || answer == -ENOTTY)
		report_add(report, name, REPORT_NO, USERFAULT_WANTED);
	else
		report_add(report, name, REPORT_NO, "a slot with it: %s",
			   strerrordesc_np(-answer));
}

/* Adds the section about guest memory; see the header. */
void probe_report_memory(const struct probe_host *host, struct report *report)
{
	const struct kvm_probe *kvm = &host->answers;
	bool plain = kvm->guest_memfd == 0;

	if (!host->vm.kvm)
		return;
	report_section(report, "guest_memory", "Guest memory");
	report_add(report, "anonymous", REPORT_YES, "--memory=anon");
	report_guest_memfd(report, "guest_memfd", kvm->guest_memfd, plain,
			   "memory that KVM owns");
	report_guest_memfd(report, "guest_memfd_mmap", kvm->guest_memfd_mmap,
			   plain, "this program can map it");
	report_guest_memfd(report, "guest_memfd_shared",
			   kvm->guest_memfd_slot ? kvm->guest_memfd_slot :
						   kvm->guest_memfd_map,
			   plain,
			   "mapped, shared with the guest, and taken by a "
			   "slot: --memory=guest_memfd");
	report_userfault(report, "userfault_anonymous", kvm->userfault_anon,
			 true);
	report_userfault(report, "userfault_guest_memfd",
			 kvm->userfault_guest_memfd,
			 kvm->guest_memfd_slot == 0);
}
