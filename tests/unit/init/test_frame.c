/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of the control port: round trips, and malformed bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/init/frame.h"
#include "vmm/base/bytes.h"

static struct message setup_message(void)
{
	static struct setup_bind binds[] = {
		{ (char *)"share1", (char *)"/srv/data", 0 },
		{ (char *)"share2", (char *)"/srv", BIND_READONLY },
	};

	return (struct message){
		.type = MESSAGE_SETUP,
		.setup = {
			.root_tag = (char *)"root",
			.flags = SETUP_READONLY,
			.binds = binds,
			.bind_count = 2,
			.hostname = (char *)"",
			.ipv4 = { (char *)"192.0.2.1", (char *)"192.0.2.254",
				  24 },
			.ipv6 = { (char *)"2001:db8::1", (char *)"", 64 },
			.dns = (char *)"",
		},
	};
}

static struct message request_message(void)
{
	static char *argv[] = { (char *)"sh", (char *)"", (char *)"a\n\"'\xff",
				NULL };
	static char *env[] = { (char *)"PATH=/bin", NULL };
	static uint32_t groups[] = { 4, 0xfffffffe };
	static uint8_t entropy[] = { 1, 0, 2, 0xff };

	return (struct message){
		.type = MESSAGE_REQUEST,
		.request = {
			.argv = argv,
			.argc = 3,
			.env = env,
			.env_count = 1,
			.cwd = (char *)"/tmp",
			.uid = 1000,
			.gid = 1001,
			.groups = groups,
			.group_count = 2,
			.umask = 027,
			.flags = REQUEST_PTY,
			.rows = 25,
			.cols = 300,
			.realtime_ns = UINT64_C(0x123456789abcdef0),
			.entropy = entropy,
			.entropy_bytes = sizeof(entropy),
		},
	};
}

/* Gives the bytes of @out to a receiver, @step at a time. */
static int transfer(struct frame_buffer *out, size_t step, struct message *m)
{
	struct frame_buffer in = { 0 };
	int result = 0;

	while (result == 0 && out->start < out->end) {
		size_t room, bytes = min_u64(step, out->end - out->start);
		void *to = frame_room(&in, &room);

		assert_non_null(to);
		bytes = min_u64(bytes, room);
		assert_true(bytes > 0);
		memcpy(to, out->data + out->start, bytes);
		frame_received(&in, bytes);
		frame_sent(out, bytes);
		result = frame_decode(&in, m);
	}
	if (result == 1)
		assert_int_equal(in.start, in.end);
	frame_buffer_finish(&in);
	return result;
}

/* Encodes @m and decodes it into @back. */
static void round_trip(const struct message *m, size_t step,
		       struct message *back)
{
	struct frame_buffer out = { 0 };

	*back = (struct message){ 0 };
	assert_int_equal(frame_encode(&out, m), 0);
	assert_int_equal(transfer(&out, step, back), 1);
	assert_int_equal(back->type, m->type);
	assert_int_equal(out.start, out.end);
	frame_buffer_finish(&out);
}

static void setup(void **state)
{
	struct message m = setup_message(), back;

	(void)state;
	for (size_t step = 1; step < 200; step += 99) {
		round_trip(&m, step, &back);
		assert_string_equal(back.setup.root_tag, "root");
		assert_int_equal(back.setup.flags, SETUP_READONLY);
		assert_int_equal(back.setup.bind_count, 2);
		assert_string_equal(back.setup.binds[0].path, "/srv/data");
		assert_string_equal(back.setup.binds[1].tag, "share2");
		assert_int_equal(back.setup.binds[1].flags, BIND_READONLY);
		assert_string_equal(back.setup.hostname, "");
		assert_string_equal(back.setup.ipv4.address, "192.0.2.1");
		assert_string_equal(back.setup.ipv4.router, "192.0.2.254");
		assert_int_equal(back.setup.ipv4.prefix_bits, 24);
		assert_string_equal(back.setup.ipv6.address, "2001:db8::1");
		assert_string_equal(back.setup.ipv6.router, "");
		assert_int_equal(back.setup.ipv6.prefix_bits, 64);
		assert_string_equal(back.setup.dns, "");
		message_finish(&back);
	}
}

static void request(void **state)
{
	struct message m = request_message(), back;
	const struct request *r = &back.request;

	(void)state;
	round_trip(&m, 7, &back);
	assert_int_equal(r->argc, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_string_equal(r->argv[i], m.request.argv[i]);
	assert_null(r->argv[3]);
	assert_int_equal(r->env_count, 1);
	assert_string_equal(r->env[0], "PATH=/bin");
	assert_null(r->env[1]);
	assert_string_equal(r->cwd, "/tmp");
	assert_int_equal(r->uid, 1000);
	assert_int_equal(r->gid, 1001);
	assert_int_equal(r->group_count, 2);
	assert_int_equal(r->groups[1], 0xfffffffe);
	assert_int_equal(r->umask, 027);
	assert_int_equal(r->flags, REQUEST_PTY);
	assert_int_equal(r->rows, 25);
	assert_int_equal(r->cols, 300);
	assert_true(r->realtime_ns == UINT64_C(0x123456789abcdef0));
	assert_int_equal(r->entropy_bytes, 4);
	assert_memory_equal(r->entropy, m.request.entropy, 4);
	message_finish(&back);
}

static void small_messages(void **state)
{
	const struct usage usage = { 1, 2, UINT64_MAX };
	struct message m = { .type = MESSAGE_KILLED }, back;

	(void)state;
	m.killed = (struct killed){ 9, 1, usage };
	round_trip(&m, 100, &back);
	assert_int_equal(back.killed.signal, 9);
	assert_int_equal(back.killed.core_dumped, 1);
	assert_memory_equal(&back.killed.usage, &usage, sizeof(usage));
	message_finish(&back);

	m = (struct message){ .type = MESSAGE_EXITED };
	m.exited = (struct exited){ 255, usage };
	round_trip(&m, 100, &back);
	assert_int_equal(back.exited.status, 255);
	assert_memory_equal(&back.exited.usage, &usage, sizeof(usage));
	message_finish(&back);

	m = (struct message){ .type = MESSAGE_NOT_STARTED };
	m.not_started = (struct not_started){ ENOENT, (char *)"run x", 1 };
	round_trip(&m, 100, &back);
	assert_int_equal(back.not_started.error, ENOENT);
	assert_string_equal(back.not_started.what, "run x");
	assert_int_equal(back.not_started.before_exec, 1);
	message_finish(&back);
}

/* Every type of a zeroed message, its strings empty. */
static void all_types(void **state)
{
	static char *argv[] = { (char *)"", NULL };
	unsigned int known = 0;

	(void)state;
	for (unsigned int type = 0; type < 64; type++) {
		struct message m = { .type = (enum message_type)type }, back;
		struct frame_buffer out = { 0 };
		int err;

		if (type == MESSAGE_SETUP)
			m.setup = (struct setup){
				.root_tag = (char *)"",
				.hostname = (char *)"",
				.ipv4 = { (char *)"", (char *)"", 0 },
				.ipv6 = { (char *)"", (char *)"", 0 },
				.dns = (char *)""
			};
		if (type == MESSAGE_REQUEST)
			m.request = (struct request){ .argv = argv,
						      .argc = 1,
						      .cwd = (char *)"" };
		if (type == MESSAGE_HELLO)
			m.hello.release = (char *)"";
		if (type == MESSAGE_FAILED)
			m.failed.what = (char *)"";
		if (type == MESSAGE_NOT_STARTED)
			m.not_started.what = (char *)"";
		err = frame_encode(&out, &m);
		if (err) {
			assert_int_equal(err, -EINVAL);
			assert_int_equal(out.end, 0);
		} else {
			known++;
			assert_int_equal(transfer(&out, 1000, &back), 1);
			message_finish(&back);
		}
		frame_buffer_finish(&out);
	}
	assert_int_equal(known, 13);
}

/* Frames in one buffer come out in order, and the buffer does not grow. */
static void many(void **state)
{
	struct frame_buffer out = { 0 }, in = { 0 };
	struct message m = { .type = MESSAGE_BEAT }, back;
	uint64_t taken = 0;

	(void)state;
	for (m.beat.uptime_ms = 0; m.beat.uptime_ms < 100000;
	     m.beat.uptime_ms++) {
		size_t room, bytes;
		void *to;

		assert_int_equal(frame_encode(&out, &m), 0);
		to = frame_room(&in, &room);
		bytes = min_u64(room, (out.end - out.start + 1) / 2);
		memcpy(to, out.data + out.start, bytes);
		frame_received(&in, bytes);
		frame_sent(&out, bytes);
		while (frame_decode(&in, &back) == 1) {
			assert_int_equal(back.type, MESSAGE_BEAT);
			assert_true(back.beat.uptime_ms == taken++);
			message_finish(&back);
		}
	}
	assert_true(taken > 99990);
	assert_true(in.capacity <= 128 * KIB);
	frame_buffer_finish(&out);
	frame_buffer_finish(&in);
}

/* The largest payload passes, one byte more does not. */
static void too_large(void **state)
{
	size_t largest = PROTOCOL_PAYLOAD_MAX - 8;
	char *text = malloc(largest + 2);
	struct message m = { .type = MESSAGE_FAILED }, back;
	struct frame_buffer out = { 0 };

	(void)state;
	assert_non_null(text);
	memset(text, 'x', largest + 1);
	text[largest + 1] = '\0';
	m.failed.what = text;
	assert_int_equal(frame_encode(&out, &m), -EMSGSIZE);
	assert_int_equal(out.end, 0);
	text[largest] = '\0';
	round_trip(&m, 65536, &back);
	assert_string_equal(back.failed.what, text);
	message_finish(&back);
	frame_buffer_finish(&out);
	free(text);
}

/* Decodes a frame of @type with a payload of @size bytes. */
static int decode(unsigned int type, const void *payload, size_t size)
{
	uint8_t header[PROTOCOL_HEADER_BYTES] = { 0 };
	struct frame_buffer in = { 0 };
	struct message m;
	size_t room;
	uint8_t *to;
	int result;

	put_le32(header, (uint32_t)size);
	put_le16(header + 4, (uint16_t)type);
	to = frame_room(&in, &room);
	assert_true(room >= sizeof(header) + size);
	memcpy(to, header, sizeof(header));
	memcpy(to + sizeof(header), payload, size);
	frame_received(&in, sizeof(header) + size);
	result = frame_decode(&in, &m);
	if (result == 1)
		message_finish(&m);
	frame_buffer_finish(&in);
	return result;
}

#define ZERO8  "\0\0\0\0\0\0\0\0"
#define ZERO12 ZERO8 "\0\0\0\0"
#define ZERO16 ZERO8 ZERO8

static void malformed(void **state)
{
	static const struct {
		unsigned int type;
		const char *payload;
		size_t bytes;
		int result;
	} rows[] = {
		{ MESSAGE_FINISH, "", 0, 1 },
		{ MESSAGE_FINISH, "x", 1, -EPROTO },
		{ 0, "", 0, -EPROTO },
		{ 24, "", 0, -EPROTO },
		{ MESSAGE_SIGNAL, "\x0f\0\0", 3, -EPROTO },
		{ MESSAGE_SIGNAL, "\x0f\0\0\0", 4, 1 },
		{ MESSAGE_SIGNAL, "\xff\0\0\0", 4, -EPROTO },
		/* A string: past the end, with a NUL, negative. */
		{ MESSAGE_HELLO, "\1\0\0\0\1\0\0\0x", 9, 1 },
		{ MESSAGE_HELLO, "\1\0\0\0\2\0\0\0x", 9, -EPROTO },
		{ MESSAGE_HELLO, "\1\0\0\0\1\0\0\0\0", 9, -EPROTO },
		{ MESSAGE_HELLO, "\1\0\0\0\xff\xff\xff\xff", 8, -EPROTO },
		/* No argv; lists larger than the payload. */
		{ MESSAGE_REQUEST, "\0\0\0\0", 4, -EPROTO },
		{ MESSAGE_REQUEST, "\2\0\0\0\0\0\0\0", 8, -EPROTO },
		{ MESSAGE_REQUEST, "\xff\xff\xff\xff\0\0\0\0", 8, -EPROTO },
		{ MESSAGE_SETUP, "\0\0\0\0" ZERO12 ZERO12 ZERO16, 44, 1 },
		{ MESSAGE_SETUP, "\0\0\0\0" ZERO12 ZERO12 ZERO16, 40, -EPROTO },
		{ MESSAGE_SETUP, "\0\0\0\0\4\0\0\0" ZERO8 ZERO12 ZERO16, 44,
		  -EPROTO },
		{ MESSAGE_SETUP, ZERO8 "\1\0\0\0\0\0\0\0" ZERO12 ZERO16, 44,
		  -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(decode(rows[i].type, rows[i].payload,
					rows[i].bytes),
				 rows[i].result);
}

/* A header that cannot be one is refused before its payload is there. */
static void malformed_header(void **state)
{
	static const char *headers[] = {
		"\1\0\x40\0\5\0\0\0", /* 4 MiB and a byte */
		"\xff\xff\xff\xff\5\0\0\0",
		"\1\0\0\0\5\0\1\0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		struct frame_buffer in = { 0 };
		struct message m;
		size_t room;

		memcpy(frame_room(&in, &room), headers[i], 8);
		frame_received(&in, 8);
		assert_int_equal(frame_decode(&in, &m), -EPROTO);
		frame_buffer_finish(&in);
	}
}

/* Every cut and every changed byte of two large messages: no crash, no leak. */
static void damaged(void **state)
{
	struct message messages[] = { setup_message(), request_message() };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		struct frame_buffer out = { 0 };
		size_t size;
		uint8_t *payload;

		assert_int_equal(frame_encode(&out, &messages[i]), 0);
		payload = out.data + PROTOCOL_HEADER_BYTES;
		size = out.end - PROTOCOL_HEADER_BYTES;
		for (size_t cut = 0; cut < size; cut++)
			assert_int_equal(decode(messages[i].type, payload, cut),
					 -EPROTO);
		for (size_t at = 0; at < size * 256; at++) {
			uint8_t was = payload[at / 256];
			int result;

			payload[at / 256] = (uint8_t)at;
			result = decode(messages[i].type, payload, size);
			assert_true(result == 1 || result == -EPROTO);
			payload[at / 256] = was;
		}
		frame_buffer_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setup),
		cmocka_unit_test(request),
		cmocka_unit_test(small_messages),
		cmocka_unit_test(all_types),
		cmocka_unit_test(many),
		cmocka_unit_test(too_large),
		cmocka_unit_test(malformed),
		cmocka_unit_test(malformed_header),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
