/* SPDX-License-Identifier: BSD-2-Clause */
/* Private anonymous memory for a region of guest RAM, and its large pages. */
#ifndef VMM_MEM_ANON_H
#define VMM_MEM_ANON_H

struct memory_huge;
struct memory_region;

/*
 * Maps @region and stores its hva, which is the guest address modulo 2 MiB
 * (modulo 1 GiB from 4 GiB on), so that KVM can map large pages; any address where
 * there is no space for that. -errno, logged, with the remedy where hugetlb pages
 * are missing.
 */
int anon_map(struct memory_region *region, const struct memory_huge *huge);

#endif
