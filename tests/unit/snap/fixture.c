/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/snap/save.h"
#include "vmm/snap/section.h"

/* Two ranges with a hole between, like a guest of more than 3 GiB. */
const struct snap_range ranges[2] = {
	{ 0, 200 * 4096, 0 },
	{ UINT64_C(0x100000000), 56 * 4096, 200 * 4096 },
};

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

char *fixture_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir;

	must(asprintf(&dir, "%s/thaw-snap-XXXXXX", tmp ? tmp : "/tmp") > 0,
	     "asprintf");
	must(mkdtemp(dir) != NULL, dir);
	return dir;
}

void fixture_clean(char *dir)
{
	remove_tree(dir);
	free(dir);
}

char *path_in(const char *dir, const char *name)
{
	char *path;

	must(asprintf(&path, "%s/%s", dir, name) > 0, "asprintf");
	return path;
}

uint8_t *guest_memory(unsigned int seed)
{
	uint8_t *memory = calloc(PAGES, 4096);
	unsigned int next = seed;

	must(memory != NULL, "calloc");
	for (unsigned int page = 0; page < PAGES; page++) {
		unsigned int kind = (unsigned int)rand_r(&next) % 8;

		/* Runs of zero pages, and pages with one byte at their end. */
		if (kind < 3 || (page > 60 && page < 120))
			continue;
		memory[page * 4096 + 4095] = (uint8_t)(1 + page % 255);
		for (unsigned int i = 0; kind > 3 && i < 4096; i++)
			memory[page * 4096 + i] = (uint8_t)rand_r(&next);
	}
	return memory;
}

int save_guest(const char *path, unsigned int seed)
{
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct snap_writer w = { 0 };
	uint8_t *memory = guest_memory(seed);
	struct snap_save *save;
	int err = snap_save_begin(&save, &config);

	snap_put_u32(&w, seed);
	for (unsigned int i = 0; i < 40; i++)
		snap_put_u64(&w, seed * 1000003ULL + i);
	for (uint64_t at = 0; at < PAGES && !err; at += 17)
		err = snap_save_pages(save, at,
				      at + 17 > PAGES ? PAGES - at : 17,
				      memory + at * 4096);
	if (!err)
		err = snap_save_section(save, "machine", 1, &w);
	if (!err)
		err = snap_save_section(save, "sixteen-bytes-16", 3, &w);
	if (!err)
		err = snap_save_commit(save);
	else
		snap_save_abort(save);
	snap_writer_finish(&w);
	free(memory);
	return err;
}

/* Whether the sections are those of the guest of that seed. */
static int check_sections(const struct snap_file *f, unsigned int seed)
{
	struct snap_reader r;
	int err = snap_read_section(f, "machine", 1, &r);

	if (err < 0)
		return err;
	if (snap_get_u32(&r) != seed)
		return -EILSEQ;
	for (unsigned int i = 0; i < 40; i++) {
		if (snap_get_u64(&r) != seed * 1000003ULL + i)
			return -EILSEQ;
	}
	return snap_reader_error(&r);
}

const struct page_run *run_of(const struct snap_file *f, uint64_t page)
{
	for (uint64_t i = 0; i < f->run_count; i++)
		if (page - f->runs[i].first < f->runs[i].count)
			return &f->runs[i];
	return NULL;
}

/* Whether the page, as restored, equals that of @memory. */
static int check_page(const struct snap_file *f, uint64_t page,
		      const uint8_t *memory)
{
	uint8_t got[4096] = { 0 };
	int err = 0;

	if (run_of(f, page))
		err = snap_read_pages(f, page, 1, got);
	/* It is silent; a verification logs the corrupt page. */
	if (err == -EBADMSG && snap_verify(f, NULL, NULL) == 0)
		return -EILSEQ;
	if (err)
		return err;
	return memcmp(got, memory + page * 4096, 4096) ? -EILSEQ : 0;
}

int check_guest(const char *path, unsigned int seed)
{
	uint8_t *memory = guest_memory(seed);
	struct snap_file f;
	int err = snap_open(&f, path, ARCH);

	if (!err)
		err = check_sections(&f, seed);
	for (uint64_t page = 0; page < PAGES && !err; page++)
		err = check_page(&f, page, memory);
	snap_close(&f);
	free(memory);
	return err;
}

uint8_t *read_file(const char *dir, const char *name, size_t *len)
{
	char *path = path_in(dir, name);
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *data;

	must(fd >= 0 && !fstat(fd, &st), path);
	*len = (size_t)st.st_size;
	data = malloc(*len + 1);
	must(data && read(fd, data, *len) == (ssize_t)*len, path);
	close(fd);
	free(path);
	return data;
}

void write_file(const char *dir, const char *name, const uint8_t *data,
		size_t len)
{
	char *path = path_in(dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len, path);
	close(fd);
	free(path);
}

unsigned int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned int n = 0;

	must(d != NULL, dir);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

int guest_seed(const char *path, unsigned int *seed)
{
	struct snap_reader r;
	struct snap_file f;
	int err = snap_open(&f, path, ARCH);

	if (!err)
		err = snap_read_section(&f, "machine", 1, &r);
	if (err >= 0) {
		*seed = snap_get_u32(&r);
		err = 0;
	}
	snap_close(&f);
	return err;
}

void catch_lines(struct caught *c)
{
	fflush(stderr);
	c->real = dup(STDERR_FILENO);
	c->kept = memfd_create("lines", MFD_CLOEXEC);
	must(c->real >= 0 && c->kept >= 0 && dup2(c->kept, STDERR_FILENO) >= 0,
	     "catch_lines");
}

unsigned int release_lines(struct caught *c)
{
	unsigned int n = 0;
	char buf[4096];
	off_t at = 0;
	ssize_t r;

	while ((r = pread(c->kept, buf, sizeof(buf), at)) > 0) {
		for (ssize_t i = 0; i < r; i++)
			n += buf[i] == '\n';
		at += r;
	}
	must(dup2(c->real, STDERR_FILENO) >= 0, "release_lines");
	close(c->real);
	close(c->kept);
	return n;
}
