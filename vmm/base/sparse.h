/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies of files that keep their holes.  Any thread; silent: 0 or -errno.  All sizes
 * and offsets are in bytes.
 */
#ifndef VMM_BASE_SPARSE_H
#define VMM_BASE_SPARSE_H

#include <stdbool.h>
#include <stdint.h>

/* What is zero, or not, as a whole: a page, and a block of most file systems. */
#define SPARSE_BYTES 4096

/* The most that is read at a time. */
#define SPARSE_PIECE_BYTES (UINT64_C(1) << 20)

/*
 * Finds the first range of data in [@at, @limit) of a file; false: all of it is a
 * hole.  Where the file cannot tell, all of it is data.  Moves the file position.
 */
bool sparse_next_data(int fd, uint64_t at, uint64_t limit, uint64_t *start,
		      uint64_t *end);

/*
 * Writes all @len bytes at @offset, a multiple of SPARSE_BYTES.  Zeros become holes
 * where the file system has them; in a @fresh range, which is a hole, they are not
 * written.
 */
int sparse_write(int fd, const void *data, uint64_t len, uint64_t offset,
		 bool fresh);

/*
 * Makes the file @to share the blocks of the first @bytes of @from (FICLONE), in
 * place of its contents; an error if the file system cannot.
 */
int sparse_clone(int to, int from, uint64_t bytes);

/*
 * Makes the file @to, which is empty, a copy of the first @bytes of @from: a clone
 * where that is possible.  -ENODATA: @from is shorter.
 */
int sparse_copy(int to, int from, uint64_t bytes);

#endif
