/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals: which are fatal, and what a thread that takes none still takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/base/signals.h"

static void kinds(void **state)
{
	static const int fatal[] = { SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
				     SIGXCPU, SIGTERM, SIGSEGV, SIGSTKFLT };
	static const int harmless[] = { SIGSTOP, SIGTSTP,  SIGCONT,
					SIGCHLD, SIGWINCH, SIGURG };

	(void)state;
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		assert_true(signal_is_fatal(fatal[i]));
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		assert_false(signal_is_fatal(harmless[i]));
	assert_true(signal_is_fatal(SIGRTMIN));
	assert_false(signal_is_fatal(SIGKILL));
}

/* A fault that is blocked kills without the handler: none may be. */
static void threads_take_their_own_faults(void **state)
{
	static const int crash[] = { SIGSEGV, SIGBUS,  SIGILL, SIGFPE,
				     SIGTRAP, SIGABRT, SIGSYS };
	sigset_t before, mask;

	(void)state;
	signals_block_in_thread(&before);
	pthread_sigmask(SIG_SETMASK, &before, &mask);
	for (size_t i = 0; i < sizeof(crash) / sizeof(crash[0]); i++) {
		assert_true(signal_is_crash(crash[i]));
		assert_int_equal(sigismember(&mask, crash[i]), 0);
	}
	assert_int_equal(sigismember(&mask, SIGTERM), 1);
	assert_int_equal(sigismember(&mask, SIGQUIT), 1);
	assert_int_equal(sigismember(&mask, SIGRTMIN), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(threads_take_their_own_faults),
	};

	return cmocka_run_group_tests_name("base-signals", tests, NULL, NULL);
}
