/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/link.h"

#include <errno.h>
#include <unistd.h>

void link_flush(struct link *link)
{
	struct frame_buffer *out = &link->out;

	while (out->start < out->end) {
		ssize_t sent = write(link->fd, out->data + out->start,
				     out->end - out->start);

		if (sent <= 0)
			return;
		frame_sent(out, (size_t)sent);
	}
}

void link_send(struct link *link, const struct message *m)
{
	/* There is memory for a few bytes, or the guest is lost anyway. */
	if (frame_encode(&link->out, m) == 0)
		link_flush(link);
}

int link_receive(struct link *link, struct message *m)
{
	int result = frame_decode(&link->in, m);

	while (result == 0 && !link->closed) {
		size_t room;
		void *to = frame_room(&link->in, &room);
		ssize_t bytes;

		if (!to)
			return -ENOMEM;
		bytes = read(link->fd, to, room);
		if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (bytes <= 0)
			link->closed = true;
		else
			frame_received(&link->in, (size_t)bytes);
		result = frame_decode(&link->in, m);
	}
	return result;
}
