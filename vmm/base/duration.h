/* SPDX-License-Identifier: BSD-2-Clause */
/* Human-readable durations: a number with ms, s, m or h. */
#ifndef VMM_BASE_DURATION_H
#define VMM_BASE_DURATION_H

#include <stdint.h>

/* A hundred years: the sum of any two is far from the end of a uint64_t. */
#define DURATION_MAX_NS (UINT64_C(876000) * 3600 * 1000000000)

/*
 * Parses "500ms", "90s", "5m", "1.5h"; a plain number is in seconds, as for
 * timeout(1).  -EINVAL if malformed, -ERANGE above DURATION_MAX_NS; silent.
 */
int duration_parse(const char *text, uint64_t *ns);

#endif
