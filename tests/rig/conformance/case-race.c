// SPDX-License-Identifier: BSD-2-Clause
/*
 * More than one thread: two vCPUs at the same pages, a filler ahead of them,
 * and the flag going off and on under running vCPUs.
 *
 * A page's fill is claimed by an exchange on claims[], so that each is filled
 * once; the bit, cleared with release, publishes it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cases.h"

#define TAG   0x4455667700000000ULL
#define STALE 0x5714e00000000000ULL

#define RACE_ROUNDS    4
#define TOGGLE_PAGES   512UL
#define TOGGLE_SECONDS 3
#define HELD_SECONDS   20

static struct machine m;
static unsigned char claims[TEST_PAGES];
static unsigned long fills, exits, late_exits;
static pthread_barrier_t start;

/* Claim, fill and publish a page, unless it is claimed already. */
static void fill_once(unsigned long page)
{
	if (__atomic_exchange_n(&claims[page], 1, __ATOMIC_ACQ_REL))
		return;
	page_fill(&m, page, TAG);
	__atomic_fetch_add(&fills, 1, __ATOMIC_RELAXED);
	if (!bit_clear(&m, page))
		fail("page %lu was published before it was filled", page);
}

/* Whether a page's bit is set. */
static bool bit_is_set(unsigned long page)
{
	return __atomic_load_n(&m.bitmap[page / 64], __ATOMIC_ACQUIRE) >>
		       page % 64 &
	       1;
}

/* Enter until the routine ends; every stop before that is a fault to fill. */
static uint64_t run_filling(struct vcpu *v)
{
	for (;;) {
		struct stop s = vcpu_run(v);

		if (s.done)
			return s.result;
		if (!stop_is_userfault(&s))
			fail("vCPU %d: want a userfault exit: %s", v->index,
			     stop_text(&s));
		__atomic_fetch_add(&exits, 1, __ATOMIC_RELAXED);
		if (!bit_is_set(stop_page(&s)))
			__atomic_fetch_add(&late_exits, 1, __ATOMIC_RELAXED);
		fill_once(stop_page(&s));
	}
}

/* One vCPU's sweep over the whole slot. */
static void *sweeper(void *arg)
{
	struct vcpu *v = arg;
	uint64_t wrong;

	vcpu_call(v, guest_sweep, page_gva(0), TEST_PAGES, TAG, 0);
	pthread_barrier_wait(&start);
	wrong = run_filling(v);
	if (wrong)
		fail("vCPU %d read %llu wrong words", v->index,
		     (unsigned long long)wrong);
	return NULL;
}

/* Start a thread. */
static pthread_t thread_start(void *(*run)(void *), void *arg)
{
	pthread_t t;
	int r = pthread_create(&t, NULL, run, arg);

	if (r)
		fail("start a thread: %s", strerror(r));
	return t;
}

/* Make every page absent, and wrong. */
static void all_absent(void)
{
	slot_set(&m, 0);
	memset(claims, 0, sizeof(claims));
	pages_fill(&m, STALE);
	bits_set_all(&m);
	slot_set(&m, UF_MEM_USERFAULT);
	fills = 0;
}

/* Two vCPUs sweep the same absent pages; each page is filled once. */
void case_race(enum kind kind)
{
	pthread_t other;
	int round;

	machine_init(&m, kind, 2);
	pthread_barrier_init(&start, NULL, 2);
	for (round = 0; round < RACE_ROUNDS; round++) {
		all_absent();
		other = thread_start(sweeper, &m.vcpus[1]);
		sweeper(&m.vcpus[0]);
		pthread_join(other, NULL);
		if (fills != TEST_PAGES)
			fail("%lu pages filled of %lu", fills, TEST_PAGES);
	}
	note("%lu exits for %lu pages, %lu found their bit clear", exits,
	     RACE_ROUNDS * TEST_PAGES, late_exits);
}

/* A background filler, from the last page down. */
static void *filler(void *arg)
{
	unsigned long page;

	(void)arg;
	pthread_barrier_wait(&start);
	for (page = TEST_PAGES; page-- > 0;)
		fill_once(page);
	return NULL;
}

/*
 * A filler publishes pages that vCPUs are about to touch.  What the kernel
 * reads too early here is seen as a stale word.
 */
void case_publish(enum kind kind)
{
	pthread_t other, third;
	int round;

	machine_init(&m, kind, 2);
	pthread_barrier_init(&start, NULL, 3);
	for (round = 0; round < RACE_ROUNDS; round++) {
		all_absent();
		other = thread_start(sweeper, &m.vcpus[1]);
		third = thread_start(filler, NULL);
		sweeper(&m.vcpus[0]);
		pthread_join(other, NULL);
		pthread_join(third, NULL);
		if (fills != TEST_PAGES)
			fail("%lu pages filled of %lu", fills, TEST_PAGES);
	}
}

/* A vCPU that reads until the stop word is set; its faults only clear bits. */
static void *spinner(void *arg)
{
	struct vcpu *v = arg;

	vcpu_call(v, guest_spin, page_gva(0), TOGGLE_PAGES, TAG, SYS_STOP);
	pthread_barrier_wait(&start);
	for (;;) {
		struct stop s = vcpu_run(v);

		if (s.done && !s.result)
			return NULL;
		if (s.done)
			fail("vCPU %d read %llu wrong words", v->index,
			     (unsigned long long)s.result);
		if (!stop_is_userfault(&s))
			fail("vCPU %d: want a userfault exit: %s", v->index,
			     stop_text(&s));
		__atomic_fetch_add(&exits, 1, __ATOMIC_RELAXED);
		bit_clear(&m, stop_page(&s));
	}
}

/* The flag goes off and on, as fast as it can, under two running vCPUs. */
void case_toggle(enum kind kind)
{
	time_t end = time(NULL) + TOGGLE_SECONDS;
	unsigned long toggles = 0, before = 0, seen = 0;
	pthread_t t[2];
	int i;

	machine_init(&m, kind, 2);
	pages_fill(&m, TAG);
	slot_set(&m, 0);
	pthread_barrier_init(&start, NULL, 3);
	for (i = 0; i < 2; i++)
		t[i] = thread_start(spinner, &m.vcpus[i]);
	pthread_barrier_wait(&start);
	while (time(NULL) < end || toggles < 20) {
		bits_set_all(&m);
		slot_set(&m, UF_MEM_USERFAULT);
		/* Every third time give the guest a while to run into it. */
		for (i = 0; i < 50 && toggles % 3 == 0 && exits == before; i++)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 },
				  NULL);
		seen += exits != before;
		before = exits;
		slot_set(&m, 0);
		toggles++;
	}
	__atomic_store_n((uint64_t *)(void *)(m.sys + SYS_STOP), 1,
			 __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	note("%lu toggles, %lu exits", toggles, exits);
	if (!seen)
		fail("no vCPU ever exited in %lu toggles", toggles);
}

/* The vCPU of case_toggle_held: reads until stopped, then stays out. */
static void *prisoner(void *arg)
{
	struct vcpu *v = arg;
	struct stop s;

	vcpu_call(v, guest_spin, page_gva(0), TOGGLE_PAGES, TAG, SYS_STOP);
	pthread_barrier_wait(&start);
	s = vcpu_run(v);
	if (!stop_is_userfault(&s) || stop_page(&s) >= TOGGLE_PAGES)
		fail("vCPU %d: want a userfault exit: %s", v->index,
		     stop_text(&s));
	return NULL;
}

/* Wait for a vCPU that must come out by itself. */
static void join_soon(pthread_t t)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += HELD_SECONDS;
	if (pthread_timedjoin_np(t, NULL, &end))
		fail("a vCPU still runs, with all its pages absent");
}

/*
 * When the ioctl that turns the flag on has returned, no vCPU touches an
 * absent page any more: what is written there then is not seen by any.
 */
void case_toggle_held(enum kind kind)
{
	pthread_t t[2];
	int i, round;

	machine_init(&m, kind, 2);
	pthread_barrier_init(&start, NULL, 3);
	bits_set_all(&m);
	for (round = 0; round < 10; round++) {
		pages_fill(&m, TAG);
		slot_set(&m, 0);
		for (i = 0; i < 2; i++)
			t[i] = thread_start(prisoner, &m.vcpus[i]);
		pthread_barrier_wait(&start);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		slot_set(&m, UF_MEM_USERFAULT);
		pages_fill(&m, STALE);
		for (i = 0; i < 2; i++)
			join_soon(t[i]);

		/* Let them go on with what they should see, to their end. */
		pages_fill(&m, TAG);
		slot_set(&m, 0);
		__atomic_store_n((uint64_t *)(void *)(m.sys + SYS_STOP), 1,
				 __ATOMIC_RELEASE);
		for (i = 0; i < 2; i++)
			expect_done(&m.vcpus[i], 0);
		__atomic_store_n((uint64_t *)(void *)(m.sys + SYS_STOP), 0,
				 __ATOMIC_RELEASE);
	}
}
