/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw probe`: shows what this host supports.  This file probes; probe_kvm.c
 * and probe_host.c write the sections of the report.  Main thread.
 */
#include "vmm/cli/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/arch.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/probe_host.h"

/* End of the scratch VM's RAM, where its address space must be sized. */
#define SCRATCH_RAM_END (4 * GIB)

struct probe_options {
	bool json;
	const char *kvm;
};

static const struct option options[] = {
	{
		.kind = OPTION_FLAG,
		.name = "json",
		.offset = offsetof(struct probe_options, json),
		.help = "print one JSON object",
	},
	{
		.kind = OPTION_STRING,
		.name = "kvm",
		.offset = offsetof(struct probe_options, kvm),
		.metavar = "PATH",
		.help = "KVM device (default: /dev/kvm)",
	},
};

static const struct option_spec spec = {
	.command = "thaw probe",
	.about = "Show what this host supports, found by trying it, and how to "
		 "enable what it lacks.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
};

/* Opens KVM and creates a VM without memory, or logs one line. */
static void open_kvm(struct probe_host *host)
{
	unsigned long type;
	int fd = open(host->kvm_path, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		host->kvm_refusal = kvm_open_error(errno);
		log_error("%s: %s", host->kvm_path, host->kvm_refusal);
		return;
	}
	close(fd);
	if (kvm_open(&host->kvm, host->kvm_path) < 0) {
		host->kvm_refusal = "not a KVM device with API version 12";
		return;
	}
	if (arch_vm_type(&host->kvm, SCRATCH_RAM_END, &type) == 0 &&
	    kvm_vm_create(&host->vm, &host->kvm, type) == 0)
		kvm_probe(&host->answers, &host->kvm, &host->vm);
}

static void probe_open(struct probe_host *host)
{
	CLEANUP_CLOSE int memfd = -1;

	open_kvm(host);
	if (host->vm.kvm)
		memfd = kvm_guest_memfd_create(&host->vm, MIB);
	uffd_probe(&host->uffd, memfd);
	mem_host_read(&host->memory);
}

static void probe_close(struct probe_host *host)
{
	kvm_vm_destroy(&host->vm);
	kvm_close(&host->kvm);
}

static void report_arch(const struct probe_host *host, struct report *report)
{
	struct probe_item items[24];
	size_t count;

	if (!host->vm.kvm)
		return;
	report_section(report, "architecture", "Architecture");
	count = arch_probe(&host->kvm, &host->vm, items, ARRAY_SIZE(items));
	for (size_t i = 0; i < count; i++)
		report_add(report, items[i].name,
			   items[i].yes ? REPORT_YES : REPORT_NO, "%s",
			   items[i].text);
}

static void write_json(const struct report *report, bool can_run)
{
	struct json json;

	json_init(&json, stdout, true);
	json_object_begin(&json, NULL);
	json_string(&json, "thaw", THAW_VERSION);
	json_bool(&json, "can_run", can_run);
	report_write_json(report, &json);
	json_object_end(&json);
	json_finish(&json);
}

/* Prints the report; returns the exit status. */
static int probe_report(const struct probe_host *host, bool as_json)
{
	struct report report = { .count = 0 };
	bool can_run = probe_can_run(host);

	probe_report_host(host, &report);
	probe_report_kvm(host, &report);
	report_arch(host, &report);
	probe_report_memory(host, &report);
	probe_report_uffd(host, &report);
	probe_report_pager(host, &report);
	if (as_json)
		write_json(&report, can_run);
	else
		report_write(&report, stdout);
	if (can_run)
		return EXIT_DONE;
	fflush(stdout);
	if (host->vm.kvm)
		log_error("this host cannot run guests: KVM lacks a required "
			  "capability");
	return EXIT_HOST;
}

int probe_main(int argc, char **argv)
{
	struct probe_options values = { .kvm = "/dev/kvm" };
	struct probe_host host = { .kvm = { .fd = -1 }, .vm = { .fd = -1 } };
	int status;

	status = exit_after_options(
		option_parse(&spec, argc, argv, &values, NULL));
	if (status >= 0)
		return status;
	host.kvm_path = values.kvm;
	probe_open(&host);
	status = probe_report(&host, values.json);
	probe_close(&host);
	return status;
}
