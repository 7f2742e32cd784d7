/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The readers of a snapshot's `state` and `pages`.
 *
 * The first byte of an input selects how the two files are made:
 *
 *	bit 0	set: they are in the input, a length of 16 bits and `state`,
 *		then `pages`; clear: they are those of a good snapshot, changed
 *		by edits that the rest of the input lists
 *	bit 1	the checksums are corrected, so that the parsers behind them
 *		are reached
 *
 * The good snapshot is made by the first call.  With FUZZ_SNAP_SEED=FILE in the
 * environment it is also written there as an input, to start a corpus with.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "tests/unit/base/tree.h"
#include "vmm/base/bytes.h"
#include "vmm/base/crc32c.h"
#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/save.h"
#include "vmm/snap/section.h"

#define PAGES	  64
#define FILE_MAX  65536
#define EDITS_MAX 64

struct bytes {
	uint8_t data[FILE_MAX];
	size_t len;
};

/* Made once; a target has no other place to keep it. */
static struct bytes good_state, good_pages;

/* Reads a file of the snapshot and removes it. */
static void take_file(const char *dir, const char *name, struct bytes *to)
{
	char path[128];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/snap/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(fd >= 0);
	n = read(fd, to->data, sizeof(to->data));
	FUZZ_CHECK(n > 0 && n < FILE_MAX / 2);
	to->len = (size_t)n;
	close(fd);
	unlink(path);
}

/* Writes the good snapshot as an input. */
static void write_seed(const char *path)
{
	FILE *file = fopen(path, "wb");
	uint8_t head[3] = { 1 };

	FUZZ_CHECK(file);
	put_le16(head + 1, (uint16_t)good_state.len);
	fwrite(head, 1, sizeof(head), file);
	fwrite(good_state.data, 1, good_state.len, file);
	fwrite(good_pages.data, 1, good_pages.len, file);
	FUZZ_CHECK(!fclose(file));
}

/* Saves a small guest with a few sections and runs, and keeps its files. */
static void make_good(void)
{
	static const struct snap_range ranges[] = {
		{ 0, 48 * 4096, 0 },
		{ UINT64_C(1) << 32, 16 * 4096, 48 * 4096 },
	};
	static uint8_t memory[PAGES * 4096];
	char dir[] = "/tmp/thaw-fuzz-XXXXXX", path[64];
	struct snap_save_config config = { .path = path,
					   .arch = "testarch",
					   .ranges = ranges,
					   .range_count = 2 };
	struct snap_writer w = { 0 };
	struct snap_save *save;

	FUZZ_CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/snap", dir);
	for (size_t page = 0; page < PAGES; page += 1 + page % 3)
		memory[page * 4096] = 1;
	snap_put_u64(&w, 42);
	snap_put_blob(&w, "some bytes", 10);
	FUZZ_CHECK(!snap_save_begin(&save, &config));
	FUZZ_CHECK(!snap_save_pages(save, 0, PAGES, memory));
	FUZZ_CHECK(!snap_save_section(save, "machine", 1, &w));
	FUZZ_CHECK(!snap_save_section(save, "cpu0", 2, &w));
	FUZZ_CHECK(!snap_save_section(save, "disk0", 1, &w));
	FUZZ_CHECK(snap_save_disk(save, 0, 512) >= 0);
	FUZZ_CHECK(snap_save_disk(save, 7, 4096) >= 0);
	FUZZ_CHECK(!snap_save_commit(save));
	snap_writer_finish(&w);
	take_file(dir, SNAP_STATE_NAME, &good_state);
	take_file(dir, SNAP_PAGES_NAME, &good_pages);
	remove_tree(dir);
	if (getenv("FUZZ_SNAP_SEED"))
		write_seed(getenv("FUZZ_SNAP_SEED"));
}

/* Both files out of the input. */
static void take_raw(struct fuzz_input *in, struct bytes *state,
		     struct bytes *pages)
{
	size_t wanted = fuzz_number(in, 2);

	state->len = min_u64(wanted, in->left);
	memcpy(state->data, in->data, state->len);
	in->data += state->len;
	in->left -= state->len;
	pages->len = min_u64(in->left, FILE_MAX);
	memcpy(pages->data, in->data, pages->len);
}

/* One edit: other bytes somewhere, or another length. */
static void edit(struct fuzz_input *in, struct bytes *b)
{
	unsigned int what = (unsigned int)fuzz_number(in, 1);
	size_t at = fuzz_number(in, 1 + (what & 1));
	unsigned int size = 1u << (what >> 1 & 3);
	uint64_t value = fuzz_number(in, what & 8 ? 1 : size);

	/* A small number stands for one near the end of the range. */
	if (what & 16)
		value = ~value;
	if (what & 32)
		at &= ~(size_t)7;
	if (what >= 240)
		b->len = at % (good_pages.len + 64);
	else if (at + size <= b->len)
		put_le(b->data + at, value, size);
}

/* Corrects the checksums of `state`, up to the first malformed section. */
static void forge_state(struct bytes *b)
{
	size_t at = b->len < 88 ? 0 : get_le32(b->data + 12);

	if (at < 92 || at > b->len)
		return;
	put_le64(b->data + 56, b->len);
	put_le32(b->data + at - 4, crc32c(0, b->data, at - 4));
	while (range_within(at, SNAP_SECTION_HEADER_BYTES, b->len)) {
		uint8_t *h = b->data + at;
		uint64_t len = get_le64(h + 16);

		at += SNAP_SECTION_HEADER_BYTES;
		if (!range_within(at, len, b->len))
			return;
		put_le32(h + 28, crc32c(crc32c(0, h, 28), h + 32, len));
		at += len;
	}
}

/* The same for `pages`, which is made to belong to @state. */
static void forge_pages(struct bytes *b, const struct bytes *state)
{
	uint64_t runs;

	if (b->len < SNAP_PAGES_HEADER_BYTES || state->len < 48)
		return;
	memcpy(b->data + 16, state->data + 32, SNAP_ID_BYTES);
	runs = get_le64(b->data + 48);
	if (runs <= (b->len - SNAP_PAGES_HEADER_BYTES) / SNAP_RUN_BYTES)
		put_le32(b->data + 80,
			 crc32c(0, b->data + SNAP_PAGES_HEADER_BYTES,
				runs * SNAP_RUN_BYTES));
	put_le32(b->data + 84, crc32c(0, b->data, 84));
}

/* The calls that a restore makes on an open snapshot. */
static void use(const struct snap_file *f)
{
	static const char *const tags[] = { "machine", "cpu0", "disk0", "no" };
	uint64_t present = 0, end = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		struct snap_reader r;
		size_t len;

		if (snap_read_section(f, tags[i], 2, &r) < 0)
			continue;
		snap_get_u64(&r);
		snap_get_blob(&r, 16, &len);
		snap_reader_error(&r);
	}
	for (uint64_t i = 0; i < f->run_count; i++) {
		const struct page_run *run = &f->runs[i];

		FUZZ_CHECK(run->count && (!i || run->first > end));
		end = run->first + run->count;
		FUZZ_CHECK(end > run->first && end <= f->page_count);
		present += run->count;
	}
	FUZZ_CHECK(present == f->present_count);
	FUZZ_CHECK(present <= f->page_count);
	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++)
		FUZZ_CHECK(f->disk_bytes[i] % SNAP_SECTOR_BYTES == 0);
}

/* Parses the two files as snap_open() does, from memory. */
static void parse(const struct bytes *state, const struct bytes *pages)
{
	struct snap_file f = { .dir_fd = -1, .memory_fd = -1 };

	f.path = strdup("fuzz");
	/* Of the exact length, so that a sanitizer sees its end. */
	f.state = malloc(state->len + !state->len);
	f.pages_fd = memfd_create("pages", MFD_CLOEXEC);
	FUZZ_CHECK(f.path && f.state && f.pages_fd >= 0);
	memcpy(f.state, state->data, state->len);
	f.state_bytes = state->len;
	FUZZ_CHECK(write(f.pages_fd, pages->data, pages->len) ==
		   (ssize_t)pages->len);
	if (!snap_parse_state(&f, "testarch") && !snap_disks_parse(&f) &&
	    !snap_parse_pages(&f, pages->len))
		use(&f);
	snap_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes state, pages;
	struct fuzz_input in = { data, size };
	unsigned int mode = (unsigned int)fuzz_number(&in, 1);
	int real, null;

	if (!good_state.len)
		make_good();
	state = good_state;
	pages = good_pages;
	if (mode & 1)
		take_raw(&in, &state, &pages);
	for (int n = 0; !(mode & 1) && in.left && n < EDITS_MAX; n++)
		edit(&in, fuzz_number(&in, 1) & 1 ? &state : &pages);
	if (mode & 2) {
		forge_state(&state);
		forge_pages(&pages, &state);
	}
	/* Error messages about bad files are expected; discard them. */
	real = dup(STDERR_FILENO);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, STDERR_FILENO);
	parse(&state, &pages);
	dup2(real, STDERR_FILENO);
	close(null);
	close(real);
	return 0;
}
