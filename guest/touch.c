/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Touches pages of memory and prints the latency of each access: for tests and
 * benchmarks of the pager.
 *
 *	pages=N		number of pages, of all processors together (1024)
 *	base=ADDRESS	start of the pages (default: free RAM); base=initrd:
 *			the initrd
 *	order=seq	each processor its own share, in order (the default)
 *	order=rand	each its own share, in random order
 *	order=shared	each processor all pages, in one random order
 *	write=1		writes a word to each page (0: reads one)
 *	check=none	does not check the contents (the default)
 *	check=zero	all of the page must be zero
 *	check=signature	page p from base must hold signature_word(p, ...)
 *	cpus=N		number of processors (all)
 *	rounds=N	number of rounds, each measured separately (1)
 *
 * Prints name=value pairs, one line for each processor and round and one for all
 * processors of a round, then the results of the checks.
 */
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/machine.h"
#include "guest/lib/print.h"
#include "guest/lib/signature.h"
#include "guest/lib/smp.h"
#include "guest/lib/string.h"

#define PAGE 4096

/* Buckets: six significant bits, 6 % apart. */
#define SUB_BITS 4
#define BUCKETS	 (64 << SUB_BITS)

enum order { ORDER_SEQ, ORDER_RAND, ORDER_SHARED };
enum check { CHECK_NONE, CHECK_ZERO, CHECK_SIGNATURE };

/* Results of one processor. */
struct result {
	uint64_t touches, total, min, max, bad, first_bad;
	uint32_t buckets[BUCKETS];
};

struct touch {
	struct range range;
	uint64_t pages, cpus, rounds, round;
	enum order order;
	enum check look;
	bool is_write;
};

static struct result results[MACHINE_CPUS_MAX];

/* The bucket of a span, and the minimum span of a bucket. */
static unsigned int bucket_of(uint64_t span)
{
	unsigned int shift;

	if (span < 1 << SUB_BITS)
		return (unsigned int)span;
	shift = 63 - (unsigned int)__builtin_clzl(span) - SUB_BITS;
	return ((shift + 1) << SUB_BITS) +
	       (unsigned int)(span >> shift & ((1 << SUB_BITS) - 1));
}

static uint64_t bucket_span(unsigned int bucket)
{
	unsigned int shift = bucket >> SUB_BITS;
	uint64_t sub = bucket & ((1 << SUB_BITS) - 1);

	return shift ? (sub | 1 << SUB_BITS) << (shift - 1) : sub;
}

static void count(struct result *r, uint64_t span)
{
	r->touches++;
	r->total += span;
	if (span < r->min)
		r->min = span;
	if (span > r->max)
		r->max = span;
	r->buckets[bucket_of(span)]++;
}

/* The span of percentile @percent, to within 6 %. */
static uint64_t percentile(const struct result *r, unsigned int percent)
{
	uint64_t left = (r->touches * percent + 99) / 100;

	for (unsigned int b = 0; b < BUCKETS; b++) {
		if (left <= r->buckets[b])
			return bucket_span(b);
		left -= r->buckets[b];
	}
	return r->max;
}

/* Whether a page has the expected contents; @page counts from the base. */
static bool page_right(const struct touch *t, uint64_t page)
{
	const uint64_t *words =
		(const uint64_t *)(uintptr_t)(t->range.start + page * PAGE);
	uint64_t different = 0;

	for (unsigned int i = 0; i < SIGNATURE_WORDS; i++)
		different |=
			words[i] ^
			(t->look == CHECK_ZERO ? 0 : signature_word(page, i));
	return !different;
}

/* Touches a page: reads or writes, and in the first round checks. */
static void touch_page(const struct touch *t, struct result *r, uint64_t page)
{
	/*
	 * A different word in each page, so that writes do not hide contents.
	 */
	volatile uint64_t *word =
		(volatile uint64_t *)(uintptr_t)(t->range.start + page * PAGE +
						 page % SIGNATURE_WORDS * 8);
	bool looks = t->look != CHECK_NONE && t->round == 0;
	uint64_t start = cpu_counter();

	if (t->is_write && !looks)
		*word = ~page;
	else
		*word;
	count(r, cpu_counter() - start);
	if (looks && !page_right(t, page)) {
		if (!r->bad++)
			r->first_bad = page;
	}
}

/* Step @i of a permutation of [0, 2^bits). */
static uint64_t scatter(uint64_t i, unsigned int bits)
{
	uint64_t mask = (UINT64_C(1) << bits) - 1;

	if (bits < 2)
		return i;
	for (unsigned int round = 0; round < 3; round++) {
		i = (i * 0x9e3779b97f4a7c15 + 0x632be59bd9b4e019) & mask;
		i ^= i >> (bits / 2);
	}
	return i;
}

/* Touches @pages pages from @first, in pseudo-random order. */
static void touch_scattered(const struct touch *t, struct result *r,
			    uint64_t first, uint64_t pages)
{
	unsigned int bits = 0;

	while (UINT64_C(1) << bits < pages)
		bits++;
	for (uint64_t i = 0; i < UINT64_C(1) << bits; i++) {
		uint64_t page = scatter(i, bits);

		if (page < pages)
			touch_page(t, r, first + page);
	}
}

static void touch_share(unsigned int cpu, void *arg)
{
	const struct touch *t = arg;
	struct result *r = &results[cpu];
	uint64_t first = t->pages * cpu / t->cpus;
	uint64_t end = t->pages * (cpu + 1) / t->cpus;

	switch (t->order) {
	case ORDER_SEQ:
		for (uint64_t page = first; page < end; page++)
			touch_page(t, r, page);
		break;
	case ORDER_RAND:
		touch_scattered(t, r, first, end - first);
		break;
	case ORDER_SHARED:
		touch_scattered(t, r, 0, t->pages);
		break;
	}
}

static void print_result(const struct touch *t, const char *cpu_name,
			 const struct result *r, uint64_t elapsed)
{
	print("touch: round=%lu cpu=%s touches=%lu elapsed=%lu total=%lu",
	      t->round, cpu_name, r->touches, elapsed, r->total);
	print(" min=%lu median=%lu p99=%lu max=%lu\n", r->touches ? r->min : 0,
	      percentile(r, 50), percentile(r, 99), r->max);
}

static void add_result(struct result *sum, const struct result *r)
{
	sum->touches += r->touches;
	sum->total += r->total;
	if (r->min < sum->min)
		sum->min = r->min;
	if (r->max > sum->max)
		sum->max = r->max;
	if (r->bad && !sum->bad)
		sum->first_bad = r->first_bad;
	sum->bad += r->bad;
	for (unsigned int b = 0; b < BUCKETS; b++)
		sum->buckets[b] += r->buckets[b];
}

static void clear_result(struct result *r)
{
	memset(r, 0, sizeof(*r));
	r->min = UINT64_MAX;
}

static void run_round(struct touch *t)
{
	static struct result sum;
	uint64_t start, elapsed;
	char cpu_name[8];

	for (unsigned int cpu = 0; cpu < t->cpus; cpu++)
		clear_result(&results[cpu]);
	clear_result(&sum);
	start = cpu_counter();
	smp_call_all((unsigned int)t->cpus, touch_share, t);
	elapsed = cpu_counter() - start;
	for (unsigned int cpu = 0; cpu < t->cpus; cpu++) {
		print_into(cpu_name, sizeof(cpu_name), "%u", cpu);
		print_result(t, cpu_name, &results[cpu], results[cpu].total);
		add_result(&sum, &results[cpu]);
	}
	print_result(t, "all", &sum, elapsed);
	if (t->look == CHECK_NONE || t->round)
		return;
	if (sum.bad)
		check(false, "%lu pages with wrong contents, first page %lu",
		      sum.bad, sum.first_bad);
	else
		check(true, "%lu pages with correct contents", sum.touches);
}

/* Reads the arguments; false, with a line, if invalid. */
static bool configure(struct touch *t, const struct machine *machine,
		      unsigned int online)
{
	uint64_t room;

	t->range = machine_free_ram(machine);
	if (arg_is(machine, "base", "initrd"))
		t->range = machine->initrd;
	t->range.start = arg_number(machine, "base", t->range.start);
	t->pages = arg_number(machine, "pages", 1024);
	t->rounds = arg_number(machine, "rounds", 1);
	t->cpus = arg_number(machine, "cpus", online);
	t->is_write = arg_number(machine, "write", 0);
	if (arg_is(machine, "order", "rand"))
		t->order = ORDER_RAND;
	else if (arg_is(machine, "order", "shared"))
		t->order = ORDER_SHARED;
	if (arg_is(machine, "check", "zero"))
		t->look = CHECK_ZERO;
	else if (arg_is(machine, "check", "signature"))
		t->look = CHECK_SIGNATURE;
	room = t->range.start < t->range.end ?
		       (t->range.end - t->range.start) / PAGE :
		       0;
	if (t->cpus >= 1 && t->cpus <= online &&
	    (t->pages <= room || !t->range.end))
		return true;
	print("FAIL: %lu pages from 0x%lx on %lu processors; available: %lu "
	      "pages, %u processors\n",
	      t->pages, t->range.start, t->cpus, room, online);
	return false;
}

void payload_main(struct machine *machine)
{
	struct touch t = { 0 };
	unsigned int online = smp_start(machine);

	if (!configure(&t, machine, online))
		return;
	print("touch: cpus=%lu pages=%lu base=0x%lx write=%u hz=%lu\n", t.cpus,
	      t.pages, t.range.start, t.is_write, machine->counter_hz);
	for (t.round = 0; t.round < t.rounds; t.round++)
		run_round(&t);
	check_summary();
}
