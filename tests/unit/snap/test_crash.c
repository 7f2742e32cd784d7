/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A saver that is killed at any time leaves the old snapshot, the new one, or
 * none, and no file that the next save does not remove.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

#define ROUNDS 200

/* The child: saves guest after guest until it is killed, or the test is. */
static void save_for_ever(const char *path, unsigned int seed, int told)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;; seed++) {
		if (save_guest(path, seed))
			_exit(9);
		/* A save that was reported must be found later. */
		if (write(told, &seed, sizeof(seed)) < 0)
			_exit(8);
	}
}

/* The last seed that was reported, or @before. */
static unsigned int last_reported(int told, unsigned int before)
{
	unsigned int seed;

	while (read(told, &seed, sizeof(seed)) == sizeof(seed))
		before = seed;
	return before;
}

/* Lets a child save for @ns and kills it; returns the last seed it reported. */
static unsigned int kill_a_saver(const char *path, unsigned int seed, long ns,
				 unsigned int before)
{
	int told[2], status;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		save_for_ever(path, seed, told[1]);
	close(told[1]);
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	before = last_reported(told[0], before);
	close(told[0]);
	return before;
}

static void killed_at_any_moment(void **state)
{
	char *dir = fixture_dir(), *path = path_in(dir, "snap");
	unsigned int known = 0, next = 1, none = 0, before_last = 0;
	struct stat st;

	(void)state;
	srand(3);
	for (int round = 0; round < ROUNDS; round++) {
		unsigned int found = 0;

		/* From time to time there is no older one. */
		if (round % 20 == 0) {
			remove_tree(path);
			known = 0;
		}
		known = kill_a_saver(path, next, rand() % 30000000, known);
		if (stat(path, &st)) {
			assert_int_equal(known, 0);
			none++;
			continue;
		}
		assert_int_equal(guest_seed(path, &found), 0);
		assert_int_equal(check_guest(path, found), 0);
		assert_true(found >= known);
		before_last += found > known;
		known = found;
		next = found + 1;
	}
	print_message("%u rounds left none, %u one that was not yet reported\n",
		      none, before_last);
	/* The next save removes the stale staging directories. */
	assert_int_equal(save_guest(path, 77), 0);
	assert_int_equal(check_guest(path, 77), 0);
	assert_int_equal(count_entries(dir), 1);
	free(path);
	fixture_clean(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_any_moment),
	};

	return cmocka_run_group_tests_name("snap-crash", tests, NULL, NULL);
}
