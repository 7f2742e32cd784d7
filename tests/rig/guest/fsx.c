// SPDX-License-Identifier: BSD-2-Clause
/*
 * fsx FILE STEPS SEED - random operations on one file and on a copy in memory:
 * reads, writes, mappings, truncations, holes, copies within the file, syncs,
 * closing and opening again.  What is read is compared at each step.  At the end
 * it prints the size and the hash of what the file must contain, and how many steps
 * there were of each kind; the first difference ends it with status 1.
 *
 * fsx FILE - prints the size and the hash of a file, in the same form.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES_MAX 65536

static uint8_t shadow[BYTES_MAX], buffer[BYTES_MAX];
static size_t size; /* of the file */
static uint64_t state;
static const char *path;
static int fd;
static long step;

static uint32_t number(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

static void fail(const char *what)
{
	fprintf(stderr, "fsx: step %ld: %s: %s\n", step, what, strerror(errno));
	exit(1);
}

/* A range within the largest size; most are short. */
static void range(size_t *at, size_t *len)
{
	*at = number(BYTES_MAX);
	*len = 1 + number(number(8) ? 1024 : 16384);
	if (*len > BYTES_MAX - *at)
		*len = BYTES_MAX - *at;
}

/* The file is at least to long; what is new is zeros. */
static void grow(size_t to)
{
	if (to <= size)
		return;
	memset(shadow + size, 0, to - size);
	size = to;
}

/* Compares len bytes of the file at a place, which came by a way. */
static void compare(const uint8_t *have, size_t at, size_t len, const char *way)
{
	for (size_t i = 0; i < len; i++) {
		if (have[i] == shadow[at + i])
			continue;
		fprintf(stderr,
			"fsx: step %ld: %s of %zu at %zu: byte %zu is %02x, not %02x\n",
			step, way, len, at, at + i, have[i], shadow[at + i]);
		exit(1);
	}
}

static void do_read(void)
{
	size_t at, len, want;

	range(&at, &len);
	want = at >= size ? 0 : len < size - at ? len : size - at;
	if (pread(fd, buffer, len, (off_t)at) != (ssize_t)want)
		fail("read");
	compare(buffer, at, want, "read");
}

/* New bytes into the shadow. */
static void renew(size_t at, size_t len)
{
	uint32_t word = number(1u << 31);

	grow(at + len);
	for (size_t i = 0; i < len; i++) {
		word = word * 1664525 + 1013904223;
		shadow[at + i] = (uint8_t)(word >> 24);
	}
}

static void do_write(void)
{
	size_t at, len;

	range(&at, &len);
	renew(at, len);
	if (pwrite(fd, shadow + at, len, (off_t)at) != (ssize_t)len)
		fail("write");
}

/* A mapping of the range, which is in the file; *map is its first byte. */
static void *map_range(size_t at, size_t len, uint8_t **map)
{
	size_t skip = at % (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, skip + len, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, (off_t)(at - skip));

	if (p == MAP_FAILED)
		fail("mmap");
	*map = p + skip;
	return p;
}

static void do_map(int writes)
{
	size_t at, len;
	uint8_t *map;
	void *base;

	range(&at, &len);
	if (at >= size)
		return;
	if (len > size - at)
		len = size - at;
	base = map_range(at, len, &map);
	compare(map, at, len, "mapping");
	if (writes) {
		renew(at, len);
		memcpy(map, shadow + at, len);
	}
	if (writes && !number(20) &&
	    msync(base, len + (size_t)(map - (uint8_t *)base), MS_SYNC) < 0)
		fail("msync");
	if (munmap(base, len + (size_t)(map - (uint8_t *)base)) < 0)
		fail("munmap");
}

static void do_truncate(void)
{
	size_t to = number(BYTES_MAX);

	if (ftruncate(fd, (off_t)to) < 0)
		fail("truncate");
	grow(to);
	size = to;
}

static void do_hole(void)
{
	int keep = FALLOC_FL_KEEP_SIZE;
	size_t at, len;

	range(&at, &len);
	if (fallocate(fd, keep | FALLOC_FL_PUNCH_HOLE, (off_t)at, (off_t)len) <
	    0)
		fail("punch hole");
	if (at < size)
		memset(shadow + at, 0, len < size - at ? len : size - at);
}

static void do_copy(void)
{
	size_t at, len, to;
	off_t in, out;

	range(&at, &len);
	to = number(BYTES_MAX);
	if (at >= size)
		return;
	if (len > size - at)
		len = size - at;
	if (len > BYTES_MAX - to)
		len = BYTES_MAX - to;
	if (!len || (at < to + len && to < at + len))
		return;
	for (size_t done = 0; done < len;) {
		ssize_t n;

		in = (off_t)(at + done);
		out = (off_t)(to + done);
		n = copy_file_range(fd, &in, fd, &out, len - done, 0);
		if (n <= 0)
			fail("copy_file_range");
		done += (size_t)n;
	}
	grow(to + len);
	memcpy(shadow + to, shadow + at, len);
}

static void do_open(void)
{
	struct stat st;

	if (close(fd) < 0)
		fail("close");
	fd = open(path, O_RDWR);
	if (fd < 0 || fstat(fd, &st) < 0)
		fail("open");
	if (st.st_size != (off_t)size)
		fail("size after open");
}

static void do_sync(void)
{
	if ((number(2) ? fsync(fd) : fdatasync(fd)) < 0)
		fail("sync");
}

static void do_map_read(void)
{
	do_map(0);
}

static void do_map_write(void)
{
	do_map(1);
}

/* How many of 100 steps. */
static const struct {
	const char *name;
	unsigned int share;
	void (*run)(void);
} kinds[] = {
	{ "read", 28, do_read },	 { "write", 28, do_write },
	{ "map-read", 15, do_map_read }, { "map-write", 15, do_map_write },
	{ "truncate", 4, do_truncate },	 { "hole", 3, do_hole },
	{ "copy", 4, do_copy },		 { "open", 2, do_open },
	{ "sync", 1, do_sync },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Prints the size and the hash of what the shadow has. */
static void print_shadow(void)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ shadow[i]) * 0x100000001b3;
	printf("%zu bytes, hash %llx", size, (unsigned long long)hash);
}

/* Takes the file as the shadow. */
static int print_file(void)
{
	ssize_t n;

	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, shadow, sizeof(shadow));
	if (n < 0)
		fail(path);
	size = (size_t)n;
	print_shadow();
	printf("\n");
	return 0;
}

static void run_steps(long steps)
{
	long counts[KINDS] = { 0 };

	for (step = 0; step < steps; step++) {
		unsigned int k = 0, n = number(100);

		while (n >= kinds[k].share)
			n -= kinds[k++].share;
		kinds[k].run();
		counts[k]++;
	}
	if (close(fd) < 0)
		fail("close");
	print_shadow();
	printf(", %ld steps:", steps);
	for (unsigned int k = 0; k < KINDS; k++)
		printf(" %s %ld", kinds[k].name, counts[k]);
	printf("\n");
}

int main(int argc, char **argv)
{
	path = argc > 1 ? argv[1] : "";
	if (argc == 2)
		return print_file();
	if (argc != 4)
		return 64;
	state = strtoull(argv[3], NULL, 10);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		fail(path);
	run_steps(strtol(argv[2], NULL, 10));
	return 0;
}
