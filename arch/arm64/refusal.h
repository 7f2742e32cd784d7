/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a vCPU of a snapshot cannot continue on this host: gathered register by
 * register, so that one line names all that is missing.
 */
#ifndef ARCH_ARM64_REFUSAL_H
#define ARCH_ARM64_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

struct refusal {
	char missing[320]; /* names, with commas in between */
	char other[160]; /* the first reason that is no missing name */
};

/* Whether it is an ID register: op0 3, op1 0, CRn 0; which, as ID_REG() has it. */
bool arm64_reg_is_id(uint64_t id);
unsigned int arm64_id_reg_number(uint64_t id);

/*
 * Notes that KVM refused to set register @id to @want with @err, where it has
 * @have (both of 64 bits, the low part of larger ones).
 */
void arm64_refusal_note(struct refusal *refusal, uint64_t id, uint64_t want,
			uint64_t have, int err);

/* Logs the line and returns -ENOTSUP, or 0 when nothing was noted. */
int arm64_refusal_report(const struct refusal *refusal, unsigned int cpu);

#endif
