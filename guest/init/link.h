/* SPDX-License-Identifier: BSD-2-Clause */
/* The init's end of the control port; nothing here waits. */
#ifndef GUEST_INIT_LINK_H
#define GUEST_INIT_LINK_H

#include <stdbool.h>

#include "guest/init/frame.h"

struct link {
	int fd;
	struct frame_buffer in, out;
	bool closed; /* by the host, or it cannot be read any more */
};

/* Queues a message and sends what the port takes. */
void link_send(struct link *link, const struct message *m);

/* Sends what is queued and the port takes. */
void link_flush(struct link *link);

/*
 * Reads what has arrived and takes the first message: 1: it is in @m; 0: none;
 * or -errno: the stream is malformed.
 */
int link_receive(struct link *link, struct message *m);

#endif
