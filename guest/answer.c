/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest of the restore benchmark.  It fills some pages, prints "ready", and
 * answers each byte from the serial port with a line, after reading one word of
 * each page:
 *
 *	answer: a sum=0123456789abcdef cycles=12345
 *
 * After the answer to "q" it powers off.
 *
 *	pages=N		number of pages (16)
 */
#include "guest/lib/check.h"
#include "guest/lib/console.h"
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/signature.h"

#define PAGE 4096

/* Fills the pages with non-zero contents. */
static void fill(uint64_t *words, uint64_t pages)
{
	for (uint64_t page = 0; page < pages; page++)
		for (unsigned int i = 0; i < SIGNATURE_WORDS; i++)
			*words++ = signature_word(page, i);
}

/* The sum of one word of each page. */
static uint64_t sum_of(const volatile uint64_t *words, uint64_t pages)
{
	uint64_t sum = 0;

	for (uint64_t page = 0; page < pages; page++)
		sum += words[page * SIGNATURE_WORDS];
	return sum;
}

void payload_main(struct machine *machine)
{
	struct range range = machine_free_ram(machine);
	uint64_t pages = arg_number(machine, "pages", 16);
	uint64_t *words = (uint64_t *)(uintptr_t)range.start;
	char c;

	if (!check(range.start + pages * PAGE <= range.end, "%lu pages", pages))
		return;
	fill(words, pages);
	print("ready pages=%lu hz=%lu\n", pages, machine->counter_hz);
	do {
		uint64_t start, sum;

		c = serial_receive();
		start = cpu_counter();
		sum = sum_of(words, pages);
		print("answer: %c sum=%016lx cycles=%lu\n", c, sum,
		      cpu_counter() - start);
	} while (c != 'q');
}
