/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drives the first virtio disk by itself, polled, several requests at a time.
 *
 *	mode=read	random reads (default)
 *	mode=seq	sequential reads
 *	mode=write	random writes
 *	mode=verify	writes blocks, flushes, reads and compares them; then the
 *			disk holds the last contents
 *	mode=check	writes blocks once, then reads and compares them
 *	depth=N		requests at a time, at most 64 (1)
 *	bytes=N		of a request, a multiple of 512 (4096)
 *	count=N		requests, or passes of verify and check (10000)
 *	size=N		bytes of the disk that are used (1 MiB)
 *	queue=N		of the disk (0)
 *	echo=1		meanwhile, on another processor: until the disk is done, each
 *			byte from the serial port is sent back; a q ends the load
 *	ask=1		reads such arguments from the serial port, a line for each
 *			load, until an empty one
 *
 * Prints "ready", and at the end of a load "disk: requests=N bytes=N us=N".
 */
#include <stdatomic.h>

#include "guest/lib/check.h"
#include "guest/lib/console.h"
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/signature.h"
#include "guest/lib/smp.h"
#include "guest/lib/virtio.h"

#define DEVICE_BLOCK 2 /* virtio 1.2, 5 */
#define SECTOR_BYTES 512
#define DEPTH_MAX    64
#define QUEUE_SIZE   256

/* virtio 1.2, 5.2. */
#define FEATURE_FLUSH (1u << 9)
#define FEATURE_MQ    (1u << 12)
#define TYPE_READ     0
#define TYPE_WRITE    1
#define TYPE_FLUSH    4

/* A request of slot n uses descriptors 3n, 3n + 1 and 3n + 2. */
struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

static struct {
	VIRTIO_RINGS(QUEUE_SIZE);
	struct header headers[DEPTH_MAX];
	volatile uint8_t status[DEPTH_MAX];
} rings;

struct disk {
	const struct machine *machine;
	struct virtio device;
	volatile uint16_t *notify;
	uint16_t queue, seen; /* used entries */
	uint64_t depth, bytes, count;
	uint64_t blocks; /* of @bytes, on the disk */
	uint64_t seed;
	uint8_t *data; /* @depth blocks; or all blocks of the disk, if: */
	bool own_places; /* each block has its own place in it */
	unsigned int cpus; /* online, once an echo is wanted */
	bool failed;
	atomic_bool stop; /* nothing more is offered */
	atomic_bool done;
};

static bool set_up(struct disk *d)
{
	const struct virtio_place place = { QUEUE_SIZE, rings.descriptors,
					    &rings.avail, &rings.used };

	if (!virtio_find(d->machine, DEVICE_BLOCK, &d->device) ||
	    !virtio_negotiate(&d->device,
			      FEATURE_FLUSH | (d->queue ? FEATURE_MQ : 0)))
		return false;
	rings.avail.flags = VIRTIO_RING_QUIET;
	d->notify = virtio_place_queue(&d->device, d->queue, &place);
	if (!d->notify)
		return false;
	virtio_ready(&d->device);
	return true;
}

static uint8_t *data_of(const struct disk *d, unsigned int slot, uint64_t block)
{
	return d->data + (d->own_places ? block : slot) * d->bytes;
}

/* Offers a request on block @block from a slot; a flush has no data. */
static void offer(const struct disk *d, unsigned int slot, uint32_t type,
		  uint64_t block)
{
	unsigned int at = 3 * slot;
	bool data = type != TYPE_FLUSH;

	rings.headers[slot] =
		(struct header){ .type = type,
				 .sector = block * (d->bytes / SECTOR_BYTES) };
	rings.status[slot] = 0xff;
	rings.descriptors[at].address = (uintptr_t)&rings.headers[slot];
	rings.descriptors[at].length = sizeof(struct header);
	rings.descriptors[at].flags = VIRTIO_DESCRIPTOR_NEXT;
	rings.descriptors[at].next = (uint16_t)(data ? at + 1 : at + 2);
	rings.descriptors[at + 1].address = (uintptr_t)data_of(d, slot, block);
	rings.descriptors[at + 1].length = (uint32_t)d->bytes;
	rings.descriptors[at + 1].flags =
		VIRTIO_DESCRIPTOR_NEXT |
		(type == TYPE_READ ? VIRTIO_DESCRIPTOR_WRITE : 0);
	rings.descriptors[at + 1].next = (uint16_t)(at + 2);
	rings.descriptors[at + 2].address = (uintptr_t)&rings.status[slot];
	rings.descriptors[at + 2].length = 1;
	rings.descriptors[at + 2].flags = VIRTIO_DESCRIPTOR_WRITE;
	rings.avail.ring[rings.avail.index % QUEUE_SIZE] = (uint16_t)at;
	atomic_thread_fence(memory_order_seq_cst);
	rings.avail.index++;
}

/* Notifies, unless the device polls. */
static void notify(const struct disk *d)
{
	const volatile uint16_t *flags = &rings.used.flags;

	atomic_thread_fence(memory_order_seq_cst);
	if (!(*flags & VIRTIO_RING_QUIET))
		*d->notify = d->queue;
}

/* The slot of the next completed request, or -1. */
static int poll(struct disk *d)
{
	const volatile uint16_t *index = &rings.used.index;
	unsigned int slot;

	if (*index == d->seen)
		return -1;
	atomic_thread_fence(memory_order_acquire);
	slot = rings.used.ring[d->seen++ % QUEUE_SIZE].id / 3;
	if (slot >= DEPTH_MAX || rings.status[slot] != 0) {
		d->failed = true;
		return 0;
	}
	return (int)slot;
}

/* The slot of the next completed request, which it waits for. */
static unsigned int await(struct disk *d)
{
	int slot;

	while ((slot = poll(d)) < 0)
		cpu_relax();
	return (unsigned int)slot;
}

/* The next block of mode seq, or a random one. */
static uint64_t next_block(struct disk *d, bool sequential)
{
	if (sequential)
		return d->seed++ % d->blocks;
	d->seed = signature_word(d->seed, 1);
	return d->seed % d->blocks;
}

/* Keeps the depth until all requests are done, or those before a stop. */
static void load(struct disk *d, uint32_t type, bool sequential)
{
	uint64_t offered = 0, done = 0;

	for (; offered < d->depth && offered < d->count; offered++)
		offer(d, (unsigned int)offered, type,
		      next_block(d, sequential));
	notify(d);
	while (done < d->count && !d->failed) {
		int slot = (int)await(d);
		bool more = false;

		if (atomic_load_explicit(&d->stop, memory_order_relaxed))
			d->count = offered;
		do {
			done++;
			if (offered < d->count) {
				offer(d, (unsigned int)slot, type,
				      next_block(d, sequential));
				offered++;
				more = true;
			}
			slot = poll(d);
		} while (slot >= 0);
		if (more)
			notify(d);
	}
}

/* The word of a block in a pass. */
static uint64_t word_of(uint64_t pass, uint64_t block, uint64_t i)
{
	return signature_word(pass << 32 ^ block, (unsigned int)i);
}

static void fill(const struct disk *d, unsigned int slot, uint64_t pass,
		 uint64_t block)
{
	uint64_t *words = (uint64_t *)(void *)data_of(d, slot, block);

	for (uint64_t i = 0; i < d->bytes / 8; i++)
		words[i] = word_of(pass, block, i);
}

static bool holds(const struct disk *d, unsigned int slot, uint64_t pass,
		  uint64_t block)
{
	const uint64_t *words =
		(const uint64_t *)(void *)data_of(d, slot, block);
	uint64_t different = 0;

	for (uint64_t i = 0; i < d->bytes / 8; i++)
		different |= words[i] ^ word_of(pass, block, i);
	return !different;
}

/* One request for each slot, on blocks that follow each other. */
static void all_slots(struct disk *d, uint32_t type, uint64_t block)
{
	for (unsigned int slot = 0; slot < d->depth; slot++)
		offer(d, slot, type, block + slot);
	notify(d);
	for (unsigned int n = 0; n < d->depth; n++)
		await(d);
}

static void write_blocks(struct disk *d, uint64_t pass)
{
	for (uint64_t b = 0; b + d->depth <= d->blocks; b += d->depth) {
		for (unsigned int slot = 0; slot < d->depth; slot++)
			fill(d, slot, pass, b + slot);
		all_slots(d, TYPE_WRITE, b);
	}
	offer(d, 0, TYPE_FLUSH, 0);
	notify(d);
	await(d);
}

/* Whether all blocks are those of the pass. */
static bool read_blocks(struct disk *d, uint64_t pass)
{
	for (uint64_t b = 0; b + d->depth <= d->blocks; b += d->depth) {
		all_slots(d, TYPE_READ, b);
		for (unsigned int slot = 0; slot < d->depth; slot++)
			if (!holds(d, slot, pass, b + slot))
				return false;
	}
	return !d->failed;
}

/*
 * The same where each block has its own place: it gets other contents long before it
 * is read, and is compared long after.
 */
static bool read_places(struct disk *d, uint64_t pass)
{
	for (uint64_t b = 0; b < d->blocks; b++)
		fill(d, 0, pass + 1, b);
	for (uint64_t b = 0; b + d->depth <= d->blocks; b += d->depth)
		all_slots(d, TYPE_READ, b);
	for (uint64_t b = 0; b + d->depth <= d->blocks; b++)
		if (!holds(d, 0, pass, b))
			return false;
	return !d->failed;
}

static void verify(struct disk *d)
{
	for (uint64_t i = 0; i < d->count && !d->failed; i++) {
		write_blocks(d, i);
		if (!read_blocks(d, i))
			d->failed = true;
		print("pass %lu\n", i);
	}
}

static void write_and_check(struct disk *d)
{
	write_blocks(d, 0);
	for (uint64_t i = 0; i < d->count && !d->failed; i++) {
		if (!read_places(d, 0))
			d->failed = true;
		print("pass %lu\n", i);
	}
}

static void work(unsigned int cpu, void *arg)
{
	struct disk *d = arg;
	const struct machine *m = d->machine;
	uint64_t start = cpu_counter();

	(void)cpu;
	if (arg_is(m, "mode", "verify"))
		verify(d);
	else if (d->own_places)
		write_and_check(d);
	else
		load(d, arg_is(m, "mode", "write") ? TYPE_WRITE : TYPE_READ,
		     arg_is(m, "mode", "seq"));
	print("disk: requests=%lu bytes=%lu us=%lu\n", d->count, d->bytes,
	      machine_counter_us(m, cpu_counter() - start));
	atomic_store(&d->done, true);
}

/* Works on another processor, and sends back what the serial port has. */
static void work_and_echo(struct disk *d)
{
	smp_call(1, work, d);
	while (!atomic_load(&d->done)) {
		char c = serial_receive();

		if (c == 'q') {
			atomic_store(&d->stop, true);
			break;
		}
		serial_send(c);
	}
	smp_wait(1);
}

/* A load as the command line says. */
static void run(struct disk *d, struct machine *machine)
{
	struct range ram = machine_free_ram(machine);
	uint64_t places;

	d->depth = arg_number(machine, "depth", 1);
	d->bytes = arg_number(machine, "bytes", 4096);
	d->count = arg_number(machine, "count", 10000);
	d->blocks = arg_number(machine, "size", 1 << 20) / d->bytes;
	d->data = (uint8_t *)(uintptr_t)ram.start;
	d->own_places = arg_is(machine, "mode", "check");
	places = d->own_places ? d->blocks : d->depth;
	atomic_store(&d->stop, false);
	atomic_store(&d->done, false);
	if (!check(d->depth && d->depth <= DEPTH_MAX && d->blocks &&
			   ram.start + places * d->bytes <= ram.end,
		   "arguments"))
		return;
	/* Present before the device accesses them. */
	for (uint64_t i = 0; i < places * d->bytes; i += SECTOR_BYTES)
		d->data[i] = 1;
	print("ready hz=%lu\n", machine->counter_hz);
	if (arg_number(machine, "echo", 0) && !d->cpus)
		d->cpus = smp_start(machine);
	if (arg_number(machine, "echo", 0) && d->cpus > 1)
		work_and_echo(d);
	else
		work(0, d);
	check(!d->failed, "requests");
}

/* Replaces the command line by a line from the serial port; false: it is empty. */
static bool ask(struct machine *machine)
{
	size_t at = 0;
	char c;

	print("ask\n");
	while ((c = serial_receive()) != '\n')
		if (at + 1 < sizeof(machine->cmdline))
			machine->cmdline[at++] = c;
	machine->cmdline[at] = '\0';
	return at != 0;
}

void payload_main(struct machine *machine)
{
	static struct disk disk;
	bool asks = arg_number(machine, "ask", 0);

	disk.machine = machine;
	disk.queue = (uint16_t)arg_number(machine, "queue", 0);
	if (!check(set_up(&disk), "disk"))
		return;
	if (!asks)
		run(&disk, machine);
	while (asks && ask(machine))
		run(&disk, machine);
	check_summary();
}
