/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the entropy device fill the pages of the initrd, one after another, and
 * waits for each, without a timeout.  The guest does not touch a page before the
 * device does, so the device takes the page fault.
 *
 *	kick=0		offers each page without a notification: the device
 *			finds it when it polls its queue for another reason
 *	rounds=N	passes over the initrd (1)
 *	crash=1		crashes shortly after the first page was offered
 *
 * Prints when a page was offered and when it was filled.
 */
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/virtio.h"

#define PAGE	       4096
#define MOMENT	       10000000 /* polls: some tenths of a second */
#define DEVICE_ENTROPY 4 /* virtio 1.2, 5 */

static struct virtio_queue queue;

static bool set_up(const struct machine *machine, struct virtio *device)
{
	if (!virtio_find(machine, DEVICE_ENTROPY, device) ||
	    !virtio_negotiate(device, 0) ||
	    !virtio_add_queue(device, 0, &queue))
		return false;
	virtio_ready(device);
	return true;
}

/* Waits for some tenths of a second, for the device to start. */
static void let_it_begin(void)
{
	for (unsigned int i = 0; i < MOMENT; i++)
		cpu_relax();
}

static void fill(uint64_t page, void *at, bool kick, bool crashes)
{
	virtio_offer(&queue, at, PAGE, true);
	print("entropy: page %lu offered\n", page);
	if (kick)
		virtio_notify(&queue);
	if (crashes) {
		let_it_begin();
		crash();
	}
	while (!virtio_is_done(&queue))
		cpu_relax();
	print("entropy: page %lu filled\n", page);
}

void payload_main(struct machine *machine)
{
	uint64_t rounds = arg_number(machine, "rounds", 1);
	bool kick = arg_number(machine, "kick", 1);
	bool crashes = arg_number(machine, "crash", 0);
	struct virtio device;

	if (!check(set_up(machine, &device), "entropy device"))
		return;
	for (uint64_t round = 0; round < rounds; round++)
		for (uint64_t at = machine->initrd.start;
		     at + PAGE <= machine->initrd.end; at += PAGE)
			fill((at - machine->initrd.start) / PAGE,
			     (void *)(uintptr_t)at, kick, crashes);
	check_summary();
}
