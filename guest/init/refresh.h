/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest does before its command, because it may have been saved long
 * before.
 */
#ifndef GUEST_INIT_REFRESH_H
#define GUEST_INIT_REFRESH_H

struct request;

/*
 * Sets the clock and adds the request's entropy: a restored guest has the time and
 * the generator's state of the save.  A kernel that lacks one goes without.
 */
void refresh(const struct request *r);

#endif
