/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flip IMAGE FILE N - changes a byte of the block of a file system's image that holds
 * the Nth page, of 4096 bytes, of FILE that is not zeros, and is nowhere else.
 *
 * The image is not mounted; FILE is a copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096

static int fail(const char *what)
{
	fprintf(stderr, "flip: %s: %s\n", what, strerror(errno));
	return 1;
}

/* The offset of the block with these contents in the image; -1: there is none. */
static off_t find(int image, const char *page)
{
	char block[PAGE];

	for (off_t at = 0; pread(image, block, PAGE, at) == PAGE; at += PAGE)
		if (!memcmp(block, page, PAGE))
			return at;
	errno = ENOENT;
	return -1;
}

/* Reads the page; 0, or -1. */
static int read_page(int file, long n, char *page)
{
	static const char zeros[PAGE];

	for (off_t at = 0; pread(file, page, PAGE, at) == PAGE; at += PAGE)
		if (memcmp(page, zeros, PAGE) && !n--)
			return 0;
	errno = ENODATA;
	return -1;
}

int main(int argc, char **argv)
{
	char page[PAGE];
	int image, file;
	off_t at;

	if (argc != 4)
		return 64;
	image = open(argv[1], O_RDWR);
	file = open(argv[2], O_RDONLY);
	if (image < 0 || file < 0)
		return fail("open");
	if (read_page(file, atol(argv[3]), page) < 0)
		return fail(argv[2]);
	at = find(image, page);
	if (at < 0)
		return fail(argv[1]);
	page[100] ^= 1;
	if (pwrite(image, page, PAGE, at) != PAGE || fsync(image) < 0)
		return fail("write");
	return 0;
}
