/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks pages in private mappings of `memory`, so that they need not be copied.
 *
 * A page that is as it should be has the checksum of the file. One that is not is
 * corrupt, unless KVM itself has written to it, which no checksum covers: then
 * the file still has the right contents, and is read to find out. No state; any
 * thread.
 */
#include <errno.h>
#include <string.h>

#include "vmm/base/pio.h"
#include "vmm/base/run.h"
#include "vmm/snap/file.h"
#include "vmm/snap/layout.h"
#include "vmm/snap/parse.h"

/*
 * Whether @page is zeros in the file that it is mapped from, which need not be the one
 * that holds it for a reader; -errno.
 */
static int check_zeros(const struct snap_layout *layout, uint64_t page)
{
	const struct snap_file *f = snap_layout_file(layout, page);
	static const uint8_t zeros[SNAP_PAGE_BYTES];
	uint8_t data[SNAP_PAGE_BYTES];
	int r;

	/* No file: anonymous memory, which KVM has written to. */
	if (!f)
		return 0;
	r = pread_until_signal(f->memory_fd, data, sizeof(data),
			       page * SNAP_PAGE_BYTES);
	if (r < 0)
		return r;
	return memcmp(data, zeros, sizeof(data)) ? -EBADMSG : 0;
}

/* Checks pages that no run holds. */
static int check_gap(const struct snap_layout *layout, uint64_t first,
		     uint64_t count, const uint8_t *at)
{
	static const uint8_t zeros[SNAP_PAGE_BYTES];
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < count; i++)
		if (memcmp(at + i * SNAP_PAGE_BYTES, zeros, sizeof(zeros)) != 0)
			r = check_zeros(layout, first + i);
	return r;
}

/* Checks pages of one run. */
static int check_run(const struct snap_file *f, uint64_t first, uint64_t count,
		     const uint8_t *at)
{
	uint8_t data[SNAP_PAGE_BYTES];

	while (count) {
		uint64_t bad = first, done;
		int r = snap_check_pages(f, first, count, at, &bad);

		if (r != -EBADMSG)
			return r;
		r = snap_read_pages(f, bad, 1, data);
		if (r < 0)
			return r;
		/* The file is right: go on behind the page. */
		done = bad + 1 - first;
		first += done;
		count -= done;
		at += done * SNAP_PAGE_BYTES;
	}
	return 0;
}

int snap_check_mapped(const struct snap_file *f,
		      const struct snap_layout *layout, uint64_t first,
		      uint64_t count, const void *at)
{
	uint64_t end = first + count;
	const uint8_t *data = at;
	int r = 0;

	while (r == 0 && first < end) {
		struct page_run part;
		uint64_t gap;

		run_next(f->runs, f->run_count, first, end, &part);
		gap = part.first - first;
		r = check_gap(layout, first, gap, data);
		data += gap * SNAP_PAGE_BYTES;
		if (r == 0)
			r = check_run(f, part.first, part.count, data);
		data += part.count * SNAP_PAGE_BYTES;
		first = part.first + part.count;
	}
	return r;
}
