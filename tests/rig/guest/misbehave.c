// SPDX-License-Identifier: BSD-2-Clause
/*
 * misbehave WHAT - what a command may do to its guest, as root:
 *
 *	memory	uses all of it
 *	init	overwrites the code of process 1, which dies of it
 *	starve	takes all processors from everything else, for good
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int use_memory(void)
{
	const size_t bytes = 1 << 20;

	for (;;) {
		char *more = malloc(bytes);

		if (!more)
			return fail("malloc");
		memset(more, 1, bytes);
	}
}

static int kill_init(void)
{
	static const char zeros[4096];
	uint64_t start = 0, end = 0;
	char line[512], flags[5] = "";
	FILE *maps = fopen("/proc/1/maps", "r");
	int mem = open("/proc/1/mem", O_RDWR);

	if (!maps || mem < 0)
		return fail("/proc/1");
	while (!strchr(flags, 'x') && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end,
			   flags) != 3)
			return 1;
	for (; start < end; start += sizeof(zeros))
		if (pwrite(mem, zeros, sizeof(zeros), (off_t)start) < 0)
			return fail("/proc/1/mem");
	sleep(1000);
	return 1;
}

static int starve(void)
{
	const struct sched_param highest = { .sched_priority = 99 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int fd = open("/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY);

	if (fd < 0 || write(fd, "-1", 2) != 2)
		return fail("sched_rt_runtime_us");
	while (--cpus > 0 && fork() > 0)
		;
	if (sched_setscheduler(0, SCHED_FIFO, &highest) < 0)
		return fail("sched_setscheduler");
	for (;;)
		;
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";

	if (!strcmp(what, "memory"))
		return use_memory();
	if (!strcmp(what, "init"))
		return kill_init();
	return !strcmp(what, "starve") ? starve() : 64;
}
