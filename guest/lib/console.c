/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output to a virtio console (virtio 1.2, 5.3), if requested or without a
 * serial port.  One buffer at a time; each is waited for.
 */
#include "guest/lib/console.h"
#include "guest/lib/virtio.h"

#define DEVICE_CONSOLE 3
#define QUEUE_OUTPUT   1

static struct {
	bool active;
	struct virtio device;
	struct virtio_queue queue;
	size_t used;
	char buffer[256];
} console;

void console_init(const struct machine *machine)
{
	struct virtio *v = &console.device;

	if (serial_present() && !arg_is(machine, "console", "hvc0"))
		return;
	if (!virtio_find(machine, DEVICE_CONSOLE, v) ||
	    !virtio_negotiate(v, 0) ||
	    !virtio_add_queue(v, QUEUE_OUTPUT, &console.queue))
		return;
	virtio_ready(v);
	console.active = true;
}

/* Sends the buffer; disables a device that does not take it. */
static void flush(void)
{
	if (console.used)
		console.active = virtio_send(&console.queue, console.buffer,
					     (uint32_t)console.used);
	console.used = 0;
}

static void put(char c)
{
	if (!console.active) {
		serial_send(c);
		return;
	}
	console.buffer[console.used++] = c;
	if (console.used == sizeof(console.buffer))
		flush();
}

void console_write(const char *text, size_t len)
{
	for (; len; len--, text++) {
		if (*text == '\n')
			put('\r');
		put(*text);
	}
	if (console.active)
		flush();
}
