/* SPDX-License-Identifier: BSD-2-Clause */
/* Thread creation, and kicks. Any thread. */
#include "vmm/base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/signals.h"

/* Accessed by the handler. */
static _Thread_local volatile uint8_t *volatile kick_flag;

static int kick_signal(void)
{
	return SIGRTMIN;
}

/*
 * Handler of the kick. No SA_RESTART, so that the system call is interrupted.
 */
static void on_kick(int signal)
{
	(void)signal;
	if (kick_flag)
		*kick_flag = 1;
}

static void catch_kicks(void)
{
	struct sigaction kick = { .sa_handler = on_kick };

	sigaction(kick_signal(), &kick, NULL);
}

void thread_take_kicks(void)
{
	sigset_t mask;

	catch_kicks();
	sigemptyset(&mask);
	sigaddset(&mask, kick_signal());
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
}

void thread_set_kick_flag(volatile uint8_t *flag)
{
	kick_flag = flag;
}

void thread_kick(pthread_t thread)
{
	pthread_kill(thread, kick_signal());
}

void thread_kick_id(pid_t id)
{
	syscall(SYS_tgkill, getpid(), id, kick_signal());
}

int thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg),
		 void *arg)
{
	pthread_attr_t attributes;
	sigset_t before;
	int r = pthread_attr_init(&attributes);

	if (r)
		return -r;
	r = pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	signals_block_in_thread(&before);
	thread_take_kicks();
	if (r == 0)
		r = pthread_create(thread, &attributes, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r == 0)
		pthread_setname_np(*thread, name);
	return -r;
}

/* The delay of the thread with the directory @name in /proc/self/task. */
static uint64_t run_delay_ns(const char *name)
{
	char text[128] = "", *second = text;
	FILE *file;

	snprintf(text, sizeof(text), "/proc/self/task/%.20s/schedstat", name);
	file = fopen(text, "re");
	if (!file)
		return 0;
	if (fgets(text, sizeof(text), file))
		strtoull(text, &second, 10);
	fclose(file);
	return second == text ? 0 : strtoull(second, NULL, 10);
}

unsigned int threads_useful(unsigned int most)
{
	cpu_set_t cpus;
	/* The set is too small for a host with more than 1024 processors. */
	unsigned int count = sched_getaffinity(0, sizeof(cpus), &cpus) ?
				     most :
				     (unsigned int)CPU_COUNT(&cpus);

	return count < most ? count : most;
}

uint64_t threads_run_delay_ns(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	uint64_t sum = 0;

	if (!tasks)
		return 0;
	while ((entry = readdir(tasks)))
		sum += run_delay_ns(entry->d_name);
	closedir(tasks);
	return sum;
}
