// SPDX-License-Identifier: BSD-2-Clause
/*
 * The PCI bus of a machine with a console, a disk, an entropy device and a network,
 * driven by an input that is a list of accesses: config space, BARs, guest memory,
 * and the operations of a machine (reset, quiesce, save, load).
 *
 * The event loop's thread is stopped, so that every run of an input is the
 * same; resume serves the queues instead.
 *
 * Input: records of one byte operation, one byte target, two bytes offset, eight
 * bytes value.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/virtio/guest.h"
#include "fuzz.h"
#include "vmm/base/bytes.h"
#include "vmm/bus/loop.h"
#include "vmm/io/disk.h"
#include "vmm/io/net.h"
#include "vmm/io/terminal.h"
#include "vmm/pci/private.h"
#include "vmm/snap/section.h"

#define DEVICES	    4
#define DISK_BYTES  (64 * KIB)
#define RECORDS_MAX 400

/* The queues of each. */
static const unsigned int queues[DEVICES] = { 2, 2, 1, 3 };

struct machine {
	struct guest g;
	struct disk disk;
	struct terminal *terminal;
	struct net net;
	int null_fd, peer;
	struct device devices[DEVICES];
	struct guest_device d[DEVICES];
};

/* Makes the network, with frames that wait for buffers. */
static void create_net(struct machine *m)
{
	struct virtio_net_link link = { .net = &m->net,
					.mac = { 2 },
					.mtu = 1500 };
	uint8_t frame[4 + 200] = { 0 };
	int ends[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ==
		   0);
	m->peer = ends[1];
	put_be32(frame, sizeof(frame) - 4);
	for (int i = 0; i < 20; i++)
		FUZZ_CHECK(send(m->peer, frame, sizeof(frame), 0) ==
			   sizeof(frame));
	FUZZ_CHECK(net_open_fd(&m->net, ends[0]) == 0);
	FUZZ_CHECK(virtio_net_create(&m->devices[3], &m->g.host, "net",
				     &link) == 0);
}

/* Makes it, with every device started. */
static void machine_create(struct machine *m)
{
	struct terminal_config terminal;
	int image = memfd_create("disk", MFD_CLOEXEC);

	memset(m, 0, sizeof(*m));
	m->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	terminal = (struct terminal_config){ .in_fd = m->null_fd,
					     .out_fd = m->null_fd };
	FUZZ_CHECK(terminal_open(&m->terminal, &terminal) == 0);
	FUZZ_CHECK(ftruncate(image, DISK_BYTES) == 0);
	FUZZ_CHECK(disk_take(&m->disk, image, "/fuzz", false) == 0);
	guest_init(&m->g);
	loop_stop(m->g.loop);
	FUZZ_CHECK(virtio_console_create(&m->devices[0], &m->g.host, "console",
					 m->terminal) == 0);
	FUZZ_CHECK(virtio_blk_create(&m->devices[1], &m->g.host, "disk",
				     &m->disk, 2) == 0);
	FUZZ_CHECK(virtio_rng_create(&m->devices[2], &m->g.host, "rng") == 0);
	create_net(m);
	for (unsigned int i = 0; i < DEVICES; i++) {
		guest_find(&m->g, &m->d[i], i + 1);
		guest_start(&m->d[i], UINT64_MAX, queues[i]);
	}
}

static void machine_destroy(struct machine *m)
{
	for (unsigned int i = 0; i < DEVICES; i++)
		m->devices[i].ops->destroy(m->devices[i].state);
	guest_finish(&m->g);
	terminal_close(m->terminal);
	disk_close(&m->disk);
	net_close(&m->net);
	close(m->peer);
	close(m->null_fd);
}

/* Saves a device, corrupts some of its state, and loads it. */
static void save_and_load(struct guest *g, struct device *device,
			  unsigned int at, uint64_t value)
{
	struct snap_writer w = { 0 };
	struct snap_reader r;

	device->ops->quiesce(device->state, INT64_MAX);
	FUZZ_CHECK(device->ops->save(device->state, &w) == 0);
	if (w.len && value)
		w.data[at % w.len] ^= (uint8_t)value;
	r = (struct snap_reader){ .data = w.data, .len = w.len };
	/* Each logs a line; thousands are expected. */
	guest_log_begin(g);
	device->ops->load(device->state, &r);
	guest_log_end(g);
	device->ops->resume(device->state);
	snap_writer_finish(&w);
}

/* Invariants after every step. */
static void check(struct machine *m)
{
	for (unsigned int i = 1; i < m->g.bus.count; i++)
		FUZZ_CHECK(m->g.bus.ranges[i - 1].base +
				   m->g.bus.ranges[i - 1].size <=
			   m->g.bus.ranges[i].base);
	for (unsigned int i = 0; i < DEVICES; i++) {
		struct pci_function *f = m->g.pci->slots[i + 1];

		for (unsigned int b = 0; b < PCI_CONFIG_BYTES; b++)
			FUZZ_CHECK(!((f->config[b] ^ f->power_on[b]) &
				     ~f->writable[b] & 0xff) ||
				   (b >= m->d[i].window_cap + 16 &&
				    b < m->d[i].window_cap + 20));
	}
}

/* One record. */
static void step(struct machine *m, struct fuzz_input *in)
{
	unsigned int what = (unsigned int)fuzz_number(in, 1);
	unsigned int where = (unsigned int)fuzz_number(in, 1);
	unsigned int at = (unsigned int)fuzz_number(in, 2);
	uint64_t value = fuzz_number(in, 8);
	struct guest *g = &m->g;
	struct device *device = &m->devices[where % DEVICES];
	struct guest_device *d = &m->d[where % DEVICES];
	unsigned int size = 1u << (where >> 6);

	switch (what % 10) {
	case 0:
		guest_config_write(g, d->slot, at % 4096, size, value);
		break;
	case 1:
		guest_config_read(g, d->slot, at % 4096, size);
		break;
	case 2:
		guest_write(g, d->common + at % 64, size, value);
		break;
	case 3:
		guest_write(g, d->common + at % 0x4000, size, value);
		guest_read(g, d->common + at % 0x4000, size);
		break;
	case 4:
		guest_write(g, d->msix + at % 4096, size, value);
		break;
	case 5:
		/* The rings, where guest_start() put them. */
		memory_write(&g->memory, MIB + at % 0x20000, &value, size);
		break;
	case 6:
		guest_desc(g, MIB + 0x10000 * (where >> 5 & 1), at % 64,
			   value & 0xffffff, (uint32_t)(value >> 24 & 0xffff),
			   value >> 40 & 7, (uint16_t)(value >> 48 & 63));
		break;
	case 7:
		guest_offer(d, (where >> 5) % queues[where % DEVICES],
			    (uint16_t)(at % 65));
		device->ops->resume(device->state);
		break;
	case 8:
		device->ops->reset(device->state);
		guest_find(g, d, d->slot);
		guest_start(d, value, queues[where % DEVICES]);
		break;
	default:
		save_and_load(g, device, at, value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct machine m;

	log_set_level(LOG_ERROR);
	machine_create(&m);
	for (unsigned int i = 0; in.left && i < RECORDS_MAX; i++) {
		step(&m, &in);
		check(&m);
	}
	machine_destroy(&m);
	return 0;
}
