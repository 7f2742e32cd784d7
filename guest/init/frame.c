/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two directions share one description: message_fields() walks through the
 * fields of a message, and a cursor either writes them or reads them. The cursor
 * keeps the first error; after it every read gives zero and NULL.
 *
 * Reading changes its payload, a copy: a string moves by one byte, over the last
 * byte of its length, for its NUL. Lists are allocated, and chained for
 * message_finish(); a list cannot have more elements than its bytes could hold.
 */
#include "guest/init/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

/* The memory of a received message: the payload, and each list. */
struct piece {
	struct piece *next;
	max_align_t data[];
};

struct cursor {
	bool reading;
	struct frame_buffer *out; /* writing */
	size_t written;
	uint8_t *at, *end; /* reading */
	struct piece *owned;
	int err;
};

static void *piece_create(struct piece **list, size_t bytes)
{
	struct piece *piece = malloc(sizeof(*piece) + bytes);

	if (!piece)
		return NULL;
	piece->next = *list;
	*list = piece;
	return piece->data;
}

static void pieces_destroy(struct piece *piece)
{
	while (piece) {
		struct piece *next = piece->next;

		free(piece);
		piece = next;
	}
}

/* Makes space for @bytes after the end. */
static int buffer_reserve(struct frame_buffer *buffer, size_t bytes)
{
	size_t used = buffer->end - buffer->start, capacity;
	uint8_t *data;

	if (buffer->capacity - buffer->end >= bytes)
		return 0;
	if (buffer->start) {
		memmove(buffer->data, buffer->data + buffer->start, used);
		buffer->start = 0;
		buffer->end = used;
	}
	if (buffer->capacity - used >= bytes)
		return 0;
	capacity = max_u64(used + bytes, 2 * buffer->capacity);
	data = realloc(buffer->data, capacity);
	if (!data)
		return -ENOMEM;
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

/* The place of the next @bytes of the payload; NULL after an error. */
static uint8_t *cursor_take(struct cursor *c, size_t bytes)
{
	uint8_t *place;

	if (c->err)
		return NULL;
	if (c->reading) {
		if ((size_t)(c->end - c->at) < bytes) {
			c->err = -EPROTO;
			return NULL;
		}
		place = c->at;
		c->at += bytes;
		return place;
	}
	c->written += bytes;
	if (c->written > PROTOCOL_HEADER_BYTES + PROTOCOL_PAYLOAD_MAX)
		c->err = -EMSGSIZE;
	else
		c->err = buffer_reserve(c->out, bytes);
	if (c->err)
		return NULL;
	place = c->out->data + c->out->end;
	c->out->end += bytes;
	return place;
}

/* A number of @bytes, for the helpers below. */
static uint64_t number(struct cursor *c, uint64_t value, unsigned int bytes)
{
	uint8_t *place = cursor_take(c, bytes);

	if (!place)
		return c->reading ? 0 : value;
	if (c->reading)
		return get_le(place, bytes);
	put_le(place, value, bytes);
	return value;
}

static void u16(struct cursor *c, uint16_t *value)
{
	*value = (uint16_t)number(c, *value, 2);
}

static void u32(struct cursor *c, uint32_t *value)
{
	*value = (uint32_t)number(c, *value, 4);
}

static void u64(struct cursor *c, uint64_t *value)
{
	*value = number(c, *value, 8);
}

/* A u32 of which only the bits @known may be set. */
static void flags(struct cursor *c, uint32_t *value, uint32_t known)
{
	u32(c, value);
	if (c->reading && !c->err && (*value & ~known))
		c->err = -EPROTO;
}

static void bytes(struct cursor *c, uint8_t **data, uint32_t *size)
{
	uint8_t *place;

	u32(c, size);
	place = cursor_take(c, *size);
	if (c->reading)
		*data = place;
	else if (place && *size)
		memcpy(place, *data, *size);
	if (!place && c->reading)
		*size = 0;
}

static void string(struct cursor *c, char **text)
{
	uint8_t *data = (uint8_t *)*text;
	size_t length = c->reading ? 0 : strlen(*text);
	uint32_t size = (uint32_t)length;

	if (length > PROTOCOL_PAYLOAD_MAX) {
		c->err = -EMSGSIZE;
		return;
	}
	bytes(c, &data, &size);
	if (!c->reading)
		return;
	*text = NULL;
	if (c->err)
		return;
	if (memchr(data, '\0', size)) {
		c->err = -EPROTO;
		return;
	}
	*text = (char *)data - 1;
	memmove(*text, data, size);
	(*text)[size] = '\0';
}

/*
 * The count of a list, and its elements when reading: @size bytes each in
 * memory, at least @encoded in the payload, and one more, all zero.
 */
static void *list(struct cursor *c, void *elements, uint32_t *count,
		  size_t size, size_t encoded)
{
	void *room;

	u32(c, count);
	if (!c->reading)
		return elements;
	if (!c->err && *count > (size_t)(c->end - c->at) / encoded)
		c->err = -EPROTO;
	if (c->err)
		*count = 0;
	room = c->err ? NULL : piece_create(&c->owned, (*count + 1) * size);
	if (room)
		memset(room, 0, (*count + 1) * size);
	else if (!c->err)
		c->err = -ENOMEM;
	if (!room)
		*count = 0;
	return room;
}

static void strings(struct cursor *c, char ***texts, uint32_t *count)
{
	*texts = list(c, *texts, count, sizeof(**texts), 4);
	for (uint32_t i = 0; i < *count; i++)
		string(c, &(*texts)[i]);
}

static void address_fields(struct cursor *c, struct setup_addresses *a)
{
	string(c, &a->address);
	string(c, &a->router);
	u32(c, &a->prefix_bits);
}

static void setup_fields(struct cursor *c, struct setup *s)
{
	string(c, &s->root_tag);
	flags(c, &s->flags, SETUP_READONLY);
	s->binds = list(c, s->binds, &s->bind_count, sizeof(*s->binds), 3 * 4);
	for (uint32_t i = 0; i < s->bind_count; i++) {
		struct setup_bind *bind = &s->binds[i];

		string(c, &bind->tag);
		string(c, &bind->path);
		flags(c, &bind->flags, BIND_READONLY);
	}
	string(c, &s->hostname);
	address_fields(c, &s->ipv4);
	address_fields(c, &s->ipv6);
	string(c, &s->dns);
}

static void request_fields(struct cursor *c, struct request *r)
{
	strings(c, &r->argv, &r->argc);
	if (!c->err && r->argc == 0)
		c->err = c->reading ? -EPROTO : -EINVAL;
	strings(c, &r->env, &r->env_count);
	string(c, &r->cwd);
	u32(c, &r->uid);
	u32(c, &r->gid);
	r->groups = list(c, r->groups, &r->group_count, sizeof(*r->groups), 4);
	for (uint32_t i = 0; i < r->group_count; i++)
		u32(c, &r->groups[i]);
	u32(c, &r->umask);
	flags(c, &r->flags, REQUEST_PTY | REQUEST_STDIN_CLOSED);
	u16(c, &r->rows);
	u16(c, &r->cols);
	u64(c, &r->realtime_ns);
	bytes(c, &r->entropy, &r->entropy_bytes);
}

static void usage_fields(struct cursor *c, struct usage *u)
{
	u64(c, &u->max_rss_kib);
	u64(c, &u->user_us);
	u64(c, &u->system_us);
}

static void exited_fields(struct cursor *c, struct exited *e)
{
	flags(c, &e->status, 0xff);
	usage_fields(c, &e->usage);
}

static void killed_fields(struct cursor *c, struct killed *k)
{
	flags(c, &k->signal, 0x7f);
	flags(c, &k->core_dumped, 1);
	usage_fields(c, &k->usage);
}

static void message_fields(struct cursor *c, struct message *m)
{
	switch (m->type) {
	case MESSAGE_SETUP:
		setup_fields(c, &m->setup);
		break;
	case MESSAGE_REQUEST:
		request_fields(c, &m->request);
		break;
	case MESSAGE_SIGNAL:
		flags(c, &m->signal.number, 0x7f);
		break;
	case MESSAGE_WINSIZE:
		u16(c, &m->winsize.rows);
		u16(c, &m->winsize.cols);
		break;
	case MESSAGE_HELLO:
		u32(c, &m->hello.version);
		string(c, &m->hello.release);
		break;
	case MESSAGE_FAILED:
		string(c, &m->failed.what);
		u32(c, &m->failed.error);
		break;
	case MESSAGE_STARTED:
		u32(c, &m->started.pid);
		break;
	case MESSAGE_NOT_STARTED:
		u32(c, &m->not_started.error);
		string(c, &m->not_started.what);
		flags(c, &m->not_started.before_exec, 1);
		break;
	case MESSAGE_EXITED:
		exited_fields(c, &m->exited);
		break;
	case MESSAGE_KILLED:
		killed_fields(c, &m->killed);
		break;
	case MESSAGE_BEAT:
		u64(c, &m->beat.uptime_ms);
		break;
	case MESSAGE_FINISH:
	case MESSAGE_READY:
		break;
	default:
		c->err = c->reading ? -EPROTO : -EINVAL;
	}
}

void frame_buffer_finish(struct frame_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct frame_buffer){ 0 };
}

int frame_encode(struct frame_buffer *out, const struct message *m)
{
	struct cursor c = { .out = out };
	struct message fields = *m;
	size_t used = out->end - out->start;
	uint8_t *header;

	cursor_take(&c, PROTOCOL_HEADER_BYTES);
	if (!c.err)
		message_fields(&c, &fields);
	if (c.err) {
		out->end = out->start + used;
		return c.err;
	}
	header = out->data + out->start + used;
	put_le32(header, (uint32_t)(c.written - PROTOCOL_HEADER_BYTES));
	put_le16(header + 4, (uint16_t)m->type);
	put_le16(header + 6, 0);
	return 0;
}

void frame_sent(struct frame_buffer *out, size_t bytes)
{
	out->start += bytes;
	if (out->start == out->end)
		out->start = out->end = 0;
}

/* Enough for most frames, and for what a read may bring. */
#define ROOM_BYTES (64 * KIB)

void *frame_room(struct frame_buffer *in, size_t *room)
{
	if (in->end == in->capacity && buffer_reserve(in, ROOM_BYTES))
		return NULL;
	*room = in->capacity - in->end;
	return in->data + in->end;
}

void frame_received(struct frame_buffer *in, size_t bytes)
{
	in->end += bytes;
}

/* Reads @size bytes of @payload into @m. */
static int message_parse(struct message *m, enum message_type type,
			 const uint8_t *payload, size_t size)
{
	struct cursor c = { .reading = true };
	uint8_t *copy = piece_create(&c.owned, size);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, payload, size);
	c.at = copy;
	c.end = copy + size;
	*m = (struct message){ .type = type };
	message_fields(&c, m);
	if (!c.err && c.at != c.end)
		c.err = -EPROTO;
	if (c.err) {
		pieces_destroy(c.owned);
		*m = (struct message){ 0 };
		return c.err;
	}
	m->owned = c.owned;
	return 0;
}

int frame_decode(struct frame_buffer *in, struct message *m)
{
	size_t have = in->end - in->start, payload;
	const uint8_t *frame;
	int err;

	if (have < PROTOCOL_HEADER_BYTES)
		return 0;
	frame = in->data + in->start;
	payload = get_le32(frame);
	if (payload > PROTOCOL_PAYLOAD_MAX || get_le16(frame + 6))
		return -EPROTO;
	if (have - PROTOCOL_HEADER_BYTES < payload)
		return 0;
	err = message_parse(m, (enum message_type)get_le16(frame + 4),
			    frame + PROTOCOL_HEADER_BYTES, payload);
	if (err)
		return err;
	frame_sent(in, PROTOCOL_HEADER_BYTES + payload);
	return 1;
}

void message_finish(struct message *m)
{
	pieces_destroy(m->owned);
	*m = (struct message){ 0 };
}
