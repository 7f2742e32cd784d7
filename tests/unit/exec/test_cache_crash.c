/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many processes use one cache, and are killed at any moment: an entry that is
 * found is complete and stays as long as it is in use, the limit holds, and the
 * next begin leaves nothing behind.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/exec/fixture.h"
#include "vmm/base/clock.h"
#include "vmm/exec/cache_private.h"

#define WORKERS	  8
#define ROUNDS	  200
#define KEYS	  8
#define ENTRY_KIB 16
/* Some three of the eight entries. */
#define LIMIT_BYTES (UINT64_C(160) << 10)

/* What a worker did, a byte in a pipe. */
enum deed { FOUND = 'f', MADE = 'm', NO_PLACE = 'n' };

/* Exit statuses of a worker that saw a violation. */
enum { INCOMPLETE = 1, VANISHED, FAILED };

static void pause_us(unsigned int most)
{
	nanosleep(&(struct timespec){ .tv_nsec = rand() % (int)most * 1000L },
		  NULL);
}

static void report(int deeds, enum deed deed)
{
	char byte = (char)deed;

	if (write(deeds, &byte, 1) != 1)
		_exit(FAILED);
}

/* Uses a found entry for a while. */
static void use(struct cache_entry *entry, int fill, int deeds)
{
	if (!entry_is_whole(entry, ENTRY_KIB, fill))
		_exit(INCOMPLETE);
	pause_us(3000);
	if (!entry_is_whole(entry, ENTRY_KIB, fill))
		_exit(VANISHED);
	cache_release(entry);
	report(deeds, FOUND);
}

/* Makes an entry, or gives it up. */
static void make(const struct cache *cache, struct cache_entry *entry, int fill,
		 int deeds)
{
	int err;

	if (entry_write(entry, ENTRY_KIB, fill))
		_exit(FAILED);
	pause_us(1000);
	if (rand() % 8 == 0) {
		cache_abort(cache, entry);
		return;
	}
	err = cache_commit(cache, entry);
	if (err && err != -ENOSPC && err != -EBUSY)
		_exit(FAILED);
	report(deeds, err ? NO_PLACE : MADE);
}

/* One run of thaw exec, as far as the cache sees it. */
static void run_once(const struct cache *cache, int deeds)
{
	int n = rand() % KEYS, err;
	char key[CACHE_KEY_TEXT_BYTES];
	struct cache_cleared cleared;
	struct cache_entry entry;

	key_text((unsigned int)n, key);
	if (rand() % 50 == 0)
		cache_clear(cache, &cleared);
	if (rand() % 20 == 0)
		cache_remove(cache, key);
	err = cache_lookup(cache, key, &entry);
	if (!err) {
		use(&entry, n, deeds);
		return;
	}
	if (err != -ENOENT)
		_exit(FAILED);
	err = cache_begin(cache, key, "an entry", &entry);
	if (!err)
		make(cache, &entry, n, deeds);
	else if (err != -EBUSY && err != -EEXIST)
		_exit(FAILED);
}

static pid_t start_worker(const struct cache *cache, unsigned int seed,
			  int deeds)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	/* A failed assertion must not leave workers. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(FAILED);
	srand(seed);
	for (;;)
		run_once(cache, deeds);
}

/* The worker must have been killed, and not have ended by itself. */
static void reap(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("a worker ended with status %d", WEXITSTATUS(status));
}

/* No commit runs meanwhile, so the sum is that of one moment or less. */
static void check_limit(const struct cache *cache)
{
	int lock = cache_lock(cache, true);
	struct cache_list list;
	uint64_t sum = 0;

	if (lock < 0)
		return;
	assert_int_equal(cache_list(cache, &list), 0);
	for (size_t i = 0; i < list.count; i++)
		sum += list.items[i].size_bytes;
	cache_list_finish(&list);
	close(lock);
	assert_true(sum <= cache->limit_bytes);
}

/* Counts the deeds so far; the pipe is drained. */
static void count_deeds(int deeds, unsigned int counts[256])
{
	unsigned char bytes[4096];
	ssize_t n;

	while ((n = read(deeds, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < n; i++)
			counts[bytes[i]]++;
}

static void check_rest(const struct cache *cache)
{
	char key[CACHE_KEY_TEXT_BYTES];
	struct cache_entry entry;

	for (unsigned int n = 0; n < KEYS; n++) {
		key_text(n, key);
		if (cache_lookup(cache, key, &entry))
			continue;
		assert_true(entry_is_whole(&entry, ENTRY_KIB, (int)n));
		cache_release(&entry);
	}
	key_text(99, key);
	assert_int_equal(cache_begin(cache, key, "", &entry), 0);
	assert_int_equal(count_unfinished(cache), 1);
	cache_abort(cache, &entry);
	assert_int_equal(count_unfinished(cache), 0);
}

static void killed_at_any_moment(void **state)
{
	unsigned int counts[256] = { 0 };
	pid_t workers[WORKERS];
	struct cache cache;
	int deeds[2];
	char dir[64];

	(void)state;
	fixture_begin(dir);
	assert_int_equal(cache_open(&cache, true, LOG_DEBUG), 0);
	cache.limit_bytes = LIMIT_BYTES;
	assert_int_equal(pipe(deeds), 0);
	assert_int_equal(fcntl(deeds[0], F_SETFL, O_NONBLOCK), 0);
	srand(5);
	for (unsigned int i = 0; i < WORKERS; i++)
		workers[i] = start_worker(&cache, i, deeds[1]);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		int which = rand() % WORKERS;

		pause_us(20000);
		reap(workers[which]);
		check_limit(&cache);
		count_deeds(deeds[0], counts);
		workers[which] =
			start_worker(&cache, WORKERS + round, deeds[1]);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		reap(workers[i]);
	count_deeds(deeds[0], counts);
	print_message("%u found, %u made, %u had no place\n", counts[FOUND],
		      counts[MADE], counts[NO_PLACE]);
	/* The test must have tested something. */
	assert_true(counts[FOUND] > 0 && counts[MADE] > 0);
	check_rest(&cache);
	close(deeds[0]);
	close(deeds[1]);
	cache_close(&cache);
	remove_tree(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_any_moment),
	};

	return cmocka_run_group_tests_name("exec-cache-crash", tests, NULL,
					   NULL);
}
