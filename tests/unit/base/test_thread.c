/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads: the size of their stacks, their signals, and the kick. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kick_ends_a_read),
		cmocka_unit_test(kick_of_a_thread_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
