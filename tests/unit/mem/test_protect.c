/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A write to a protected page, by a thread or by the kernel, waits until the
 * protection is lifted; reads and writes to other pages do not.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/racy.h"
#include "vmm/mem/memory.h"
#include "vmm/mem/protect.h"

#define HIGH	UINT64_C(0x100000000)
#define BYTES	UINT64_C(0x40000) /* of each of two ranges */
#define HANGS_S 60

/* As a kernel that changes the protection of so many bytes at once, at most. */
static uint64_t at_once = UINT64_MAX;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *change = arg;

	if (request == UFFDIO_WRITEPROTECT && change->range.len > at_once) {
		errno = ENOENT;
		return -1;
	}
	return __real_ioctl(fd, request, arg);
}

static void open_memory(struct memory *memory, enum memory_huge_kind huge)
{
	const struct memory_range ranges[] = { { 0, BYTES }, { HIGH, BYTES } };
	const struct memory_config config = { .backing = MEMORY_ANON,
					      .huge = { .kind = huge },
					      .ranges = ranges,
					      .range_count = 2 };

	assert_int_equal(memory_init(memory, &config, NULL), 0);
	for (unsigned int i = 0; i < 2; i++)
		memset(memory->regions[i].hva, 'a', BYTES);
}

/* A thread that writes to a page, by itself or by read(2) of a pipe. */
struct writer {
	pthread_t thread;
	uint8_t *to;
	int pipe; /* -1: none */
	atomic_bool done;
};

static void *write_page(void *arg)
{
	struct writer *writer = arg;

	if (writer->pipe < 0)
		*(volatile uint8_t *)writer->to = 'b';
	else
		assert_int_equal(read(writer->pipe, writer->to, 1), 1);
	atomic_store(&writer->done, true);
	return NULL;
}

static void start(struct writer *writer, uint8_t *to, int pipe)
{
	*writer = (struct writer){ .to = to, .pipe = pipe };
	assert_int_equal(pthread_create(&writer->thread, NULL, write_page,
					writer),
			 0);
}

/* The page that the next writer waits for. */
static uint64_t next_wait(const struct protect *protect)
{
	struct pollfd fd = { .fd = protect->fd, .events = POLLIN };
	uint64_t page;

	assert_int_equal(poll(&fd, 1, HANGS_S * 1000), 1);
	assert_true(protect_next(protect, &page));
	return page;
}

/* The last page of the first range and the first one of the second. */
static void holds_writers(void **state)
{
	struct memory memory;
	struct protect protect;
	struct writer one, other;
	uint64_t border = BYTES / PAGE_BYTES, page;
	uint8_t *low, *high;
	int pipes[2];

	(void)state;
	open_memory(&memory, MEMORY_HUGE_AUTO);
	low = memory_page_hva(&memory, border - 1);
	high = memory_page_hva(&memory, border);
	assert_int_equal(protect_open(&protect, &memory), 0);
	assert_int_equal(protect_pages(&protect, border - 1, 2), 0);
	assert_false(protect_next(&protect, &page));

	*(volatile uint8_t *)(low - PAGE_BYTES) = 'c';
	*(volatile uint8_t *)(high + PAGE_BYTES) = 'c';
	assert_int_equal(*(volatile uint8_t *)low, 'a');
	start(&one, low + 7, -1);
	assert_int_equal(next_wait(&protect), border - 1);
	/* The kernel waits as well. */
	assert_int_equal(pipe(pipes), 0);
	start(&other, high + 9, pipes[0]);
	assert_int_equal(write(pipes[1], "b", 1), 1);
	assert_int_equal(next_wait(&protect), border);
	assert_false(atomic_load(&one.done) || atomic_load(&other.done));
	/* The writers are in the middle of their writes. */
	racy_reads_begin();
	assert_int_equal(low[7], 'a');
	assert_int_equal(high[9], 'a');
	racy_reads_end();

	assert_int_equal(protect_lift(&protect, border - 1, 1), 0);
	pthread_join(one.thread, NULL);
	assert_int_equal(low[7], 'b');
	assert_false(atomic_load(&other.done));
	/* All the others go on at the end. */
	protect_close(&protect);
	pthread_join(other.thread, NULL);
	assert_int_equal(high[9], 'b');
	*(volatile uint8_t *)high = 'c';
	close(pipes[0]);
	close(pipes[1]);
	memory_finish(&memory);
}

/* Before Linux 6.4 one call cannot change pages of several mappings. */
static void changes_mappings_one_by_one(void **state)
{
	struct memory memory;
	struct protect protect;
	uint64_t page;

	(void)state;
	open_memory(&memory, MEMORY_HUGE_AUTO);
	assert_int_equal(protect_open(&protect, &memory), 0);
	at_once = 2 * PAGE_BYTES;
	assert_int_equal(protect_pages(&protect, 0, 13), 0);
	for (unsigned int i = 0; i < 13; i++) {
		struct writer writer;

		start(&writer, memory_page_hva(&memory, i), -1);
		assert_int_equal(next_wait(&protect), i);
		assert_int_equal(protect_lift(&protect, i, 13 - i), 0);
		pthread_join(writer.thread, NULL);
		if (i < 12)
			assert_int_equal(protect_pages(&protect, i + 1, 12 - i),
					 0);
	}
	assert_false(protect_next(&protect, &page));
	at_once = 0;
	assert_int_equal(protect_pages(&protect, 0, 1), -ENOENT);
	at_once = UINT64_MAX;
	protect_close(&protect);
	memory_finish(&memory);
}

/* Memory that is not anonymous, or belongs to another userfaultfd, is refused. */
static void refuses_other_memory(void **state)
{
	struct memory memory;
	struct protect protect, second;

	(void)state;
	open_memory(&memory, MEMORY_HUGE_NEVER);
	assert_int_equal(protect_open(&protect, &memory), 0);
	assert_int_equal(protect_open(&second, &memory), -EBUSY);
	assert_int_equal(second.fd, -1);
	protect_close(&protect);
	memory.backing = MEMORY_FILE;
	assert_int_equal(protect_open(&protect, &memory), -EOPNOTSUPP);
	memory.backing = MEMORY_ANON;
	memory.huge.kind = MEMORY_HUGE_HUGETLB;
	assert_int_equal(protect_open(&protect, &memory), -EOPNOTSUPP);
	memory.huge.kind = MEMORY_HUGE_NEVER;
	memory_finish(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_writers),
		cmocka_unit_test(changes_mappings_one_by_one),
		cmocka_unit_test(refuses_other_memory),
	};
	struct memory memory;
	struct protect protect;
	int r;

	alarm(HANGS_S);
	open_memory(&memory, MEMORY_HUGE_AUTO);
	r = protect_open(&protect, &memory);
	if (r < 0) {
		printf("skipped: userfaultfd: %s\n", strerror(-r));
		return 77;
	}
	protect_close(&protect);
	memory_finish(&memory);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
