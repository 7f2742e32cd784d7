/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reasons that a vCPU of a snapshot cannot run on this host, collected register
 * by register and reported in one line.
 */
#ifndef ARCH_ARM64_REFUSAL_H
#define ARCH_ARM64_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

struct refusal {
	char missing[320]; /* names, separated by commas */
	char other[160]; /* first other reason */
};

/*
 * Whether it is an ID register (op0 3, op1 0, CRn 0), and its ID_REG() number.
 */
bool arm64_reg_is_id(uint64_t id);
unsigned int arm64_id_reg_number(uint64_t id);

/*
 * Records that KVM refused, with @err, to set register @id to @want; the
 * current value is @have (64 bits, the low part of larger registers).
 */
void arm64_refusal_note(struct refusal *refusal, uint64_t id, uint64_t want,
			uint64_t have, int err);

/* Logs the line and returns -ENOTSUP; 0 if nothing was recorded. */
int arm64_refusal_report(const struct refusal *refusal, unsigned int cpu);

#endif
