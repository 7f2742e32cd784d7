/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `thaw probe` found, and the sections of its report.  Private to the
 * probe; one thread.
 */
#ifndef VMM_CLI_PROBE_HOST_H
#define VMM_CLI_PROBE_HOST_H

#include <stdbool.h>

#include "vmm/cli/report.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/probe.h"
#include "vmm/mem/host.h"
#include "vmm/mem/uffd_probe.h"

struct probe_host {
	const char *kvm_path;
	const char *kvm_refusal; /* why KVM cannot be opened; NULL: it can */
	struct kvm kvm;
	struct kvm_vm vm; /* vm.kvm NULL: KVM_CREATE_VM failed */
	struct kvm_probe answers; /* if there is a VM */
	struct uffd_probe uffd;
	struct mem_host memory;
};

/* Whether this host has a VM and every capability that thaw needs. */
bool probe_can_run(const struct probe_host *host);

/* Each adds the section of its name to the report. */
void probe_report_host(const struct probe_host *host, struct report *report);
void probe_report_kvm(const struct probe_host *host, struct report *report);
void probe_report_memory(const struct probe_host *host, struct report *report);
void probe_report_uffd(const struct probe_host *host, struct report *report);
void probe_report_pager(const struct probe_host *host, struct report *report);

#endif
