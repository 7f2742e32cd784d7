/* SPDX-License-Identifier: BSD-2-Clause */
/* Which file each page is mapped from, for snapshots made of their runs alone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "vmm/base/bytes.h"
#include "vmm/snap/layout.h"

#define LIMIT 80000 /* pages of memory, more than any test lays out */

/* Makes the descriptor of a snapshot, whose `memory` is a hole. */
static void open_hole(struct snap_file *f, const struct snap_file *base)
{
	*f = (struct snap_file){ .base = (struct snap_file *)(uintptr_t)base,
				 .path = (char *)(uintptr_t) "s",
				 .memory_bytes = LIMIT * PAGE_BYTES,
				 .page_count = LIMIT };
	f->memory_fd = memfd_create("memory", MFD_CLOEXEC);
	assert_true(f->memory_fd >= 0);
	assert_int_equal(ftruncate(f->memory_fd, (off_t)f->memory_bytes), 0);
}

/* Writes pages of a file. */
static void put_pages(const struct snap_file *f, uint64_t first, uint64_t count)
{
	static const uint8_t ones[PAGE_BYTES] = { 1 };

	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(pwrite(f->memory_fd, ones, sizeof(ones),
					(off_t)((first + i) * PAGE_BYTES)),
				 sizeof(ones));
}

/* Lays out @f: 0, or -ENOTSUP with @why in the reason. */
static int lay_out(struct snap_layout *layout, const struct snap_file *f,
		   uint32_t granule, const char *why)
{
	const char *reason = NULL;
	int r = snap_layout_create(layout, f, granule, &reason);

	assert_true(r == 0 || r == -ENOTSUP);
	if (r < 0) {
		assert_non_null(reason);
		assert_non_null(strstr(reason, why));
		assert_int_equal(layout->part_count, 0);
	}
	return r;
}

static void assert_part(const struct snap_layout *layout, size_t n,
			uint64_t first, uint64_t count,
			const struct snap_file *file)
{
	assert_true(n < layout->part_count);
	assert_int_equal(layout->parts[n].first, first);
	assert_int_equal(layout->parts[n].count, count);
	assert_ptr_equal(layout->parts[n].file, file);
}

/* Three snapshots, whose files have something in all places: nothing is joined. */
struct three {
	struct snap_file base, old, new;
	/* Of what the files hold, 25 to 29 are zero again. */
	struct page_run old_own[2], new_own[2], runs[3];
};

static void open_three(struct three *t)
{
	*t = (struct three){ .old_own = { { 10, 20 }, { 50, 5 } },
			     .new_own = { { 12, 2 }, { 40, 12 } },
			     .runs = { { 5, 20 }, { 40, 15 }, { 70, 1 } } };
	open_hole(&t->base, NULL);
	open_hole(&t->old, &t->base);
	open_hole(&t->new, &t->old);
	put_pages(&t->base, 0, 80);
	put_pages(&t->old, 0, 80);
	put_pages(&t->new, 0, 80);
	t->old.own = t->old_own;
	t->old.own_count = 2;
	t->new.own = t->new_own;
	t->new.own_count = 2;
	t->new.runs = t->runs;
	t->new.run_count = 3;
}

static void close_three(struct three *t)
{
	close(t->base.memory_fd);
	close(t->old.memory_fd);
	close(t->new.memory_fd);
}

/* Each page is mapped from the newest file that holds it; others from none. */
static void pages_have_their_owner(void **state)
{
	struct snap_layout layout;
	struct three t;

	(void)state;
	open_three(&t);
	assert_int_equal(lay_out(&layout, &t.new, 1, ""), 0);
	assert_int_equal(layout.part_count, 7);
	assert_part(&layout, 0, 5, 5, &t.base);
	assert_part(&layout, 1, 10, 2, &t.old);
	assert_part(&layout, 2, 12, 2, &t.new);
	assert_part(&layout, 3, 14, 11, &t.old);
	assert_part(&layout, 4, 40, 12, &t.new);
	assert_part(&layout, 5, 52, 3, &t.old);
	assert_part(&layout, 6, 70, 1, &t.base);
	for (uint64_t page = 0; page < 100; page++) {
		const struct snap_file *file = snap_layout_file(&layout, page);

		assert_ptr_equal(file, run_of(&t.new, page) ?
					       snap_owner(&t.new, page) :
					       NULL);
	}
	snap_layout_finish(&layout);
	close_three(&t);
}

/* The files of a layout are those of which something is left. */
static void files_are_those_mapped(void **state)
{
	struct snap_layout layout;
	struct three t;

	(void)state;
	open_three(&t);
	assert_int_equal(lay_out(&layout, &t.new, 1, ""), 0);
	assert_int_equal(layout.file_count, 3);
	assert_ptr_equal(layout.files[0], &t.new);
	assert_ptr_equal(layout.files[1], &t.old);
	assert_ptr_equal(layout.files[2], &t.base);
	snap_layout_finish(&layout);
	t.old_own[0] = (struct page_run){ 12, 2 };
	t.old.own_count = 1;
	assert_int_equal(lay_out(&layout, &t.new, 1, ""), 0);
	assert_int_equal(layout.file_count, 2);
	assert_ptr_equal(layout.files[1], &t.base);
	snap_layout_finish(&layout);
	close_three(&t);
}

/* Parts of one file share a mapping over a small hole, and over nothing else. */
static void holes_are_joined(void **state)
{
	struct page_run own[] = { { 4, 1 }, { 6, 1 }, { 60, 1 } };
	struct page_run runs[] = {
		{ 0, 1 },  { 2, 1 },  { 4, 1 },	 { 6, 1 },
		{ 20, 1 }, { 30, 1 }, { 60, 1 }, { 100, 1 }
	};
	struct snap_file base, f;
	struct snap_layout layout;

	(void)state;
	open_hole(&base, NULL);
	open_hole(&f, &base);
	/* Zeroed since: the base has something between 20 and 30. */
	put_pages(&base, 25, 1);
	f.own = own;
	f.own_count = 3;
	f.runs = runs;
	f.run_count = 8;
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	assert_int_equal(layout.part_count, 6);
	assert_part(&layout, 0, 0, 3, &base);
	assert_part(&layout, 1, 4, 3, &f);
	assert_part(&layout, 2, 20, 1, &base);
	assert_part(&layout, 3, 30, 1, &base);
	assert_part(&layout, 4, 60, 1, &f);
	assert_part(&layout, 5, 100, 1, &base);
	snap_layout_finish(&layout);
	close(base.memory_fd);
	close(f.memory_fd);
}

/* A larger page of the host is mapped if all of it is one file's. */
static void whole_pages_of_host(void **state)
{
	struct page_run own[] = { { 16, 3 } };
	struct page_run runs[] = { { 1, 2 }, { 16, 3 }, { 33, 1 } };
	struct snap_file base, f;
	struct snap_layout layout;

	(void)state;
	open_hole(&base, NULL);
	open_hole(&f, &base);
	f.own = own;
	f.own_count = 1;
	f.runs = runs;
	f.run_count = 3;
	assert_int_equal(lay_out(&layout, &f, 4, ""), 0);
	assert_int_equal(layout.part_count, 3);
	assert_part(&layout, 0, 0, 4, &base);
	assert_part(&layout, 1, 16, 4, &f);
	assert_part(&layout, 2, 32, 4, &base);
	snap_layout_finish(&layout);
	/* The page after the run, in the same page of the host. */
	put_pages(&f, 19, 1);
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	snap_layout_finish(&layout);
	assert_int_equal(lay_out(&layout, &f, 4, "a host page contains"),
			 -ENOTSUP);
	own[0].count = 2;
	runs[1].count = 2;
	/* Before the run. */
	runs[2].first = 35;
	put_pages(&base, 32, 1);
	assert_int_equal(lay_out(&layout, &f, 4, "--flatten"), -ENOTSUP);
	/* Two files in one. */
	runs[2].first = 18;
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	snap_layout_finish(&layout);
	assert_int_equal(lay_out(&layout, &f, 4, "a host page contains"),
			 -ENOTSUP);
	close(base.memory_fd);
	close(f.memory_fd);
}

/* Without a base there is always a layout: far parts are joined, too. */
static void one_file_is_never_refused(void **state)
{
	struct page_run *runs = calloc(LIMIT / 2, sizeof(*runs));
	struct snap_layout layout;
	struct snap_file f;

	(void)state;
	assert_non_null(runs);
	open_hole(&f, NULL);
	f.runs = runs;
	for (uint64_t i = 0; i < LIMIT / 20; i++)
		runs[f.run_count++] = (struct page_run){ i * 20, 1 };
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	assert_int_equal(layout.part_count, LIMIT / 20);
	snap_layout_finish(&layout);
	f.run_count = 0;
	for (uint64_t i = 0; i < LIMIT / 2; i++)
		runs[f.run_count++] = (struct page_run){ i * 2, 1 };
	assert_int_equal(lay_out(&layout, &f, 4, ""), 0);
	assert_int_equal(layout.part_count, 1);
	assert_int_equal(layout.file_count, 1);
	snap_layout_finish(&layout);
	f.run_count = 0;
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	assert_int_equal(layout.part_count, 0);
	assert_null(snap_layout_file(&layout, 0));
	snap_layout_finish(&layout);
	free(runs);
	close(f.memory_fd);
}

/* Where there are many parts, those that are further apart are joined, too. */
static void many_parts_are_joined(void **state)
{
	struct page_run *runs = calloc(LIMIT / 16, sizeof(*runs));
	struct snap_layout layout;
	struct snap_file base, f;

	(void)state;
	assert_non_null(runs);
	open_hole(&base, NULL);
	open_hole(&f, &base);
	f.runs = runs;
	for (uint64_t i = 0; i < LIMIT / 20; i++)
		runs[f.run_count++] = (struct page_run){ i * 20, 1 };
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	assert_int_equal(layout.part_count, LIMIT / 20);
	snap_layout_finish(&layout);
	f.run_count = 0;
	for (uint64_t i = 0; i < LIMIT / 18; i++)
		runs[f.run_count++] = (struct page_run){ i * 18, 1 };
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	assert_int_equal(layout.part_count, 1);
	assert_part(&layout, 0, 0, (LIMIT / 18 - 1) * 18 + 1, &base);
	snap_layout_finish(&layout);
	free(runs);
	close(base.memory_fd);
	close(f.memory_fd);
}

/* Every second page is the other file's, so that nothing can be joined. */
static void mappings_are_limited(void **state)
{
	struct page_run *own = calloc(SNAP_PARTS_MAX, sizeof(*own));
	struct page_run all = { 0, SNAP_PARTS_MAX };
	struct snap_layout layout;
	struct snap_file base, f;

	(void)state;
	assert_non_null(own);
	open_hole(&base, NULL);
	open_hole(&f, &base);
	f.own = own;
	for (uint64_t i = 0; i < SNAP_PARTS_MAX / 2; i++)
		own[f.own_count++] = (struct page_run){ 2 * i + 1, 1 };
	f.runs = &all;
	f.run_count = 1;
	assert_int_equal(lay_out(&layout, &f, 1, ""), 0);
	assert_int_equal(layout.part_count, SNAP_PARTS_MAX);
	snap_layout_finish(&layout);
	all.count++;
	assert_int_equal(lay_out(&layout, &f, 1, "more than 16384 mappings"),
			 -ENOTSUP);
	free(own);
	close(base.memory_fd);
	close(f.memory_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_have_their_owner),
		cmocka_unit_test(files_are_those_mapped),
		cmocka_unit_test(holes_are_joined),
		cmocka_unit_test(whole_pages_of_host),
		cmocka_unit_test(one_file_is_never_refused),
		cmocka_unit_test(many_parts_are_joined),
		cmocka_unit_test(mappings_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
