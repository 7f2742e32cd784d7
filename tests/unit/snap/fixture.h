/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of snapshots share: a scratch folder, a small guest memory
 * whose bytes follow from a seed, and the saving of it.
 */
#ifndef TESTS_UNIT_SNAP_FIXTURE_H
#define TESTS_UNIT_SNAP_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/snap/file.h"

#define ARCH  "testarch"
#define PAGES 256 /* of the guest, in two ranges */

extern const struct snap_range ranges[2];

/* Makes a new folder for the test; fixture_clean() removes it and its files. */
char *fixture_dir(void);
void fixture_clean(char *dir);

/* "dir/name", to be freed. */
char *path_in(const char *dir, const char *name);

/* The memory of a guest of that seed: PAGES pages, some of them zero. */
uint8_t *guest_memory(unsigned int seed);

/* Saves a guest of that seed at @path; what snap_save_commit() says. */
int save_guest(const char *path, unsigned int seed);

/*
 * Opens it and checks every byte against the guest of that seed; 0, -EILSEQ
 * when a byte differs without an error, or the error.
 */
int check_guest(const char *path, unsigned int seed);

/* The run of @f that holds @page, or NULL: the page is zero. */
const struct snap_run *run_of(const struct snap_file *f, uint64_t page);

/* The files of a folder as bytes, for changing one thing at a time. */
uint8_t *read_file(const char *dir, const char *name, size_t *len);
void write_file(const char *dir, const char *name, const uint8_t *data,
		size_t len);

/* How many entries a folder has. */
unsigned int count_entries(const char *dir);

/* The seed that the snapshot at @path says it is of; 0 or an error. */
int guest_seed(const char *path, unsigned int *seed);

/* Removes a folder and all in it, if it is there. */
void remove_tree(const char *path);

/*
 * From catch_lines() to release_lines() standard error is kept back;
 * release_lines() says how many lines came.
 */
struct caught {
	int real, kept;
};
void catch_lines(struct caught *c);
unsigned int release_lines(struct caught *c);

#endif
