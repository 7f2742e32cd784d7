/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names behind the processor's ID registers, so that a snapshot that needs
 * more than this host has is refused in words.
 */
#ifndef ARCH_ARM64_IDREG_H
#define ARCH_ARM64_IDREG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* An ID register by its CRm and op2; op0, op1 and CRn are 3, 0, 0. */
#define ID_REG(crm, op2) ((crm) << 3 | (op2))

/*
 * Writes the names of the features in which @have is less than @want, with
 * commas in between, into @buf, cut to @room bytes; how many there are.  0 for
 * a register that is not known.
 */
unsigned int arm64_features_missing(unsigned int id_reg, uint64_t have,
				    uint64_t want, char *buf, size_t room);

/*
 * Writes the names of the features that a register's @value shows, each ended
 * by a newline, with "=" and the value where there is more than the first level
 * of it.  Nothing for a register that is not known.
 */
void arm64_features(unsigned int id_reg, uint64_t value, FILE *to);

/* The name of an ID register, or NULL. */
const char *arm64_id_reg_name(unsigned int id_reg);

#endif
