// SPDX-License-Identifier: BSD-2-Clause
/* In place of ring.c where liburing is missing: there are no rings. */
#include "vmm/io/ring.h"

#include <errno.h>
#include <stddef.h>

int ring_create(struct ring **ring, int done_fd)
{
	(void)ring;
	(void)done_fd;
	return -ENOSYS;
}

void ring_destroy(struct ring *ring)
{
	(void)ring;
}

bool ring_add(struct ring *ring, void *tag,
	      const struct ring_transfer *transfer)
{
	(void)ring;
	(void)tag;
	(void)transfer;
	return false;
}

int ring_submit(struct ring *ring)
{
	(void)ring;
	return 0;
}

void *ring_take_back(struct ring *ring)
{
	(void)ring;
	return NULL;
}

void ring_cancel(struct ring *ring)
{
	(void)ring;
}

void *ring_take(struct ring *ring, int *result)
{
	(void)ring;
	(void)result;
	return NULL;
}
