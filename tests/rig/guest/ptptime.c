/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ptptime [-s] - prints the time of /dev/ptp0 and the wall clock, in whole
 * seconds; with -s sets the wall clock to the former first, as chrony would.
 *
 * Runs in a guest of the rig.  Exit status: 0, or 1 with a line of reason.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The clock behind a descriptor (clock_getres(2), dynamic clocks). */
static clockid_t clock_of(int fd)
{
	return (clockid_t)((~(unsigned int)fd << 3) | 3);
}

int main(int argc, char **argv)
{
	struct timespec ptp, real;
	int fd = open("/dev/ptp0", O_RDONLY);

	if (fd < 0 || clock_gettime(clock_of(fd), &ptp) < 0) {
		perror("/dev/ptp0");
		return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "-s") &&
	    clock_settime(CLOCK_REALTIME, &ptp) < 0) {
		perror("clock_settime");
		return 1;
	}
	clock_gettime(CLOCK_REALTIME, &real);
	printf("%lld %lld\n", (long long)ptp.tv_sec, (long long)real.tv_sec);
	return 0;
}
