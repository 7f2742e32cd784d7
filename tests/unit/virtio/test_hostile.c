// SPDX-License-Identifier: BSD-2-Clause
/*
 * Several processors of a hostile guest at once: random accesses of all
 * registers, config spaces and rings of five devices, with the event loop
 * running.  The process must survive, the log must stay bounded, a read-only
 * disk must not change, and each device must work after a reset.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "vmm/base/bytes.h"
#include "vmm/io/disk.h"
#include "vmm/io/net.h"
#include "vmm/io/terminal.h"

#define DEVICES 5
#define CPUS	2
#define STEPS	20000
#define DISK_KB 64

struct fixture {
	struct guest g;
	struct disk disk;
	struct terminal *terminal;
	struct net net;
	int peer; /* the network's other end, from which nothing is read */
	int null_fd;
	char path[64];
	struct device devices[DEVICES];
	struct guest_device d[DEVICES];
};

/* One processor. */
struct cpu {
	struct fixture *x;
	pthread_t thread;
	unsigned int seed;
};

/* The network, with frames that wait for buffers. */
static void create_net(struct fixture *x)
{
	struct virtio_net_link link = { .net = &x->net,
					.mac = { 2 },
					.mtu = 1500 };
	uint8_t frame[4 + 1000] = { 0 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    ends),
			 0);
	x->peer = ends[1];
	put_be32(frame, sizeof(frame) - 4);
	for (int i = 0; i < 50; i++)
		assert_int_equal(send(x->peer, frame, sizeof(frame), 0),
				 sizeof(frame));
	assert_int_equal(net_open_fd(&x->net, ends[0]), 0);
	assert_int_equal(virtio_net_create(&x->devices[4], &x->g.host, "net0",
					   &link),
			 0);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct virtio_ports ports = { .count = 2 };
	struct terminal_config terminal;
	uint8_t kb[KIB];
	int fd;

	strcpy(x->path, "/tmp/thaw-hostile-XXXXXX");
	fd = mkstemp(x->path);
	memset(kb, 0x77, sizeof(kb));
	for (unsigned int i = 0; i < DISK_KB; i++)
		assert_int_equal(write(fd, kb, sizeof(kb)), sizeof(kb));
	close(fd);
	x->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	terminal = (struct terminal_config){ .in_fd = x->null_fd,
					     .out_fd = x->null_fd };
	assert_int_equal(terminal_open(&x->terminal, &terminal), 0);
	assert_int_equal(disk_open(&x->disk, x->path, true), 0);
	guest_init(&x->g);
	assert_int_equal(virtio_console_create(&x->devices[0], &x->g.host,
					       "console", x->terminal),
			 0);
	assert_int_equal(virtio_blk_create(&x->devices[1], &x->g.host, "disk0",
					   &x->disk, 2),
			 0);
	assert_int_equal(virtio_rng_create(&x->devices[2], &x->g.host, "rng"),
			 0);
	ports.list[0] = (struct virtio_port){ "a", x->null_fd, x->null_fd };
	ports.list[1] = (struct virtio_port){ "b", -1, -1 };
	assert_int_equal(virtio_ports_create(&x->devices[3], &x->g.host,
					     "ports", &ports),
			 0);
	create_net(x);
	for (unsigned int i = 0; i < DEVICES; i++)
		guest_find(&x->g, &x->d[i], i + 1);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	for (unsigned int i = 0; i < DEVICES; i++)
		guest_destroy(&x->g, &x->devices[i]);
	guest_finish(&x->g);
	terminal_close(x->terminal);
	disk_close(&x->disk);
	net_close(&x->net);
	close(x->peer);
	close(x->null_fd);
	unlink(x->path);
	free(x);
	return 0;
}

/* A number, often one of the interesting ones. */
static uint64_t odd_value(unsigned int *seed)
{
	static const uint64_t values[] = {
		0,
		1,
		2,
		3,
		11,
		15,
		64,
		65,
		0x80,
		256,
		0xffff,
		MIB,
		GUEST_LOW_BYTES - 1,
		GUEST_HIGH,
		UINT32_MAX,
		UINT64_MAX,
	};
	uint64_t r = (uint64_t)rand_r(seed);

	if (r & 1)
		return values[(r >> 1) % ARRAY_SIZE(values)];
	return r << 31 ^ (uint64_t)rand_r(seed);
}

/* How many queues of a device are used. */
static unsigned int queues_of(const struct guest_device *d)
{
	return d->slot == 4 ? 6 : d->slot == 5 ? 3 : 2;
}

/* Descriptors of noise, and a kick. */
static void noise_in_rings(struct guest_device *d, unsigned int *seed)
{
	unsigned int q = (unsigned int)rand_r(seed) % queues_of(d);
	struct guest *g = d->g;
	gpa_t at = MIB + 0x10000 * q;

	for (unsigned int i = 0; i < 8; i++) {
		unsigned int r = (unsigned int)rand_r(seed);

		guest_desc(g, at, r % 64,
			   r & 64 ? GUEST_HIGH + r % 0x10000 : odd_value(seed),
			   r & 128 ? r >> 8 & 0xfff : (uint32_t)odd_value(seed),
			   r >> 20 & 7, (uint16_t)(r >> 24 & 0x3f));
		guest_put16(g, at + 0x4004 + 2 * (r >> 9 & 63),
			    (uint16_t)(r >> 16 & 63));
	}
	guest_put16(g, at + 0x4002,
		    (uint16_t)(guest_get16(g, at + 0x8002) + rand_r(seed) % 9));
	guest_kick(d, q);
}

/* One step of a processor. */
static void step(struct fixture *x, unsigned int *seed)
{
	struct guest_device *d = &x->d[(unsigned int)rand_r(seed) % DEVICES];
	unsigned int size = 1u << rand_r(seed) % 4;
	unsigned int r = (unsigned int)rand_r(seed);
	struct guest *g = &x->g;

	switch (r % 16) {
	case 0:
		guest_start(d, UINT64_MAX, queues_of(d));
		break;
	case 1:
		guest_common_set(d, r >> 8 & 63, size, odd_value(seed));
		break;
	case 2:
		guest_common_set(d, VIRTIO_PCI_COMMON_STATUS, 1, r >> 8 & 15);
		break;
	case 3:
		guest_write(g, d->msix + (r >> 8) % 4096, size,
			    odd_value(seed));
		break;
	case 4:
		guest_config_write(g, d->slot, (r >> 8) % 256, size,
				   odd_value(seed));
		break;
	case 5:
		guest_config_write(g, d->slot, PCI_BASE_ADDRESS_0, 4,
				   d->common);
		guest_config_write(g, d->slot, PCI_COMMAND, 2,
				   PCI_COMMAND_MEMORY);
		break;
	case 6:
		guest_config_write(g, d->slot, d->msix_cap + PCI_MSIX_FLAGS, 2,
				   r & ~0x3fffu);
		break;
	case 7:
		guest_read(g, d->common + (r >> 8) % 0x4000, size);
		break;
	case 8:
		guest_read(g, d->isr, 1);
		break;
	default:
		noise_in_rings(d, seed);
	}
}

static void *cpu_run(void *arg)
{
	struct cpu *cpu = arg;

	for (unsigned int i = 0; i < STEPS; i++)
		step(cpu->x, &cpu->seed);
	return NULL;
}

/* Makes room for frames. */
static void read_all(int peer)
{
	char bytes[4096];

	while (recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* The device as after power-on, found and started again: it works. */
static void heal(struct fixture *x, unsigned int i)
{
	struct guest_device *d = &x->d[i];
	/* The only queue of rng and disk, the output of the others. */
	unsigned int q = i != 1 && i != 2;
	struct guest_buffer b[2] = { { GUEST_HIGH, 16,
				       i == 2 ? GUEST_WRITE : 0 },
				     { GUEST_HIGH + 64, 513, GUEST_WRITE } };
	uint32_t head, len;

	x->devices[i].ops->reset(x->devices[i].state);
	guest_find(&x->g, d, i + 1);
	guest_start(d, UINT64_MAX, q ? 2 : 1);
	if (i == 4)
		read_all(x->peer);
	memset(guest_ptr(&x->g, GUEST_HIGH, 1024), 0, 1024);
	guest_add(d, q, b, i == 1 ? 2 : 1);
	guest_kick(d, q);
	assert_true(guest_used(d, q, &head, &len));
	assert_int_equal(guest_status(d), 15);
	if (i == 1)
		assert_int_equal(*(uint8_t *)guest_ptr(&x->g, GUEST_HIGH + 64,
						       1),
				 0x77);
}

static void test_processors(void **state)
{
	struct fixture *x = *state;
	struct cpu cpus[CPUS];
	unsigned int lines;
	uint8_t byte;

	guest_log_begin(&x->g);
	for (unsigned int i = 0; i < CPUS; i++) {
		cpus[i] = (struct cpu){ .x = x, .seed = 0x686f + i };
		print_message("seed %#x\n", cpus[i].seed);
		assert_int_equal(pthread_create(&cpus[i].thread, NULL, cpu_run,
						&cpus[i]),
				 0);
	}
	for (unsigned int i = 0; i < CPUS; i++)
		pthread_join(cpus[i].thread, NULL);
	/* Ten lines a source: the devices and the PCI host. */
	lines = guest_log_end(&x->g);
	assert_in_range(lines, 1, 10 * (DEVICES + 1));
	for (unsigned int i = 0; i < DEVICES; i++)
		heal(x, i);
	for (off_t at = 0; at < DISK_KB * 1024; at++) {
		assert_int_equal(pread(x->disk.fd, &byte, 1, at), 1);
		assert_int_equal(byte, 0x77);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		{ "virtio-hostile-processors", test_processors, setup, teardown,
		  NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
