/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory whose file has become shorter, while this program touches it. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/mem/sigbus.h"

#define LOW   UINT64_C(0x100000)
#define HIGH  UINT64_C(0x100000000)
#define BYTES UINT64_C(0x40000) /* of each range */

/* What was reported. */
struct losses {
	unsigned int count;
	gpa_t gpa;
	pthread_t thread;
};

static void on_lost(void *ctx, gpa_t gpa)
{
	struct losses *losses = ctx;

	losses->count++;
	losses->gpa = gpa;
	losses->thread = pthread_self();
	errno = ENOANO;
}

/* Two ranges over a file of 0x11. */
static int open_memory(struct memory *memory)
{
	const struct memory_range ranges[] = { { LOW, BYTES },
					       { HIGH, BYTES } };
	char path[] = "/tmp/thaw-sigbus.XXXXXX";
	const struct memory_part whole = { 0, 2 * BYTES / PAGE_BYTES,
					   mkstemp(path) };
	struct memory_config config = { .backing = MEMORY_FILE,
					.ranges = ranges,
					.range_count = 2,
					.parts = &whole,
					.part_count = 1 };
	uint8_t *bytes = malloc(2 * BYTES);

	assert_non_null(bytes);
	memset(bytes, 0x11, 2 * BYTES);
	assert_true(whole.fd >= 0);
	assert_int_equal(write(whole.fd, bytes, 2 * BYTES), 2 * BYTES);
	unlink(path);
	free(bytes);
	assert_int_equal(memory_init(memory, &config, NULL), 0);
	return whole.fd;
}

static void *read_byte(void *hva)
{
	return (void *)(uintptr_t) * (volatile uint8_t *)hva;
}

/* The first access to a lost page reports it, once, and reads zeros. */
static void lost_pages_are_told(void **state)
{
	struct losses losses = { .count = 0 };
	struct memory memory;
	struct sigbus_watch watch = { &memory, on_lost, &losses };
	int fd = open_memory(&memory);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	pthread_t thread;
	void *hva, *value;

	(void)state;
	assert_int_equal(sigbus_watch(&watch), 0);
	assert_int_equal(memory_map(&memory, HIGH + page + 8, 8, &hva), 0);
	/* A page that the guest has written to goes as well. */
	assert_int_equal(memory_write(&memory, HIGH, "x", 1), 0);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	errno = 0;
	assert_null(read_byte(hva));
	assert_int_equal(errno, 0);
	assert_int_equal(losses.count, 1);
	assert_true(losses.gpa == HIGH + page + 8);
	assert_null(read_byte(hva));
	assert_int_equal(losses.count, 1);
	assert_int_equal(memory_map(&memory, HIGH, 8, &hva), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_byte, hva), 0);
	assert_int_equal(pthread_join(thread, &value), 0);
	assert_null(value);
	assert_int_equal(losses.count, 2);
	assert_true(losses.gpa == HIGH);
	assert_true(pthread_equal(losses.thread, thread));
	/* What is left of the file is there. */
	assert_int_equal(memory_map(&memory, LOW + BYTES - 1, 1, &hva), 0);
	assert_int_equal((uintptr_t)read_byte(hva), 0x11);
	assert_int_equal(losses.count, 2);
	sigbus_unwatch();
	memory_finish(&memory);
	close(fd);
}

/* How a child ends that touches @hva. */
static int touch_in_child(void *hva)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		read_byte(hva);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Whether it was ended by the signal, as without a handler. */
static int is_bus_error(int status)
{
	/* A sanitizer turns the signal into a status of its own. */
	return WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS :
				     WEXITSTATUS(status) != 0;
}

/* Any other memory is none of its business, and guest memory that is not. */
static void others_end_the_process(void **state)
{
	struct losses losses = { .count = 0 };
	struct memory memory, other;
	struct sigbus_watch watch = { &memory, on_lost, &losses };
	int fd = open_memory(&memory), other_fd = open_memory(&other);
	void *hva;

	(void)state;
	assert_int_equal(sigbus_watch(&watch), 0);
	assert_int_equal(ftruncate(other_fd, 0), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(memory_map(&other, LOW, 8, &hva), 0);
	assert_true(is_bus_error(touch_in_child(hva)));
	assert_int_equal(memory_map(&memory, LOW, 8, &hva), 0);
	assert_int_equal(touch_in_child(hva), 0);
	sigbus_unwatch();
	assert_true(is_bus_error(touch_in_child(hva)));
	memory_finish(&memory);
	memory_finish(&other);
	close(fd);
	close(other_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lost_pages_are_told),
		cmocka_unit_test(others_end_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
