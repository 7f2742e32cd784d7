/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads: the size of their stacks, their signals, and the kick. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/thread.h"

struct reader {
	int fd;
	int result; /* of the read */
	uint8_t flag;
	size_t stack_bytes;
	atomic_bool done;
};

/* Looks at its stack, and reads what never comes. */
static void *read_pipe(void *arg)
{
	struct reader *reader = arg;
	pthread_attr_t attributes;
	char byte;

	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &reader->stack_bytes);
	pthread_attr_destroy(&attributes);
	thread_set_kick_flag(&reader->flag);
	reader->result = read(reader->fd, &byte, 1) < 0 ? errno : 0;
	atomic_store(&reader->done, true);
	return NULL;
}

/* A kick ends a read, whatever the limit of stacks was. */
static void kick_ends_a_read(void **state)
{
	const struct rlimit small = { 256 * 1024, RLIM_INFINITY };
	struct reader reader = { 0 };
	pthread_t thread;
	int fds[2];

	(void)state;
	setrlimit(RLIMIT_STACK, &small);
	assert_int_equal(pipe(fds), 0);
	reader.fd = fds[0];
	assert_int_equal(thread_start(&thread, "reader", read_pipe, &reader),
			 0);
	/* A kick may come before the read begins. */
	for (int i = 0; i < 10000 && !atomic_load(&reader.done); i++) {
		thread_kick(thread);
		usleep(1000);
	}
	assert_true(atomic_load(&reader.done));
	pthread_join(thread, NULL);
	assert_int_equal(reader.result, EINTR);
	assert_int_equal(reader.flag, 1);
	assert_true(reader.stack_bytes >= THREAD_STACK_BYTES);
	close(fds[0]);
	close(fds[1]);
}

/* One that is gone, and one that is no thread of ours, are left alone. */
static void kick_of_a_thread_that_is_gone(void **state)
{
	(void)state;
	thread_take_kicks();
	thread_kick_id(gettid());
	thread_kick_id(1);
	thread_kick_id(0);
}

#define SPIN_NS 100000000

static void *spin(void *arg)
{
	const atomic_bool *stop = arg;

	while (!atomic_load(stop))
		;
	return NULL;
}

/* Spins until this thread has had a processor for SPIN_NS more. */
static void use_processor(void)
{
	struct timespec t;
	uint64_t now, end = 0;

	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
		now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
		end = end ? end : now + SPIN_NS;
	} while (now < end);
}

/* Of two threads on one processor, each waits while the other runs. */
static void run_delay_of_a_shared_processor(void **state)
{
	atomic_bool stop = false;
	cpu_set_t all, one;
	pthread_t thread;
	uint64_t before;

	(void)state;
	if (access("/proc/self/schedstat", R_OK) != 0)
		skip();
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	before = threads_run_delay_ns();
	assert_int_equal(thread_start(&thread, "spin", spin, &stop), 0);
	use_processor();
	assert_true(threads_run_delay_ns() - before >= SPIN_NS / 4);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kick_ends_a_read),
		cmocka_unit_test(kick_of_a_thread_that_is_gone),
		cmocka_unit_test(run_delay_of_a_shared_processor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
