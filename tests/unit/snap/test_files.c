/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshot directories: reading returns what was saved, holes stay holes, and
 * each obstacle has its own error.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "vmm/snap/save.h"
#include "vmm/snap/section.h"

static int set_up(void **state)
{
	*state = fixture_dir();
	return 0;
}

static int tear_down(void **state)
{
	fixture_clean(*state);
	return 0;
}

static void round_trip(void **state)
{
	char *path = path_in(*state, "snap");
	struct snap_file f;
	struct snap_reader r;
	struct stat st;

	assert_int_equal(save_guest(path, 1), 0);
	assert_int_equal(check_guest(path, 1), 0);
	assert_int_equal(check_guest(path, 2), -EILSEQ);
	assert_int_equal(count_entries(*state), 1);

	assert_int_equal(snap_open(&f, path, NULL), 0);
	assert_string_equal(f.arch, ARCH);
	assert_int_equal(f.range_count, 2);
	assert_int_equal(f.ranges[1].gpa, 0x100000000);
	assert_int_equal(f.page_count, PAGES);
	assert_int_equal(f.section_count, 2);
	assert_true(f.created_s > 1700000000);
	assert_true(f.run_count > 4 && f.present_count < PAGES);
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	assert_int_equal(snap_read_section(&f, "sixteen-bytes-16", 3, &r), 3);
	assert_int_equal(snap_read_section(&f, "sixteen-bytes-16", 2, &r),
			 -EPROTONOSUPPORT);
	assert_int_equal(snap_read_section(&f, "nothing", 1, &r), -EBADMSG);
	assert_null(snap_find(&f, "machin"));
	snap_close(&f);
	snap_close(&f);

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "/state", "/memory",
						     "/pages" };
		char file[4096];

		snprintf(file, sizeof(file), "%s%s", path, names[i]);
		assert_int_equal(stat(file, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	free(path);
}

/* A large guest that is nearly empty uses little space. */
static void holes_stay_holes(void **state)
{
	const struct snap_range range = { 0, UINT64_C(8) << 30, 0 };
	char *path = path_in(*state, "big"), *file;
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = &range, .range_count = 1
	};
	static uint8_t pages[64 * 4096];
	struct snap_save *save;
	struct snap_file f;
	struct stat st;

	assert_int_equal(snap_save_begin(&save, &config), 0);
	pages[3 * 4096] = 1;
	pages[40 * 4096 + 9] = 1;
	assert_int_equal(snap_save_pages(save, 1000000, 64, pages), 0);
	assert_int_equal(snap_save_commit(save), 0);

	file = path_in(path, "memory");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, range.size_bytes);
	assert_true(st.st_blocks * 512 < 1 << 20);
	free(file);
	file = path_in(path, "pages");
	assert_int_equal(stat(file, &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
	free(file);

	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(f.run_count, 2);
	assert_int_equal(f.runs[0].first, 1000003);
	assert_int_equal(f.runs[1].first, 1000040);
	assert_null(run_of(&f, 0));
	assert_null(run_of(&f, 1000004));
	assert_ptr_equal(run_of(&f, 1000040), &f.runs[1]);
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	snap_close(&f);
	free(path);
}

/* A page that is saved again replaces the first one, also where it is zero then. */
static void saved_again(void **state)
{
	char *path = path_in(*state, "again");
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	static uint8_t pages[4 * 4096], zeros[4096], read[4096];
	struct snap_save *save;
	struct snap_file f;

	for (int i = 0; i < 4; i++)
		pages[i * 4096] = (uint8_t)(1 + i);
	assert_int_equal(snap_save_begin(&save, &config), 0);
	assert_int_equal(snap_save_pages(save, 10, 4, pages), 0);
	/* 10: others; 11: zero; 12: again; 13: zero and back. */
	assert_int_equal(snap_save_pages(save, 10, 1, pages + 4096), 0);
	assert_int_equal(snap_save_pages(save, 11, 1, zeros), 0);
	assert_int_equal(snap_save_pages(save, 12, 1, pages + 2 * 4096), 0);
	assert_int_equal(snap_save_pages(save, 13, 1, zeros), 0);
	assert_int_equal(snap_save_pages(save, 13, 1, pages), 0);
	assert_int_equal(snap_save_commit(save), 0);

	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	assert_int_equal(f.present_count, 3);
	assert_int_equal(snap_read_pages(&f, 10, 1, read), 0);
	assert_int_equal(read[0], 2);
	assert_null(run_of(&f, 11));
	/* A mapping of the file has the page, too. */
	assert_int_equal(pread(f.memory_fd, read, sizeof(read), 11 * 4096),
			 sizeof(read));
	assert_memory_equal(read, zeros, sizeof(zeros));
	assert_int_equal(snap_read_pages(&f, 12, 1, read), 0);
	assert_int_equal(read[0], 3);
	assert_int_equal(snap_read_pages(&f, 13, 1, read), 0);
	assert_int_equal(read[0], 1);
	snap_close(&f);
	free(path);
}

static void nothing_but_zeros(void **state)
{
	char *path = path_in(*state, "empty");
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct snap_save *save;
	struct snap_file f;

	assert_int_equal(snap_save_begin(&save, &config), 0);
	assert_int_equal(snap_save_commit(save), 0);
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(f.run_count, 0);
	assert_int_equal(f.section_count, 0);
	assert_null(run_of(&f, 0));
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	snap_close(&f);
	free(path);
}

/* Four threads save parts of one guest. */
struct part {
	struct snap_save *save;
	const uint8_t *memory;
	uint64_t first;
};

static void *save_part(void *arg)
{
	struct part *part = arg;

	for (uint64_t page = part->first; page < PAGES; page += 4) {
		if (snap_save_pages(part->save, page, 1,
				    part->memory + page * 4096))
			return part;
	}
	return NULL;
}

static void threads_save_parts(void **state)
{
	char *path = path_in(*state, "parts");
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	uint8_t *memory = guest_memory(5), *got = malloc(PAGES * 4096);
	struct part parts[4];
	pthread_t threads[4];
	struct snap_save *save;
	struct snap_file f;
	void *failed;

	assert_int_equal(snap_save_begin(&save, &config), 0);
	for (unsigned int i = 0; i < 4; i++) {
		parts[i] = (struct part){ save, memory, i };
		assert_int_equal(pthread_create(&threads[i], NULL, save_part,
						&parts[i]),
				 0);
	}
	for (unsigned int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(snap_save_commit(save), 0);
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	memset(got, 0, PAGES * 4096);
	for (uint64_t i = 0; i < f.run_count; i++)
		assert_int_equal(snap_read_pages(&f, f.runs[i].first,
						 f.runs[i].count,
						 got + f.runs[i].first * 4096),
				 0);
	assert_memory_equal(got, memory, PAGES * 4096);
	snap_close(&f);
	free(got);
	free(memory);
	free(path);
}

static void an_older_one_is_replaced(void **state)
{
	char *path = path_in(*state, "snap/");
	struct snap_file f;

	assert_int_equal(save_guest(path, 1), 0);
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(save_guest(path, 2), 0);
	assert_int_equal(check_guest(path, 2), 0);
	assert_int_equal(count_entries(*state), 1);
	/* A process with the old snapshot open reads it to the end. */
	assert_int_equal(snap_verify(&f, NULL, NULL), 0);
	snap_close(&f);
	free(path);
}

static void what_is_no_snapshot_is_left_alone(void **state)
{
	char *path = path_in(*state, "folder"), *link;

	/* An empty directory may be replaced. */
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(save_guest(path, 1), 0);
	assert_int_equal(check_guest(path, 1), 0);

	free(path);
	path = path_in(*state, "other");
	assert_int_equal(mkdir(path, 0755), 0);
	write_file(path, "thesis.tex", (const uint8_t *)"dear", 4);
	assert_int_equal(save_guest(path, 1), -EEXIST);
	assert_int_equal(count_entries(path), 1);
	write_file(path, "state", (const uint8_t *)"NOT THAW", 8);
	assert_int_equal(save_guest(path, 1), -EEXIST);
	free(path);

	path = path_in(*state, "file");
	write_file(*state, "file", (const uint8_t *)"x", 1);
	assert_int_equal(save_guest(path, 1), -EEXIST);
	link = path_in(*state, "link");
	assert_int_equal(symlink("folder", link), 0);
	assert_int_equal(save_guest(link, 1), -EEXIST);
	free(link);
	free(path);
	assert_int_equal(count_entries(*state), 4);
}

/* A file created between begin and commit is not lost. */
static void a_late_comer_is_left_alone(void **state)
{
	char *path = path_in(*state, "snap");
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct snap_save *save;

	assert_int_equal(snap_save_begin(&save, &config), 0);
	write_file(*state, "snap", (const uint8_t *)"x", 1);
	assert_int_equal(snap_save_commit(save), -EEXIST);
	assert_int_equal(count_entries(*state), 1);
	free(path);
}

static void bad_targets(void **state)
{
	char *path = path_in(*state, "no/such/folder");

	assert_int_equal(save_guest(path, 1), -ENOENT);
	free(path);
	write_file(*state, "file", (const uint8_t *)"x", 1);
	path = path_in(*state, "file/snap");
	assert_int_equal(save_guest(path, 1), -ENOTDIR);
	free(path);
	assert_int_equal(save_guest("", 1), -EINVAL);
	assert_int_equal(save_guest("/", 1), -EINVAL);
	assert_int_equal(save_guest(".", 1), -EINVAL);
	path = path_in(*state, "..");
	assert_int_equal(save_guest(path, 1), -EINVAL);
	free(path);
}

static void aborting_leaves_nothing(void **state)
{
	char *path = path_in(*state, "snap");
	struct snap_save_config config = {
		.path = path, .arch = ARCH, .ranges = ranges, .range_count = 2
	};
	struct snap_writer w = { 0 };
	struct snap_save *save;

	assert_int_equal(snap_save_begin(&save, &config), 0);
	assert_int_equal(count_entries(*state), 1);
	assert_int_equal(snap_save_section(save, "x", 1, &w), 0);
	assert_int_equal(snap_save_section(save, "x", 1, &w), -EEXIST);
	assert_int_equal(snap_save_section(save, "", 1, &w), -EINVAL);
	assert_int_equal(snap_save_section(save, "seventeen-bytes-x", 1, &w),
			 -EINVAL);
	w.error = -ENOMEM;
	assert_int_equal(snap_save_section(save, "y", 1, &w), -ENOMEM);
	assert_int_equal(snap_save_pages(save, PAGES, 1, "x"), -EINVAL);
	snap_save_abort(save);
	assert_int_equal(count_entries(*state), 0);
	snap_save_abort(NULL);
	free(path);
}

static void other_architecture(void **state)
{
	char *path = path_in(*state, "snap");
	struct snap_file f;

	assert_int_equal(save_guest(path, 1), 0);
	assert_int_equal(snap_open(&f, path, "otherarch"), -ENOEXEC);
	assert_int_equal(snap_open(&f, path, "testarc"), -ENOEXEC);
	free(path);
}

static void missing_and_strange_files(void **state)
{
	static const char *const names[] = { "state", "memory", "pages" };
	char *path = path_in(*state, "snap"), *file;
	struct snap_file f;
	uint8_t *data;
	size_t len;

	assert_int_equal(snap_open(&f, path, ARCH), -ENOENT);
	assert_int_equal(save_guest(path, 1), 0);
	for (int i = 0; i < 3; i++) {
		file = path_in(path, names[i]);
		data = read_file(path, names[i], &len);
		assert_int_equal(unlink(file), 0);
		assert_int_equal(snap_open(&f, path, ARCH), -ENOENT);
		/* Opening a FIFO must not block. */
		assert_int_equal(mkfifo(file, 0600), 0);
		assert_int_equal(snap_open(&f, path, ARCH), -EBADMSG);
		assert_int_equal(unlink(file), 0);
		assert_int_equal(mkdir(file, 0700), 0);
		assert_int_equal(snap_open(&f, path, ARCH), -EBADMSG);
		assert_int_equal(rmdir(file), 0);
		assert_int_equal(symlink("/dev/zero", file), 0);
		assert_int_equal(snap_open(&f, path, ARCH), -EBADMSG);
		assert_int_equal(unlink(file), 0);
		write_file(path, names[i], data, 0);
		assert_int_equal(snap_open(&f, path, ARCH), -EBADMSG);
		write_file(path, names[i], data, len);
		assert_int_equal(check_guest(path, 1), 0);
		free(data);
		free(file);
	}
	file = path_in(path, "state");
	assert_int_equal(snap_open(&f, file, ARCH), -ENOTDIR);
	free(file);
	free(path);
}

/* A file of another snapshot is reported as such, not as damage. */
static void files_of_two_snapshots(void **state)
{
	char *one = path_in(*state, "one"), *two = path_in(*state, "two");
	struct snap_file f;
	uint8_t *data;
	size_t len;

	assert_int_equal(save_guest(one, 1), 0);
	assert_int_equal(save_guest(two, 2), 0);
	data = read_file(two, "pages", &len);
	write_file(one, "pages", data, len);
	assert_int_equal(snap_open(&f, one, ARCH), -EBADMSG);
	free(data);
	assert_int_equal(save_guest(one, 1), 0);
	data = read_file(two, "memory", &len);
	write_file(one, "memory", data, len);
	assert_int_equal(check_guest(one, 1), -EBADMSG);
	free(data);
	free(one);
	free(two);
}

/* A stray page is detected by verification. */
static void bytes_in_a_hole(void **state)
{
	char *path = path_in(*state, "snap"), *file;
	struct snap_file f;
	int fd;

	assert_int_equal(save_guest(path, 1), 0);
	file = path_in(path, "memory");
	fd = open(file, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 100 * 4096 + 7), 1);
	close(fd);
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_null(run_of(&f, 100));
	assert_int_equal(snap_verify(&f, NULL, NULL), -EBADMSG);
	snap_close(&f);
	free(file);
	free(path);
}

static void working_set(void **state)
{
	static const uint64_t pages[] = { 7, 3, 255, 0, 9 };
	static const uint64_t beyond[] = { 1, PAGES };
	char *path = path_in(*state, "snap"), *file;
	uint64_t *got, count;
	struct caught caught;
	struct snap_file f;
	uint8_t *data;
	size_t len, refused = 0;

	assert_int_equal(save_guest(path, 1), 0);
	assert_int_equal(snap_open(&f, path, ARCH), 0);
	assert_int_equal(snap_workingset_read(&f, &got, &count), -ENOENT);
	assert_int_equal(snap_workingset_write(&f, pages, 5), 0);
	assert_int_equal(snap_workingset_read(&f, &got, &count), 0);
	assert_int_equal(count, 5);
	assert_memory_equal(got, pages, sizeof(pages));
	free(got);
	assert_int_equal(snap_workingset_write(&f, beyond, 2), 0);
	assert_int_equal(snap_workingset_read(&f, &got, &count), -EBADMSG);
	assert_int_equal(snap_workingset_write(&f, NULL, 0), 0);
	assert_int_equal(snap_workingset_read(&f, &got, &count), 0);
	assert_int_equal(count, 0);
	free(got);
	assert_int_equal(snap_workingset_write(&f, pages, 5), 0);
	assert_int_equal(count_entries(path), 4);
	file = path_in(path, "workingset");
	data = read_file(path, "workingset", &len);
	catch_lines(&caught);
	for (size_t i = 0; i < len; i++) {
		data[i] ^= 4;
		write_file(path, "workingset", data, len);
		refused += snap_workingset_read(&f, &got, &count) == -EBADMSG;
		data[i] ^= 4;
		write_file(path, "workingset", data, i);
		refused += snap_workingset_read(&f, &got, &count) == -EBADMSG;
	}
	assert_int_equal(release_lines(&caught), refused);
	assert_int_equal(refused, 2 * len);
	snap_close(&f);
	/* A snapshot with a working set is replaced as a whole. */
	assert_int_equal(save_guest(path, 2), 0);
	assert_int_equal(count_entries(path), 3);
	assert_int_equal(count_entries(*state), 1);
	free(data);
	free(file);
	free(path);
}

/*
 * The child of full_disk(), in its own mount namespace; returns an exit status.
 */
static int fill_a_disk(const char *dir)
{
	char *path = path_in(dir, "snap");
	int full = 0;

	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", dir, "tmpfs", 0, "size=3m"))
		return 77;
	if (save_guest(path, 1))
		return 1;
	/* The second does not fit: the first must stay intact. */
	for (unsigned int seed = 2; seed < 8 && full != -ENOSPC; seed++) {
		char other[64];

		snprintf(other, sizeof(other), "%s.%u", path, seed);
		full = save_guest(other, seed);
	}
	if (full != -ENOSPC || save_guest(path, 9) != -ENOSPC)
		return 2;
	if (check_guest(path, 1))
		return 3;
	/* A read-only directory. */
	if (mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL))
		return 77;
	if (save_guest(path, 9) != -EROFS || check_guest(path, 1))
		return 4;
	return 0;
}

static void full_disk(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(fill_a_disk(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("mounting is not allowed here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(round_trip),
		TEST(holes_stay_holes),
		TEST(nothing_but_zeros),
		TEST(saved_again),
		TEST(threads_save_parts),
		TEST(an_older_one_is_replaced),
		TEST(what_is_no_snapshot_is_left_alone),
		TEST(a_late_comer_is_left_alone),
		TEST(bad_targets),
		TEST(aborting_leaves_nothing),
		TEST(other_architecture),
		TEST(missing_and_strange_files),
		TEST(files_of_two_snapshots),
		TEST(bytes_in_a_hole),
		TEST(working_set),
		TEST(full_disk),
	};

	return cmocka_run_group_tests_name("snap-files", tests, NULL, NULL);
}
