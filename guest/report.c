/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedded guest: prints the machine that it finds, measures the latency of
 * exits and page faults, and powers off.
 */
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/pci.h"
#include "guest/lib/print.h"
#include "guest/lib/smp.h"

#define ROUNDS 200
/* Pages to touch, 2 MiB apart: a host may fill 2 MiB at once. */
#define TOUCH_PAGES 32
#define STRIDE	    (UINT64_C(2) << 20)

/* The memory map, one range on each line. */
static void show_memory(const struct machine *machine)
{
	print("  memory       %s\n", text_bytes(machine_ram_bytes(machine)).s);
	for (unsigned int i = 0; i < machine->ram_count; i++)
		print("                 0x%09lx - 0x%09lx  %s\n",
		      machine->ram[i].start, machine->ram[i].end - 1,
		      text_bytes(machine->ram[i].end - machine->ram[i].start)
			      .s);
}

static void show_machine(struct machine *machine)
{
	unsigned int found = machine->cpu_count;
	unsigned int online = smp_start(machine);

	print("Machine (%s)\n",
	      machine->tables ? machine->tables : "no ACPI, no device tree");
	print("  processors   %u of %u online, %s\n", online, found,
	      machine->cpu_name);
	if (machine->hypervisor[0])
		print("  hypervisor   %s\n", machine->hypervisor);
	if (machine->counter_hz)
		print("  counter      %lu.%03lu MHz, from %s\n",
		      machine->counter_hz / 1000000,
		      machine->counter_hz / 1000 % 1000,
		      machine->counter_source);
	show_memory(machine);
	if (machine->cmdline[0])
		print("  parameters   %s\n", machine->cmdline);
}

static void show_pci(const struct machine *machine)
{
	struct pci_function f = { 0 };
	bool any = false;

	for (; pci_next(machine, &f); any = true)
		print("%s  %02x:%02x.%x      %04x:%04x  %s\n",
		      any ? "" : "\nPCI devices\n", f.bus, f.slot, f.function,
		      f.vendor, f.device, pci_name(&f));
}

/* Insertion sort: the arrays are small. */
static void sort(uint32_t *a, unsigned int count)
{
	for (unsigned int i = 1; i < count; i++)
		for (unsigned int j = i; j && a[j] < a[j - 1]; j--) {
			uint32_t t = a[j];

			a[j] = a[j - 1];
			a[j - 1] = t;
		}
}

/* Prints the median and the minimum of @count spans. */
static void show_spans(const struct machine *machine, const char *what,
		       uint32_t *spans, unsigned int count)
{
	sort(spans, count);
	print("  %-36s %12s   (min %s)\n", what,
	      text_cycles(spans[count / 2], machine->counter_hz).s,
	      text_cycles(spans[0], machine->counter_hz).s);
}

static void measure_exits(const struct machine *machine)
{
	static uint32_t spans[ROUNDS];
	const struct exit_kind *kinds;
	size_t count;

	kinds = exit_kinds(&count);
	for (size_t k = 0; k < count; k++) {
		uintptr_t arg = kinds[k].find(machine);

		if (!arg)
			continue;
		for (unsigned int i = 0; i < ROUNDS; i++) {
			uint64_t start = cpu_counter();

			kinds[k].once(arg);
			spans[i] = (uint32_t)(cpu_counter() - start);
		}
		show_spans(machine, kinds[k].name, spans, ROUNDS);
	}
}

/* Writes to each of @count pages and measures the time. */
static void touch(const struct range *free, uint32_t *spans, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		volatile uint64_t *p =
			(volatile uint64_t *)(uintptr_t)(free->start +
							 i * STRIDE);
		uint64_t start = cpu_counter();

		*p = start;
		spans[i] = (uint32_t)(cpu_counter() - start);
	}
}

static void measure_touch(const struct machine *machine)
{
	static uint32_t spans[TOUCH_PAGES];
	struct range free = machine_free_ram(machine);
	uint64_t count = (free.end - free.start) / STRIDE;

	if (count > TOUCH_PAGES)
		count = TOUCH_PAGES;
	if (!count)
		return;
	touch(&free, spans, (unsigned int)count);
	show_spans(machine, "first write to a page", spans,
		   (unsigned int)count);
	touch(&free, spans, (unsigned int)count);
	show_spans(machine, "second write to the page", spans,
		   (unsigned int)count);
}

void payload_main(struct machine *machine)
{
	uint64_t start = cpu_counter();

	print("\nGuest report (%s)\n\n", machine->arch);
	show_machine(machine);
	show_pci(machine);
	print("\nLatency (median)\n");
	measure_exits(machine);
	measure_touch(machine);
	print("\nFinished in %s; powering off.\n",
	      text_cycles(cpu_counter() - start, machine->counter_hz).s);
}
