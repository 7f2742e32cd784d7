/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the features in the ID registers, for refusals and inspection. */
#ifndef ARCH_ARM64_IDREG_H
#define ARCH_ARM64_IDREG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* An ID register by its CRm and op2; op0, op1 and CRn are 3, 0, 0. */
#define ID_REG(crm, op2) ((crm) << 3 | (op2))

/*
 * Lists the features with a smaller value in @have than in @want, separated by
 * commas, in @buf, truncated to @room bytes; returns their number, 0 for an
 * unknown register.
 */
unsigned int arm64_features_missing(unsigned int id_reg, uint64_t have,
				    uint64_t want, char *buf, size_t room);

/*
 * Writes the names of the features in a register's @value, one on each line,
 * with "=" and the value if above the first level.  Nothing for an unknown
 * register.
 */
void arm64_features(unsigned int id_reg, uint64_t value, FILE *to);

/* The name of an ID register; NULL: unknown. */
const char *arm64_id_reg_name(unsigned int id_reg);

#endif
