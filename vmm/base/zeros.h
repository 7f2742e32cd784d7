/* SPDX-License-Identifier: BSD-2-Clause */
/* Large arrays of zeros, which cost no memory until they are touched. */
#ifndef VMM_BASE_ZEROS_H
#define VMM_BASE_ZEROS_H

#include <stdint.h>

/* Maps @bytes of zeros; NULL, with errno set: no memory.  Any thread. */
void *zeros_map(uint64_t bytes);

/* Unmaps them; NULL has no effect. */
void zeros_unmap(void *zeros, uint64_t bytes);

#endif
