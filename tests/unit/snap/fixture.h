/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the snapshot tests: a scratch directory, a small guest memory whose
 * contents depend on a seed, and a function that saves it.
 */
#ifndef TESTS_UNIT_SNAP_FIXTURE_H
#define TESTS_UNIT_SNAP_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/base/tree.h"
#include "vmm/snap/file.h"

#define ARCH  "testarch"
#define PAGES 256 /* of the guest, in two ranges */

extern const struct snap_range ranges[2];

/*
 * Creates a new directory for the test; fixture_clean() removes it and its
 * files.
 */
char *fixture_dir(void);
void fixture_clean(char *dir);

/* "dir/name", to be freed. */
char *path_in(const char *dir, const char *name);

/* The memory of the guest with seed @seed: PAGES pages, some of them zero. */
uint8_t *guest_memory(unsigned int seed);

/* Saves the guest with that seed at @path; the result of snap_save_commit(). */
int save_guest(const char *path, unsigned int seed);

/*
 * Opens it and compares every byte with the guest of that seed; 0, -EILSEQ if a
 * byte differs without an error, or the error.
 */
int check_guest(const char *path, unsigned int seed);

/* The run of @f that contains @page, or NULL: the page is zero. */
const struct page_run *run_of(const struct snap_file *f, uint64_t page);

/*
 * The contents of the files of a directory, for changing one thing at a time.
 */
uint8_t *read_file(const char *dir, const char *name, size_t *len);
void write_file(const char *dir, const char *name, const uint8_t *data,
		size_t len);

/* The number of entries of a directory. */
unsigned int count_entries(const char *dir);

/* The seed of the snapshot at @path; 0 or an error. */
int guest_seed(const char *path, unsigned int *seed);

/*
 * catch_lines() to release_lines() capture standard error; release_lines()
 * returns the number of lines.
 */
struct caught {
	int real, kept;
};
void catch_lines(struct caught *c);
unsigned int release_lines(struct caught *c);

#endif
