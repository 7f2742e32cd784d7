/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps a chain of hashes over memory and registers on each processor, forever or
 * for steps=N, and checks each step: finds any state that a pause, a snapshot or
 * the pager loses, duplicates or changes.
 *
 * A processor owns some pages.  The words of page p, version v, are a function of
 * (processor, p, v); a table elsewhere holds the versions.  A step selects a page
 * by the hash, checks all its words, mixes them into the hash, and writes the next
 * version.  The vector registers hold a pattern that is checked and replaced each
 * period, the counter must not decrease, and timer interrupts must arrive.
 *
 * The hash after N steps depends only on the arguments, so the lines of any two
 * runs can be compared:
 *
 *	chain: cpu=0 step=1000 hash=0123456789abcdef
 *
 *	pages=N		pages of a processor (256)
 *	steps=N		number of steps, 0: forever (10000)
 *	period=N	steps between lines (1000)
 *	seed=N		seed of the hash (1)
 *	zeros=N		every so many versions, in turn, a page is zeros (0: never)
 *	timer=0		no timer interrupts
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
	uint64_t pages, steps, period, seed, zeros;
	bool timer;
	struct range range; /* one share for each processor */
	unsigned int cpus;
};

/* State of one processor, on its stack. */
struct link {
	unsigned int cpu;
	uint64_t zeros;
	uint64_t *versions;
	page_words *pages;
	uint64_t step, hash, counter, vectors;
	uint64_t tick_us; /* when the last tick was seen */
	unsigned int ticks;
	bool late;
};

/* Size of a processor's share: pages, then their versions. */
static uint64_t share_bytes(const struct chain *chain)
{
	return (chain->pages * (PAGE + 8) + PAGE - 1) & ~UINT64_C(4095);
}

/* The expected value of a word. */
static uint64_t word_of(const struct link *l, uint64_t page, uint64_t version,
			unsigned int word)
{
	if (l->zeros && version % l->zeros == l->zeros - 1)
		return 0;
	return signature_word((uint64_t)l->cpu << 56 ^ page << 40 ^ version,
			      word);
}

static void write_page(struct link *l, uint64_t page, uint64_t version)
{
	l->versions[page] = version;
	for (unsigned int i = 0; i < SIGNATURE_WORDS; i++)
		l->pages[page][i] = word_of(l, page, version, i);
}

/* Mixes a page into the hash; false, with a line, if a word is wrong. */
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
 * Checks for timer interrupts: in guest time, at most a second apart.  A late
 * one is given another second, because the host may have been busy.
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
		return check(
			false,
			"cpu %u step %lu: no timer interrupt after %u ticks",
			l->cpu, l->step, ticks);
	l->late = true;
	l->tick_us = now_us;
	return true;
}

/* Checks that the counter does not decrease. */
static bool check_counter(struct link *l)
{
	uint64_t now = cpu_counter();

	if (now < l->counter)
		return check(
			false,
			"cpu %u step %lu: counter decreased from %lu to %lu",
			l->cpu, l->step, l->counter, now);
	l->counter = now;
	return true;
}

/* End of a period: checks and refills the vector registers, prints a line. */
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

/* Initialises a processor's state, including its pages. */
static struct link make_link(const struct chain *chain, unsigned int cpu)
{
	uint64_t base = chain->range.start + cpu * share_bytes(chain);
	struct link l = {
		.cpu = cpu,
		.zeros = chain->zeros,
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
		.zeros = arg_number(machine, "zeros", 0),
		.range = machine_free_ram(machine),
	};

	/* Without a known frequency, no timer is used. */
	chain.timer = chain.timer && machine->counter_hz;
	chain.cpus = smp_start(machine);
	if (!chain.pages || !chain.period ||
	    chain.range.end - chain.range.start <
		    chain.cpus * share_bytes(&chain)) {
		print("FAIL: %lu pages for %u processors: zero or too many\n",
		      chain.pages, chain.cpus);
		return;
	}
	print("chain: cpus=%u pages=%lu\n", chain.cpus, chain.pages);
	smp_call_all(chain.cpus, run_chain, &chain);
	check_summary();
}
