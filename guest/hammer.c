/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stress test of devices: reads and writes of every size at random offsets, in
 * the configuration space of present and absent PCI functions and in and around
 * their BARs.  Checks that the machine survives and the functions keep their
 * ids.
 *
 * rounds=N accesses for each processor (20000), seed=N.
 */
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/pci.h"
#include "guest/lib/print.h"
#include "guest/lib/signature.h"
#include "guest/lib/smp.h"

#define FUNCTIONS_MAX 32
#define BARS	      6
#define REG_BAR	      0x10
#define BAR_FLAGS     UINT64_C(0xf)
#define BAR_BYTES     0x8000 /* larger than any BAR */
#define REG_COMMAND   0x04
#define COMMAND_MEM   0x0002

struct hammer {
	const struct machine *machine;
	uint64_t rounds, seed;
	struct range window; /* of the BARs, as found */
	unsigned int count;
	struct pci_function functions[FUNCTIONS_MAX];
};

/* Extends the window to the BARs of a function. */
static void widen_window(struct hammer *h, const struct pci_function *f)
{
	for (unsigned int i = 0; i < BARS; i++) {
		uint64_t bar = pci_read32(f, REG_BAR + 4 * i) & ~BAR_FLAGS;

		if (!bar)
			continue;
		if (!h->window.end || bar < h->window.start)
			h->window.start = bar;
		if (bar + BAR_BYTES > h->window.end)
			h->window.end = bar + BAR_BYTES;
	}
}

/* Finds the functions and enables their BARs. */
static void find_functions(struct hammer *h)
{
	struct pci_function f = { 0 };

	while (h->count < FUNCTIONS_MAX && pci_next(h->machine, &f)) {
		h->functions[h->count++] = f;
		widen_window(h, &f);
		pci_write16(&f, REG_COMMAND,
			    pci_read16(&f, REG_COMMAND) | COMMAND_MEM);
	}
}

/* A random address in or near a function's ranges. */
static uint64_t pick(const struct hammer *h, uint64_t r)
{
	const struct pci_function *f = &h->functions[r % h->count];
	uint64_t bar;

	r >>= 5;
	switch (r & 3) {
	case 0:
		return (uintptr_t)f->config + (r >> 2 & 0xfff);
	case 1: /* any function of the bus, present or not */
		return h->machine->ecam + (r >> 2 & 0xfffff);
	default: /* a BAR, current address, and some bytes beyond */
		bar = pci_read32(f, REG_BAR + 4 * ((r >> 2 & 7) % BARS));
		bar = (bar & ~BAR_FLAGS) + (r >> 5 & (2 * BAR_BYTES - 1));
		if (bar >= h->window.start && bar + 8 <= h->window.end)
			return bar;
		return (uintptr_t)f->config + (r >> 5 & 0xff8);
	}
}

static void hammer(unsigned int cpu, void *arg)
{
	const struct hammer *h = arg;
	uint64_t r = h->seed + cpu;

	for (uint64_t i = 0; i < h->rounds; i++) {
		uint64_t at, size;

		r = signature_mix(r);
		at = pick(h, r);
		size = UINT64_C(1) << (r >> 60 & 3);
		mmio_access(at, (unsigned int)size, r >> 62 & 1,
			    signature_mix(r));
	}
}

/* Checks that the functions have their ids. */
static void check_functions(const struct hammer *h)
{
	for (unsigned int i = 0; i < h->count; i++) {
		const struct pci_function *f = &h->functions[i];

		check(pci_read16(f, 0) == f->vendor &&
			      pci_read16(f, 2) == f->device,
		      "%02x:%02x.%x is still %04x:%04x", f->bus, f->slot,
		      f->function, f->vendor, f->device);
	}
}

void payload_main(struct machine *machine)
{
	static struct hammer h;
	unsigned int cpus = smp_start(machine);

	h.machine = machine;
	h.rounds = arg_number(machine, "rounds", 20000);
	h.seed = arg_number(machine, "seed", 1);
	find_functions(&h);
	if (h.count)
		smp_call_all(cpus, hammer, &h);
	else
		check_skip("no PCI functions");
	check_functions(&h);
	check_summary();
}
