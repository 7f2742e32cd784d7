// SPDX-License-Identifier: BSD-2-Clause
/*
 * mapwrite FILE - writes a megabyte of a file through a shared mapping, in steps
 * that cross its pages, and checks what read(2) then sees.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (1024 * 1024)

int main(int argc, char **argv)
{
	static char bytes[BYTES];
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT, 0644) : -1;
	char *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, BYTES) == 0)
		map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
	if (map == MAP_FAILED) {
		perror("mapwrite");
		return 1;
	}
	for (size_t i = 0; i < BYTES; i += 13)
		map[i] = (char)('a' + i % 26);
	if (msync(map, BYTES, MS_SYNC) < 0 ||
	    pread(fd, bytes, BYTES, 0) != BYTES ||
	    memcmp(bytes, map, BYTES) != 0) {
		perror("mapwrite: not what was written");
		return 1;
	}
	return close(fd) < 0;
}
