/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes pages in turn, forever, on one processor: for the benchmark of saves of a
 * running guest.
 *
 *	writer: us=1300000 pages=66560 stall_us=412
 *
 * us is the time since the start, pages how many were written since, stall_us the
 * longest time since the line before in which the guest did not run, or wrote a page:
 * without a save, the time of the line itself.
 *
 *	pages=N		number of pages (1024)
 *	rate=N		MiB to write in a second; 0: as many as possible (200)
 *	period=N	milliseconds between lines (100)
 */
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/signature.h"

#define PAGE	  4096
#define MIB_PAGES 256

struct writer {
	uint64_t hz;
	uint64_t pages, rate, period;
	uint64_t *words;
	uint64_t start, last, line; /* counter */
	uint64_t written, stall;
};

static void write_page(struct writer *w)
{
	uint64_t *words = w->words + w->written % w->pages * SIGNATURE_WORDS;

	for (unsigned int i = 0; i < SIGNATURE_WORDS; i++)
		words[i] = w->written + i;
	w->written++;
}

/* Whether the rate allows another page. */
static bool is_due(const struct writer *w, uint64_t now)
{
	return !w->rate || w->written / MIB_PAGES < (now - w->start) / 1000 *
							    w->rate /
							    (w->hz / 1000);
}

static uint64_t us_of(const struct writer *w, uint64_t ticks)
{
	return ticks * 1000 / (w->hz / 1000);
}

static void step(struct writer *w)
{
	uint64_t now = cpu_counter();

	if (now - w->last > w->stall)
		w->stall = now - w->last;
	w->last = now;
	if (is_due(w, now))
		write_page(w);
	else
		cpu_relax();
	if (now - w->line < w->hz / 1000 * w->period)
		return;
	print("writer: us=%lu pages=%lu stall_us=%lu\n",
	      us_of(w, now - w->start), w->written, us_of(w, w->stall));
	w->line = now;
	w->stall = 0;
}

void payload_main(struct machine *machine)
{
	struct range range = machine_free_ram(machine);
	struct writer w = {
		.hz = machine->counter_hz,
		.pages = arg_number(machine, "pages", 1024),
		.rate = arg_number(machine, "rate", 200),
		.period = arg_number(machine, "period", 100),
		.words = (uint64_t *)(uintptr_t)range.start,
	};

	if (!check(w.hz >= 1000, "frequency of the counter") ||
	    !check(w.pages && w.pages <= (range.end - range.start) / PAGE,
		   "%lu pages", w.pages))
		return;
	w.start = w.last = w.line = cpu_counter();
	for (;;)
		step(&w);
}
