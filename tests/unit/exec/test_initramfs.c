/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec-initramfs: the archive is read back, by a reader of its own and by
 * cpio(1) where it is installed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/boot/helper.h"
#include "vmm/exec/cpio.h"
#include "vmm/exec/initramfs.h"
#include "vmm/exec/modules.h"

/* An archive in memory, and the place of the next entry. */
struct reader {
	uint8_t *data;
	size_t len, at;
};

/* One entry; name and contents point into the archive. */
struct entry {
	const char *name;
	const uint8_t *data;
	uint32_t ino, mode, uid, gid, nlink, mtime, len, major, minor;
};

static void reader_open(struct reader *r, int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	r->len = (size_t)st.st_size;
	r->at = 0;
	r->data = malloc(r->len);
	assert_non_null(r->data);
	assert_int_equal(pread(fd, r->data, r->len, 0), r->len);
}

/* The number of 8 hexadecimal digits. */
static uint32_t field(const uint8_t *header, int n)
{
	char digits[9] = "", *end;
	unsigned long v;

	memcpy(digits, header + 6 + 8 * n, 8);
	v = strtoul(digits, &end, 16);
	assert_ptr_equal(end, digits + 8);
	return (uint32_t)v;
}

static size_t align4(size_t n)
{
	return (n + 3) / 4 * 4;
}

/* Reads the next entry; false at the trailer, which ends the archive. */
static bool reader_next(struct reader *r, struct entry *e)
{
	const uint8_t *h = r->data + r->at;
	size_t name_bytes;

	assert_true(r->at % 4 == 0 && r->at + 110 <= r->len);
	assert_memory_equal(h, "070701", 6);
	*e = (struct entry){ .ino = field(h, 0),
			     .mode = field(h, 1),
			     .uid = field(h, 2),
			     .gid = field(h, 3),
			     .nlink = field(h, 4),
			     .mtime = field(h, 5),
			     .len = field(h, 6),
			     .major = field(h, 9),
			     .minor = field(h, 10) };
	name_bytes = field(h, 11);
	assert_int_equal(field(h, 12), 0);
	e->name = (const char *)h + 110;
	assert_true(name_bytes > 1 && r->at + 110 + name_bytes <= r->len);
	assert_int_equal(strlen(e->name) + 1, name_bytes);
	r->at = align4(r->at + 110 + name_bytes);
	e->data = r->data + r->at;
	r->at = align4(r->at + e->len);
	assert_true(r->at <= r->len);
	if (strcmp(e->name, "TRAILER!!!") != 0)
		return true;
	assert_int_equal(r->at, r->len);
	return false;
}

/* Finds an entry by its name. */
static void find(int fd, struct reader *r, struct entry *e, const char *name)
{
	reader_open(r, fd);
	while (reader_next(r, e))
		if (strcmp(e->name, name) == 0)
			return;
	fail_msg("no %s in the archive", name);
}

/* A set of two modules, one of which the guest decompresses. */
static void set_init(struct module_set *set)
{
	static char first[] = "fuse.ko", second[] = "virtiofs.ko.xz";

	*set = (struct module_set){ .count = 2 };
	set->list[0] =
		(struct guest_module){ first, file_of("plain!", 6), 6, false };
	set->list[1] = (struct guest_module){ second, file_of("\xfd\0xz", 4), 4,
					      true };
}

static void set_finish(struct module_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		close(set->list[i].fd);
}

static const uint8_t program[] = "\x7f"
				 "ELF program of odd length";

static int build(void)
{
	struct module_set set;
	int fd;

	set_init(&set);
	fd = initramfs_build(&set, program, sizeof(program));
	assert_true(fd >= 0);
	set_finish(&set);
	return fd;
}

/* Every entry has owner 0, time 0 and its own inode; parents come first. */
static void test_entries(void **state)
{
	static const struct {
		const char *name;
		uint32_t mode;
	} want[] = {
		{ "dev", S_IFDIR | 0755 },
		{ "proc", S_IFDIR | 0755 },
		{ "sys", S_IFDIR | 0755 },
		{ "modules", S_IFDIR | 0755 },
		{ "dev/console", S_IFCHR | 0600 },
		{ "dev/null", S_IFCHR | 0666 },
		{ "init", S_IFREG | 0755 },
		{ "modules/list", S_IFREG | 0644 },
		{ "modules/fuse.ko", S_IFREG | 0644 },
		{ "modules/virtiofs.ko.xz", S_IFREG | 0644 },
	};
	struct reader r;
	struct entry e;
	int fd = build();

	(void)state;
	reader_open(&r, fd);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_true(reader_next(&r, &e));
		assert_string_equal(e.name, want[i].name);
		assert_int_equal(e.mode, want[i].mode);
		assert_int_equal(e.ino, i + 1);
		assert_int_equal(e.nlink, 1);
		assert_int_equal(e.uid | e.gid | e.mtime, 0);
	}
	assert_false(reader_next(&r, &e));
	free(r.data);
	close(fd);
}

static void test_contents(void **state)
{
	static const char list[] = "fuse.ko plain\nvirtiofs.ko.xz compressed\n";
	struct reader r;
	struct entry e;
	int fd = build();

	(void)state;
	find(fd, &r, &e, "modules/list");
	assert_int_equal(e.len, strlen(list));
	assert_memory_equal(e.data, list, e.len);
	free(r.data);
	find(fd, &r, &e, "init");
	assert_int_equal(e.len, sizeof(program));
	assert_memory_equal(e.data, program, e.len);
	free(r.data);
	find(fd, &r, &e, "modules/virtiofs.ko.xz");
	assert_int_equal(e.len, 4);
	assert_memory_equal(e.data, "\xfd\0xz", 4);
	free(r.data);
	find(fd, &r, &e, "dev/console");
	assert_int_equal(e.major, 5);
	assert_int_equal(e.minor, 1);
	free(r.data);
	close(fd);
}

/* Without modules the list is there, and empty. */
static void test_no_modules(void **state)
{
	struct module_set set = { .count = 0 };
	struct reader r;
	struct entry e;
	int fd = initramfs_build(&set, program, sizeof(program));

	(void)state;
	assert_true(fd >= 0);
	find(fd, &r, &e, "modules/list");
	assert_int_equal(e.len, 0);
	free(r.data);
	close(fd);
}

static void test_same_bytes(void **state)
{
	struct reader a, b;
	int fd = build(), again = build();

	(void)state;
	reader_open(&a, fd);
	reader_open(&b, again);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	free(a.data);
	free(b.data);
	close(fd);
	close(again);
}

/* A file that has become shorter since its size was read. */
static void test_short_file(void **state)
{
	struct module_set set;
	struct capture c;

	(void)state;
	set_init(&set);
	assert_int_equal(ftruncate(set.list[0].fd, 3), 0);
	capture_begin(&c);
	assert_int_equal(initramfs_build(&set, program, sizeof(program)),
			 -ENODATA);
	capture_one_line(&c, "modules/fuse.ko: file became shorter");
	set_finish(&set);
}

/* The first failed write is the result; nothing is logged after it. */
static void test_write_error(void **state)
{
	struct cpio cpio = { .fd = open("/dev/full", O_WRONLY | O_CLOEXEC) };
	struct capture c;

	(void)state;
	assert_true(cpio.fd >= 0);
	capture_begin(&c);
	cpio_dir(&cpio, "dev", 0755);
	cpio_file(&cpio, "init", 0755, program, sizeof(program));
	assert_int_equal(cpio_end(&cpio), -ENOSPC);
	capture_one_line(&c, "write initramfs");
	close(cpio.fd);
}

static void test_too_large(void **state)
{
	struct cpio cpio = { .fd = file_of("", 0) };
	struct capture c;

	(void)state;
	capture_begin(&c);
	cpio_file_fd(&cpio, "big", 0644, -1, (uint64_t)UINT32_MAX + 1);
	assert_int_equal(cpio_end(&cpio), -EFBIG);
	capture_one_line(&c, "big: too large");
	close(cpio.fd);
}

/* cpio(1) lists the same entries. */
static void test_cpio_program(void **state)
{
	static const char want[] = "dev\nproc\nsys\nmodules\ndev/console\n"
				   "dev/null\ninit\nmodules/list\n"
				   "modules/fuse.ko\nmodules/virtiofs.ko.xz\n";
	char command[64], got[4096];
	size_t len;
	FILE *from;
	int fd = build();

	(void)state;
	if (system("command -v cpio >/dev/null") != 0) {
		close(fd);
		skip();
	}
	snprintf(command, sizeof(command), "cpio -it --quiet </proc/%d/fd/%d",
		 getpid(), fd);
	from = popen(command, "r");
	assert_non_null(from);
	len = fread(got, 1, sizeof(got) - 1, from);
	got[len] = '\0';
	assert_int_equal(pclose(from), 0);
	assert_string_equal(got, want);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_no_modules),
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_short_file),
		cmocka_unit_test(test_write_error),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_cpio_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
