// SPDX-License-Identifier: BSD-2-Clause
/*
 * Drives a fuzz target without libFuzzer:
 *
 *	fuzz-x FILE...		each file once
 *	fuzz-x -n COUNT [-s SEED]	inputs made from SEED
 *
 * The inputs are noise with runs of zeros, and mutations of the input before.
 * The seed is printed first, so that a run can be repeated.
 */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 2048

/* Makes the next input from the last one; returns its length. */
static size_t next_input(uint8_t *data, size_t len, unsigned int *seed)
{
	unsigned int r = (unsigned int)rand_r(seed);

	if (len == 0 || r % 4 == 0) {
		len = 1 + (unsigned int)rand_r(seed) % INPUT_MAX;
		for (size_t i = 0; i < len; i++)
			data[i] = rand_r(seed) & 3 ? (uint8_t)rand_r(seed) : 0;
		return len;
	}
	for (unsigned int n = 0; n <= r >> 8 % 16; n++) {
		data[(unsigned int)rand_r(seed) % len] = (uint8_t)rand_r(seed);
		if (n > 16)
			break;
	}
	return len;
}

/* One file as an input. */
static int run_file(const char *path)
{
	uint8_t data[65536];
	FILE *file = fopen(path, "rb");
	size_t len;

	if (!file) {
		perror(path);
		return 1;
	}
	len = fread(data, 1, sizeof(data), file);
	fclose(file);
	LLVMFuzzerTestOneInput(data, len);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int seed = 1, count = 0;
	uint8_t data[INPUT_MAX];
	size_t len = 0;
	int option;

	while ((option = getopt(argc, argv, "n:s:")) != -1) {
		unsigned int value =
			(unsigned int)strtoul(optarg ? optarg : "", NULL, 0);

		if (option == 'n')
			count = value;
		else if (option == 's')
			seed = value;
		else
			return 64;
	}
	for (int i = optind; i < argc; i++)
		if (run_file(argv[i]))
			return 1;
	printf("seed %#x, %u inputs\n", seed, count);
	fflush(stdout);
	while (count--) {
		len = next_input(data, len, &seed);
		LLVMFuzzerTestOneInput(data, len);
	}
	return 0;
}
