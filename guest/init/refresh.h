/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest does before each command, because it may have been saved long
 * before: nothing of it may be older than the request.
 */
#ifndef GUEST_INIT_REFRESH_H
#define GUEST_INIT_REFRESH_H

struct request;

/*
 * Drops cached names and pages, sets the clock, and adds the request's entropy.
 * A kernel that lacks one of them goes without.
 */
void refresh(const struct request *r);

#endif
