/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `thaw probe` found out, and the parts of its report.  Private to the
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
	const char *kvm_refusal; /* why KVM does not open; NULL: it does */
	struct kvm kvm;
	struct kvm_vm vm; /* vm.kvm NULL: it could not be made */
	struct kvm_probe answers; /* of a VM that could be made */
	struct uffd_probe uffd;
	struct mem_host memory;
};

/* Whether a guest can run at all: a VM, and every needed capability. */
bool probe_can_run(const struct probe_host *host);

/* Each adds its sections. */
void probe_report_host(const struct probe_host *host, struct report *report);
void probe_report_kvm(const struct probe_host *host, struct report *report);
void probe_report_memory(const struct probe_host *host, struct report *report);
void probe_report_uffd(const struct probe_host *host, struct report *report);
void probe_report_pager(const struct probe_host *host, struct report *report);

#endif
