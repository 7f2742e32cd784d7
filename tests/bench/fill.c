/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor under filling: what this host takes to bring the pages of a file into
 * fresh memory in the ways that a pager could, by one thread and by one for each
 * processor.
 *
 *	bench-fill DIRECTORY
 *
 * The file is made in DIRECTORY, and is in the page cache.  Prints the medians in
 * microseconds per page.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm/arch.h"
#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/mem/uffd_probe.h"

#define FILE_BYTES  (64 * MIB)
#define PIECE_BYTES (128 * PAGE_BYTES) /* a fault-around of the default size */
#define LARGE_BYTES (2 * MIB)
#define ROUNDS	    15
#define THREADS_MAX 64

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since Linux 5.14 */
#endif

/* What is done with each piece. */
enum step {
	READ = 1, /* to the memory itself, or to a buffer with COPY */
	MAP = 2, /* look at the file in a mapping */
	CHECK = 4,
	COPY = 8, /* UFFDIO_COPY */
};

static const struct way {
	const char *name;
	int steps;
} ways[] = {
	{ "read into large pages", READ },
	{ "read into large pages, check", READ | CHECK },
	{ "check in a mapping", MAP | CHECK },
	{ "read to a buffer, check, UFFDIO_COPY", READ | CHECK | COPY },
	{ "check in a mapping, UFFDIO_COPY", MAP | CHECK | COPY },
};

/* One thread's part of a round. */
struct part {
	pthread_t thread;
	int steps, file, uffd;
	uint8_t *to, *mapping;
	uint64_t begin, end;
};

/* Leaves with a line. */
static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static uint32_t check(const uint8_t *piece)
{
	uint32_t sums = 0;

	for (uint64_t at = 0; at < PIECE_BYTES; at += PAGE_BYTES)
		sums ^= arch_crc32c(0, piece + at, PAGE_BYTES);
	return sums;
}

static void take_piece(const struct part *part, uint64_t at, uint8_t *buffer)
{
	uint8_t *piece = part->steps & COPY ? buffer : part->to + at;
	struct uffdio_copy copy = { .dst = (uintptr_t)part->to + at,
				    .len = PIECE_BYTES };
	static volatile uint32_t sums;

	if (part->steps & MAP) {
		piece = part->mapping + at;
		must(madvise(piece, PIECE_BYTES, MADV_POPULATE_READ) == 0,
		     "MADV_POPULATE_READ");
	}
	if (part->steps & READ)
		must(pread(part->file, piece, PIECE_BYTES, (off_t)at) ==
			     PIECE_BYTES,
		     "pread");
	if (part->steps & CHECK)
		sums = check(piece);
	copy.src = (uintptr_t)piece;
	/* The address space changes: the rest follows. */
	while (part->steps & COPY &&
	       ioctl(part->uffd, UFFDIO_COPY, &copy) < 0) {
		must(errno == EAGAIN, "UFFDIO_COPY");
		if (copy.copy > 0) {
			copy.dst += (uint64_t)copy.copy;
			copy.src += (uint64_t)copy.copy;
			copy.len -= (uint64_t)copy.copy;
		}
	}
	(void)sums;
}

static void *take_part(void *arg)
{
	const struct part *part = arg;
	uint8_t *buffer = malloc(PIECE_BYTES);

	must(buffer != NULL, "buffer");
	for (uint64_t at = part->begin; at < part->end; at += PIECE_BYTES)
		take_piece(part, at, buffer);
	free(buffer);
	return NULL;
}

/* Fresh memory, aligned for large pages, which it has unless with COPY. */
static uint8_t *fresh(const struct way *way, int uffd, void **whole)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	bool copy = way->steps & COPY;
	uint8_t *to;

	*whole = mmap(NULL, FILE_BYTES + LARGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(*whole != MAP_FAILED, "memory");
	to = (uint8_t *)align_up((uintptr_t)*whole, LARGE_BYTES);
	/* Advice: a kernel without large pages refuses it. */
	madvise(to, FILE_BYTES, copy ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	reg.range.start = (uintptr_t)to;
	reg.range.len = FILE_BYTES;
	must(!copy || ioctl(uffd, UFFDIO_REGISTER, &reg) == 0,
	     "UFFDIO_REGISTER");
	return to;
}

/* One round; microseconds per page. */
static double run(const struct way *way, unsigned int threads, int file,
		  int uffd)
{
	struct part parts[THREADS_MAX];
	void *whole;
	uint8_t *to = fresh(way, uffd, &whole);
	uint64_t start_ns = clock_now_ns();
	double us;
	uint8_t *mapping =
		mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, file, 0);
	uint64_t pieces = FILE_BYTES / PIECE_BYTES;

	must(mapping != MAP_FAILED, "mapping");
	for (unsigned int i = 0; i < threads; i++) {
		parts[i] = (struct part){
			.steps = way->steps,
			.file = file,
			.uffd = uffd,
			.to = to,
			.mapping = mapping,
			.begin = pieces * i / threads * PIECE_BYTES,
			.end = pieces * (i + 1) / threads * PIECE_BYTES,
		};
		must(pthread_create(&parts[i].thread, NULL, take_part,
				    &parts[i]) == 0,
		     "thread");
	}
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(parts[i].thread, NULL);
	munmap(mapping, FILE_BYTES);
	us = (double)(clock_now_ns() - start_ns) / 1e3;
	munmap(whole, FILE_BYTES + LARGE_BYTES);
	return us / (FILE_BYTES / PAGE_BYTES);
}

/* A file of random bytes without a name. */
static int make_file(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	uint8_t bytes[PAGE_BYTES];

	must(fd >= 0, dir);
	for (uint64_t at = 0; at < FILE_BYTES; at += sizeof(bytes)) {
		must(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes),
		     "getrandom");
		must(pwrite(fd, bytes, sizeof(bytes), (off_t)at) ==
			     sizeof(bytes),
		     dir);
	}
	return fd;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double us[ARRAY_SIZE(ways)][2][ROUNDS];
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int threads[2] = { 1, (unsigned int)count };
	int file, uffd;

	if (argc != 2) {
		fprintf(stderr, "usage: bench-fill DIRECTORY\n");
		return 64;
	}
	if (count < 1 || count > THREADS_MAX)
		threads[1] = count < 1 ? 1 : THREADS_MAX;
	file = make_file(argv[1]);
	uffd = uffd_open(0, NULL);
	if (uffd < 0)
		errno = -uffd;
	must(uffd >= 0, "userfaultfd");
	/* In turns, so that what else the machine does meets all. */
	for (unsigned int round = 0; round < ROUNDS; round++)
		for (unsigned int w = 0; w < ARRAY_SIZE(ways); w++)
			for (unsigned int t = 0; t < 2; t++)
				us[w][t][round] =
					run(&ways[w], threads[t], file, uffd);
	printf("| us per page | 1 thread | %u threads |\n|---|---:|---:|\n",
	       threads[1]);
	for (unsigned int w = 0; w < ARRAY_SIZE(ways); w++) {
		printf("| %s |", ways[w].name);
		for (unsigned int t = 0; t < 2; t++) {
			qsort(us[w][t], ROUNDS, sizeof(double), compare);
			printf(" %.2f |", us[w][t][ROUNDS / 2]);
		}
		printf("\n");
	}
	return 0;
}
