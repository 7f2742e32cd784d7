/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which file of a snapshot and its bases each page of guest memory is mapped from.
 *
 * A part is one host mapping. Where the snapshot has a base, pages next to each other
 * may be in several files, and each change of the file is another part. Pages of no
 * part are zero, and not mapped from a file.
 *
 * A layout is immutable once it is created: any thread reads it.
 */
#ifndef VMM_SNAP_LAYOUT_H
#define VMM_SNAP_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/snap/format.h"

struct snap_file;

/*
 * A process has 65530 mappings (vm.max_map_count). Each part may have anonymous memory
 * behind it, which is one more; the other half is for all else that is mapped.
 */
#define SNAP_PARTS_MAX 16384

/* Pages [first, first + count) of RAM, at the same pages of the file's `memory`. */
struct snap_part {
	uint64_t first, count;
	const struct snap_file *file;
};

/* The files are the snapshot's or its bases', and must outlive it. */
struct snap_layout {
	struct snap_part *parts; /* sorted; owned */
	size_t part_count;
	/* Those of the parts, each once, the newest first. */
	const struct snap_file *files[SNAP_CHAIN_MAX];
	unsigned int file_count;
};

/*
 * Lays out the present pages of @f in whole host pages of @granule_pages, and with them
 * such pages between them as are zero in the file. One thread. -ENOMEM, logged;
 * -ENOTSUP with the reason in *@why, a constant of one line, where files cannot be
 * mapped: too many parts, or a host page with pages of several files. Only a snapshot
 * with a base is refused. The layout is empty on failure.
 */
int snap_layout_create(struct snap_layout *layout, const struct snap_file *f,
		       uint32_t granule_pages, const char **why);

/* A zeroed struct is fine. */
void snap_layout_finish(struct snap_layout *layout);

/* The index of the first part that ends after @page; part_count: there is none. */
size_t snap_layout_search(const struct snap_layout *layout, uint64_t page);

/* The file that @page is mapped from, or NULL. */
const struct snap_file *snap_layout_file(const struct snap_layout *layout,
					 uint64_t page);

/*
 * The pages from @first on, before @end, that are in the same file as @first: of @f
 * and its bases, the one that holds them. At least one page; any thread.
 */
struct snap_part snap_part_at(const struct snap_file *f, uint64_t first,
			      uint64_t end);

#endif
