/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages (protocol.h) as bytes and back, for thaw and for the init. The bytes
 * of the other side are not trusted. Any thread; no shared state.
 */
#ifndef GUEST_INIT_FRAME_H
#define GUEST_INIT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "guest/init/protocol.h"

/* Bytes [start, end) of data are to be sent, or were received. Zeroed: empty. */
struct frame_buffer {
	uint8_t *data;
	size_t start, end;
	size_t capacity;
};

/* Frees the data; the buffer is empty again. */
void frame_buffer_finish(struct frame_buffer *buffer);

/*
 * Appends the frame of @m. -EMSGSIZE: its payload would be too large; -ENOMEM;
 * -EINVAL: no such type. Nothing was appended then.
 */
int frame_encode(struct frame_buffer *out, const struct message *m);

/* Drops @bytes from the front of the buffer: they were sent. */
void frame_sent(struct frame_buffer *out, size_t bytes);

/*
 * Returns room for at least one byte at the end of the buffer, and its size;
 * NULL: no memory. A buffer whose frames are taken by frame_decode() as they
 * arrive never needs much more than one frame.
 */
void *frame_room(struct frame_buffer *in, size_t *room);

/* The first @bytes of the last frame_room() were filled. */
void frame_received(struct frame_buffer *in, size_t bytes);

/*
 * Takes the first frame from the buffer. 1: it is in @m, to be freed by
 * message_finish(); 0: it is not complete; -EPROTO: malformed, and the stream
 * cannot be read any further; -ENOMEM. @m needs no finish unless 1 is returned.
 */
int frame_decode(struct frame_buffer *in, struct message *m);

/* Frees what frame_decode() allocated. */
void message_finish(struct message *m);

#endif
