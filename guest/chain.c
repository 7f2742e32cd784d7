/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps a chain of hashes over memory and registers on each processor, for ever
 * or for steps=N, and checks each step: a guest in which nothing may be lost,
 * doubled or changed by whatever is done to it from outside.
 *
 * A processor owns some pages.  Page p of version v holds words that follow from
 * (processor, p, v), and a table elsewhere holds the version.  A step picks a
 * page by the chain, checks every word of it, mixes them into the chain and
 * writes the page anew.  The vector registers hold a pattern that is checked and
 * changed each period, the counter may never go back, and a timer interrupt
 * must come again and again.
 *
 * The chain after N steps follows from the arguments alone, so any two runs can
 * be compared by the lines they print:
 *
 *	chain: cpu=0 step=1000 hash=0123456789abcdef
 *
 *	pages=N		pages of a processor (256)
 *	steps=N		steps to make, 0 for no end (10000)
 *	period=N	steps between lines (1000)
 *	seed=N		another chain (1)
 *	timer=0		without the timer interrupts that must go on, too
 */
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/signature.h"
#include "guest/lib/smp.h"
#include "guest/lib/timer.h"

#define PAGE	 4096
#define TIMER_HZ 20

#define SECOND_US 1000000

typedef uint64_t page_words[SIGNATURE_WORDS];

struct chain {
	const struct machine *machine;
	uint64_t pages, steps, period, seed;
	bool timer;
	struct range range; /* of all processors, a share each */
	unsigned int cpus;
};

/* One processor's part, on its stack. */
struct link {
	unsigned int cpu;
	uint64_t *versions;
	page_words *pages;
	uint64_t step, hash, counter, vectors;
	uint64_t tick_us; /* when the timer was last seen to come */
	unsigned int ticks;
	bool late;
};

/* What a processor takes of the range: pages, then their versions. */
static uint64_t share_bytes(const struct chain *chain)
{
	return (chain->pages * (PAGE + 8) + PAGE - 1) & ~UINT64_C(4095);
}

/* What a word of a page must be. */
static uint64_t word_of(const struct link *l, uint64_t page, uint64_t version,
			unsigned int word)
{
	return signature_word((uint64_t)l->cpu << 56 ^ page << 40 ^ version,
			      word);
}

/* Fills a page with its next version. */
static void write_page(struct link *l, uint64_t page, uint64_t version)
{
	l->versions[page] = version;
	for (unsigned int i = 0; i < SIGNATURE_WORDS; i++)
		l->pages[page][i] = word_of(l, page, version, i);
}

/* Mixes a page into the chain; false, with a line, when a word is wrong. */
static bool read_page(struct link *l, uint64_t page)
{
	uint64_t version = l->versions[page];

	for (unsigned int i = 0; i < SIGNATURE_WORDS; i++) {
		uint64_t word = l->pages[page][i];

		if (word != word_of(l, page, version, i))
			return check(false,
				     "cpu %u step %lu: word %u of page %lu "
				     "(0x%lx) is 0x%lx",
				     l->cpu, l->step, i, page,
				     (unsigned long)&l->pages[page][i], word);
		l->hash = signature_mix(l->hash ^ word);
	}
	return true;
}

/*
 * Timer interrupts still come: in the guest's own time there is never more than
 * a second between two.  One that is late is given another second, because the
 * host may have run another task.
 */
static bool check_timer(const struct chain *chain, struct link *l)
{
	unsigned int ticks = timer_ticks(l->cpu);
	uint64_t now_us;

	if (!chain->timer)
		return true;
	now_us = timer_now_us(chain->machine, l->cpu);
	if (ticks != l->ticks) {
		l->ticks = ticks;
		l->tick_us = now_us;
		l->late = false;
		return true;
	}
	if (now_us - l->tick_us < SECOND_US)
		return true;
	if (l->late)
		return check(false, "cpu %u step %lu: no timer after %u ticks",
			     l->cpu, l->step, ticks);
	l->late = true;
	l->tick_us = now_us;
	return true;
}

/* The counter goes on, and never back. */
static bool check_counter(struct link *l)
{
	uint64_t now = cpu_counter();

	if (now < l->counter)
		return check(false,
			     "cpu %u step %lu: counter went from %lu to "
			     "%lu",
			     l->cpu, l->step, l->counter, now);
	l->counter = now;
	return true;
}

/*
 * The end of a period: the vector registers are as they were filled and get
 * something new; a line.
 */
static bool end_period(struct link *l)
{
	if (!vectors_hold(l->vectors))
		return check(false, "cpu %u step %lu: vector registers changed",
			     l->cpu, l->step);
	l->vectors = l->hash;
	vectors_fill(l->vectors);
	print("chain: cpu=%u step=%lu hash=%016lx\n", l->cpu, l->step, l->hash);
	return true;
}

/* The part of a processor, with its pages written. */
static struct link make_link(const struct chain *chain, unsigned int cpu)
{
	uint64_t base = chain->range.start + cpu * share_bytes(chain);
	struct link l = {
		.cpu = cpu,
		.pages = (page_words *)(uintptr_t)base,
		.versions = (uint64_t *)(uintptr_t)(base + chain->pages * PAGE),
		.hash = signature_mix(chain->seed + cpu),
	};

	for (uint64_t page = 0; page < chain->pages; page++)
		write_page(&l, page, 0);
	l.vectors = l.hash;
	vectors_fill(l.vectors);
	if (chain->timer) {
		cpu_clock_page_start(cpu);
		timer_start(chain->machine, cpu, TIMER_HZ);
		l.counter = cpu_counter();
		l.tick_us = timer_now_us(chain->machine, cpu);
	}
	return l;
}

/* Makes the steps of a processor. */
static void run_chain(unsigned int cpu, void *arg)
{
	const struct chain *chain = arg;
	struct link l = make_link(chain, cpu);
	bool right = true;

	while (right && (!chain->steps || l.step < chain->steps)) {
		uint64_t page = l.hash % chain->pages;

		right = read_page(&l, page) && check_counter(&l) &&
			check_timer(chain, &l);
		write_page(&l, page, ++l.step);
		if (right && l.step % chain->period == 0)
			right = end_period(&l);
	}
	check(right, "cpu %u: %lu steps, %u ticks, hash %016lx", cpu, l.step,
	      timer_ticks(cpu), l.hash);
}

void payload_main(struct machine *machine)
{
	struct chain chain = {
		.machine = machine,
		.timer = arg_number(machine, "timer", 1),
		.pages = arg_number(machine, "pages", 256),
		.steps = arg_number(machine, "steps", 10000),
		.period = arg_number(machine, "period", 1000),
		.seed = arg_number(machine, "seed", 1),
		.range = machine_free_ram(machine),
	};

	/* A timer whose time is not known is not looked at. */
	chain.timer = chain.timer && machine->counter_hz;
	chain.cpus = smp_start(machine);
	if (!chain.pages || !chain.period ||
	    chain.range.end - chain.range.start <
		    chain.cpus * share_bytes(&chain)) {
		print("FAIL: %lu pages for %u processors: too many or none\n",
		      chain.pages, chain.cpus);
		return;
	}
	print("chain: cpus=%u pages=%lu\n", chain.cpus, chain.pages);
	smp_call_all(chain.cpus, run_chain, &chain);
	check_summary();
}
