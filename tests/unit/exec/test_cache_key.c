/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of the cache: what they tell apart, and when a file is read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/exec/fixture.h"
#include "vmm/base/clock.h"
#include "vmm/exec/cache_key.h"
#include "vmm/exec/cache_memo.h"

/* Writes the file; the descriptor, for reading. */
static int write_file(const struct setting *s, const char *text)
{
	FILE *to = fopen(s->file, "we");

	assert_non_null(to);
	assert_true(fputs(text, to) >= 0);
	assert_int_equal(fclose(to), 0);
	return open(s->file, O_RDONLY | O_CLOEXEC);
}

/* The key of one file; closes @fd. Returns the number of known hashes. */
static unsigned int file_key(const struct setting *s, int fd,
			     char text[CACHE_KEY_TEXT_BYTES])
{
	struct cache_key key;
	unsigned int known;

	assert_true(fd >= 0);
	cache_key_init(&key, &s->cache);
	cache_key_file(&key, "file", fd);
	assert_int_equal(cache_key_end(&key, text), 0);
	assert_true(cache_key_holds(&key));
	known = key.memo->count;
	cache_key_finish(&key);
	close(fd);
	return known;
}

/* Waits until a file that was changed just now is settled. */
static void settle(void)
{
	nanosleep(&(struct timespec){ .tv_sec = 3, .tv_nsec = 100000000 },
		  NULL);
}

enum { MAX_PARTS = 3 };

/* Parts: "sLABEL=VALUE" is a string, "nLABEL=VALUE" a number. */
static void parts_key(const struct setting *s, const char *const *parts,
		      char text[CACHE_KEY_TEXT_BYTES])
{
	struct cache_key key;

	cache_key_init(&key, &s->cache);
	for (int i = 0; i < MAX_PARTS && parts[i]; i++) {
		char label[40];
		const char *value = strchr(parts[i], '=') + 1;

		snprintf(label, sizeof(label), "%.*s",
			 (int)(value - parts[i] - 2), parts[i] + 1);
		if (parts[i][0] == 's')
			cache_key_string(&key, label, value);
		else
			cache_key_number(&key, label, strtoul(value, NULL, 10));
	}
	assert_int_equal(cache_key_end(&key, text), 0);
	cache_key_finish(&key);
}

static void parts_differ(void **state)
{
	static const char *const lists[][MAX_PARTS] = {
		{ NULL },	    { "sa=" },
		{ "sa=b" },	    { "sa=b", "sc=d" },
		{ "sc=d", "sa=b" }, { "sab=", "sc=d" },
		{ "sa=bc", "s=d" }, { "sa=bscd" },
		{ "sa=1" },	    { "na=1" },
		{ "na=2" },	    { "nb=1" },
		{ "na=1", "na=1" }, { "na=1", "na=1", "na=1" },
	};
	enum { COUNT = sizeof(lists) / sizeof(lists[0]) };
	struct setting *s = *state;
	char keys[COUNT][CACHE_KEY_TEXT_BYTES], again[CACHE_KEY_TEXT_BYTES];

	for (int i = 0; i < COUNT; i++) {
		parts_key(s, lists[i], keys[i]);
		parts_key(s, lists[i], again);
		assert_string_equal(keys[i], again);
		assert_int_equal(strspn(again, "0123456789abcdef"), 64);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(keys[i], keys[j]);
	}
}

/* The key depends on the contents alone: not on name, time or offset. */
static void contents_count(void **state)
{
	struct setting *s = *state;
	char a[CACHE_KEY_TEXT_BYTES], b[CACHE_KEY_TEXT_BYTES];
	int fd;

	file_key(s, write_file(s, "kernel"), a);
	unlink(s->file);
	fd = write_file(s, "kernel");
	assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
	file_key(s, fd, b);
	assert_string_equal(a, b);
	file_key(s, write_file(s, "kernal"), b);
	assert_string_not_equal(a, b);
}

/* A file that changes just after it was hashed is hashed again. */
static void just_changed(void **state)
{
	struct setting *s = *state;
	char a[CACHE_KEY_TEXT_BYTES], b[CACHE_KEY_TEXT_BYTES];
	struct stat first, second;
	unsigned int same = 0;

	for (int i = 0; i < 200; i++) {
		int fd = write_file(s, "old");

		assert_int_equal(fstat(fd, &first), 0);
		assert_int_equal(file_key(s, fd, a), 0);
		fd = write_file(s, "new");
		assert_int_equal(fstat(fd, &second), 0);
		assert_int_equal(file_key(s, fd, b), 0);
		same += first.st_mtim.tv_sec == second.st_mtim.tv_sec &&
			first.st_mtim.tv_nsec == second.st_mtim.tv_nsec;
		assert_string_not_equal(a, b);
	}
	print_message("%u of 200 files had the same time as before\n", same);
}

/* Overwrites the hash in the memo, so that its use shows. */
static void spoil_memo(const struct setting *s)
{
	static const uint8_t wrong[SHA256_BYTES] = { 1 };
	struct cache_memo *memo = malloc(sizeof(*memo));

	cache_memo_read(&s->cache, memo);
	assert_int_equal(memo->count, 1);
	memcpy(memo->records[0].hash, wrong, sizeof(wrong));
	memo->changed = true;
	cache_memo_write(&s->cache, memo);
	free(memo);
}

/* Changes a byte of the memo, which its checksum must find. */
static void damage_memo(const struct setting *s)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/hashes", s->cache.path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 80), 1);
	close(fd);
}

static void known_hash(void **state)
{
	struct setting *s = *state;
	char a[CACHE_KEY_TEXT_BYTES], b[CACHE_KEY_TEXT_BYTES];
	int fd = write_file(s, "kernel");
	struct stat st;

	settle();
	assert_int_equal(file_key(s, fd, a), 1);
	assert_int_equal(file_key(s, open(s->file, O_RDONLY), b), 1);
	assert_string_equal(a, b);
	/* A known file is not read. */
	spoil_memo(s);
	file_key(s, open(s->file, O_RDONLY), b);
	assert_string_not_equal(a, b);
	/* It is once any of its times changes. */
	assert_int_equal(chmod(s->file, 0600), 0);
	assert_int_equal(file_key(s, open(s->file, O_RDONLY), b), 1);
	assert_string_equal(a, b);
	/* Same size, same modification time. */
	assert_int_equal(stat(s->file, &st), 0);
	fd = write_file(s, "kernal");
	assert_int_equal(
		utimensat(AT_FDCWD, s->file,
			  (struct timespec[]){ st.st_atim, st.st_mtim }, 0),
		0);
	assert_int_equal(file_key(s, fd, b), 1);
	assert_string_not_equal(a, b);
	damage_memo(s);
	assert_int_equal(file_key(s, write_file(s, "kernel"), b), 0);
	assert_string_equal(a, b);
}

/* A file that changes after it was hashed is reported. */
static void changed_later(void **state)
{
	struct setting *s = *state;
	char text[CACHE_KEY_TEXT_BYTES];
	int fd = write_file(s, "kernel");
	struct cache_key key;

	cache_key_init(&key, &s->cache);
	cache_key_file(&key, "file", fd);
	assert_int_equal(cache_key_end(&key, text), 0);
	assert_true(cache_key_holds(&key));
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	close(write_file(s, "kernal"));
	assert_false(cache_key_holds(&key));
	cache_key_finish(&key);
	close(fd);
}

static void not_a_file(void **state)
{
	struct setting *s = *state;
	char text[CACHE_KEY_TEXT_BYTES];
	int fd = open(s->dir, O_RDONLY | O_DIRECTORY);
	struct cache_key key;

	cache_key_init(&key, &s->cache);
	cache_key_file(&key, "file", fd);
	cache_key_string(&key, "a", "b");
	assert_int_equal(cache_key_end(&key, text), -EINVAL);
	assert_false(cache_key_holds(&key));
	cache_key_finish(&key);
	close(fd);
}

/* The oldest is dropped, a file has one record, and all come back. */
static void memo_is_bounded(void **state)
{
	struct setting *s = *state;
	struct cache_memo *memo = malloc(sizeof(*memo));
	struct file_identity identity = { .device = 7 };
	uint8_t hash[SHA256_BYTES] = { 0 };

	cache_memo_read(&s->cache, memo);
	assert_int_equal(memo->count, 0);
	for (unsigned int i = 0; i < CACHE_MEMO_MAX + 10; i++) {
		identity.inode = i;
		hash[0] = (uint8_t)i;
		hash[1] = (uint8_t)(i >> 8);
		cache_memo_add(memo, &identity, hash);
		identity.mtime_ns = i;
		cache_memo_add(memo, &identity, hash);
	}
	cache_memo_write(&s->cache, memo);
	memset(memo, 0xff, sizeof(*memo));
	cache_memo_read(&s->cache, memo);
	assert_int_equal(memo->count, CACHE_MEMO_MAX);
	for (unsigned int i = 0; i < CACHE_MEMO_MAX + 10; i++) {
		identity.inode = identity.mtime_ns = i;
		assert_int_equal(cache_memo_find(memo, &identity, hash),
				 i >= 10);
		if (i >= 10)
			assert_int_equal(hash[0] | hash[1] << 8, i);
	}
	identity.ctime_ns++;
	assert_false(cache_memo_find(memo, &identity, hash));
	free(memo);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(parts_differ),    TEST(contents_count), TEST(just_changed),
		TEST(known_hash),      TEST(changed_later),  TEST(not_a_file),
		TEST(memo_is_bounded),
	};

	return cmocka_run_group_tests_name("exec-cache-key", tests, NULL, NULL);
}
