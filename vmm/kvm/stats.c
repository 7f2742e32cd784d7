/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/kvm/stats.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/pio.h"
#include "vmm/kvm/kvm.h"

/* More than any KVM has. */
#define COUNTERS_MAX   1024
#define NAME_MAX_BYTES 128

static const char *const names[KVM_FAULT_COUNTERS] = {
	"pf_taken", "pf_fixed", "pf_emulate", "pf_spurious", "pf_fast"
};

/* Finds the offsets of the counters that have these names. */
static int find(struct kvm_fault_stats *stats)
{
	struct kvm_stats_header header;
	int r = pread_all(stats->fd, &header, sizeof(header), 0);

	if (r < 0)
		return r;
	if (header.num_desc > COUNTERS_MAX || !header.name_size ||
	    header.name_size > NAME_MAX_BYTES)
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		uint64_t at =
			header.desc_offset +
			i * (sizeof(struct kvm_stats_desc) + header.name_size);
		char name[NAME_MAX_BYTES] = "";
		struct kvm_stats_desc desc;

		r = pread_all(stats->fd, &desc, sizeof(desc), at);
		if (r == 0)
			r = pread_all(stats->fd, name, header.name_size,
				      at + sizeof(desc));
		if (r < 0)
			return r;
		for (unsigned int n = 0; n < KVM_FAULT_COUNTERS; n++)
			if (!strncmp(name, names[n], header.name_size))
				stats->offsets[n] =
					header.data_offset + desc.offset;
	}
	return stats->offsets[0] && stats->offsets[1] ? 0 : -EOPNOTSUPP;
}

int kvm_fault_stats_open(struct kvm_fault_stats *stats,
			 const struct kvm_vcpu *cpu)
{
	int r = kvm_ioctl(cpu->fd, KVM_GET_STATS_FD, NULL);

	*stats = (struct kvm_fault_stats){ .fd = r };
	if (r < 0)
		return r == -EINVAL || r == -ENOTTY ? -EOPNOTSUPP : r;
	r = find(stats);
	if (r < 0)
		kvm_fault_stats_close(stats);
	return r;
}

void kvm_fault_stats_close(struct kvm_fault_stats *stats)
{
	if (stats->fd >= 0)
		close(stats->fd);
	stats->fd = -1;
}

int kvm_fault_stats_read(const struct kvm_fault_stats *stats,
			 struct kvm_fault_counts *counts)
{
	uint64_t values[KVM_FAULT_COUNTERS] = { 0 }, known = 0;

	for (unsigned int n = 0; n < KVM_FAULT_COUNTERS; n++) {
		int r = stats->offsets[n] ? pread_all(stats->fd, &values[n],
						      sizeof(values[n]),
						      stats->offsets[n]) :
					    0;

		if (r < 0)
			return r;
		if (n > 0)
			known += values[n];
	}
	/* They are not read at one instant. */
	counts->resolved = values[1];
	counts->unresolved = values[0] > known ? values[0] - known : 0;
	return 0;
}
