/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of warm guests, one step at a time: entries, locks, the limit, and
 * who may write to it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/exec/fixture.h"

#define ENTRY_KIB 64

/* Makes entry @n. */
static int make(const struct cache *cache, unsigned int n)
{
	char key[CACHE_KEY_TEXT_BYTES];
	struct cache_entry entry;
	int err;

	key_text(n, key);
	err = cache_begin(cache, key, "an entry", &entry);
	if (err)
		return err;
	assert_int_equal(entry_write(&entry, ENTRY_KIB, (int)n), 0);
	/* Times of use must differ. */
	usleep(20000);
	return cache_commit(cache, &entry);
}

static int find(const struct cache *cache, unsigned int n,
		struct cache_entry *entry)
{
	char key[CACHE_KEY_TEXT_BYTES];

	key_text(n, key);
	return cache_lookup(cache, key, entry);
}

/* Whether entry @n exists and is complete; marks it as used. */
static bool has(const struct cache *cache, unsigned int n)
{
	struct cache_entry entry;

	if (find(cache, n, &entry))
		return false;
	assert_true(entry_is_whole(&entry, ENTRY_KIB, (int)n));
	usleep(20000);
	cache_release(&entry);
	return true;
}

/* Allocated bytes of one entry. */
static uint64_t entry_bytes(const struct cache *cache)
{
	struct cache_list list;
	uint64_t bytes;

	assert_int_equal(cache_list(cache, &list), 0);
	assert_true(list.count > 0);
	bytes = list.items[0].size_bytes;
	assert_true(bytes >= ENTRY_FILES * ENTRY_KIB * 1024);
	cache_list_finish(&list);
	return bytes;
}

static void made_and_found(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_list list;
	char key[CACHE_KEY_TEXT_BYTES];

	key_text(1, key);
	assert_false(has(cache, 1));
	assert_int_equal(make(cache, 1), 0);
	assert_true(has(cache, 1));
	assert_false(has(cache, 2));
	assert_int_equal(count_unfinished(cache), 0);
	assert_int_equal(cache_list(cache, &list), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].key, key);
	assert_string_equal(list.items[0].description, "an entry");
	assert_false(list.items[0].in_use);
	cache_list_finish(&list);
	assert_int_equal(cache_remove(cache, key), 0);
	assert_int_equal(cache_remove(cache, key), -ENOENT);
	assert_false(has(cache, 1));
}

static void one_maker(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_entry entry, second;
	char key[CACHE_KEY_TEXT_BYTES];

	key_text(1, key);
	assert_int_equal(cache_begin(cache, key, "", &entry), 0);
	assert_int_equal(cache_begin(cache, key, "", &second), -EBUSY);
	/* Another key is another matter. */
	assert_int_equal(make(cache, 2), 0);
	assert_int_equal(find(cache, 1, &second), -ENOENT);
	assert_int_equal(entry_write(&entry, ENTRY_KIB, 1), 0);
	assert_int_equal(cache_commit(cache, &entry), 0);
	assert_int_equal(cache_begin(cache, key, "", &second), -EEXIST);
	assert_true(has(cache, 1));
	assert_int_equal(count_unfinished(cache), 0);
}

static void aborted(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_entry entry;
	char key[CACHE_KEY_TEXT_BYTES];

	key_text(1, key);
	assert_int_equal(cache_begin(cache, key, "", &entry), 0);
	assert_int_equal(entry_write(&entry, ENTRY_KIB, 1), 0);
	cache_abort(cache, &entry);
	assert_int_equal(count_unfinished(cache), 0);
	assert_false(has(cache, 1));
	/* Without a snapshot nothing is added. */
	assert_int_equal(cache_begin(cache, key, "", &entry), 0);
	assert_int_equal(cache_commit(cache, &entry), -ENODATA);
	assert_int_equal(count_unfinished(cache), 0);
	assert_false(has(cache, 1));
	assert_int_equal(make(cache, 1), 0);
}

static void bad_keys(void **state)
{
	static const char *const keys[] = {
		"",
		"..",
		"abc",
		"lock",
		"000000000000000000000000000000000000000000000000000000000000000/",
		"00000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000000000000000000000000000000000000000000A",
	};
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_entry entry;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_int_equal(cache_lookup(cache, keys[i], &entry), -EINVAL);
		cache_release(&entry);
		assert_int_equal(cache_begin(cache, keys[i], "", &entry),
				 -EINVAL);
		cache_abort(cache, &entry);
		assert_int_equal(cache_remove(cache, keys[i]), -EINVAL);
	}
}

static void least_recently_used(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;

	assert_int_equal(make(cache, 1), 0);
	cache->limit_bytes = 3 * entry_bytes(cache) + 4096;
	assert_int_equal(make(cache, 2), 0);
	assert_int_equal(make(cache, 3), 0);
	/* 2 is now the one that was not used for the longest time. */
	assert_true(has(cache, 1));
	assert_int_equal(make(cache, 4), 0);
	assert_false(has(cache, 2));
	assert_true(has(cache, 1));
	assert_true(has(cache, 3));
	assert_true(has(cache, 4));
	assert_int_equal(count_unfinished(cache), 0);
}

/* An entry that is removed while it is used can be made again at once. */
static void in_use_removed(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_cleared cleared;
	struct cache_entry one;

	assert_int_equal(make(cache, 1), 0);
	assert_int_equal(find(cache, 1, &one), 0);
	assert_int_equal(cache_remove(cache, one.key), 0);
	assert_false(has(cache, 1));
	assert_int_equal(make(cache, 1), 0);
	assert_true(has(cache, 1));
	assert_int_equal(cache_clear(cache, &cleared), 0);
	assert_int_equal(cleared.removed, 1);
	assert_int_equal(cleared.in_use, 1);
	cache_release(&one);
	assert_int_equal(cache_clear(cache, &cleared), 0);
	assert_int_equal(cleared.leftovers, 1);
}

static void in_use_stays(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_entry one, two;
	struct cache_list list;

	assert_int_equal(make(cache, 1), 0);
	cache->limit_bytes = 2 * entry_bytes(cache) + 4096;
	assert_int_equal(make(cache, 2), 0);
	assert_int_equal(find(cache, 1, &one), 0);
	/* 2 was used last, but 1 is in use. */
	assert_true(has(cache, 2));
	assert_int_equal(make(cache, 3), 0);
	assert_false(has(cache, 2));
	assert_true(entry_is_whole(&one, ENTRY_KIB, 1));
	/* Two runs use one, and two fill the cache. */
	assert_int_equal(find(cache, 3, &two), 0);
	assert_int_equal(make(cache, 4), -ENOSPC);
	assert_false(has(cache, 4));
	assert_int_equal(cache_list(cache, &list), 0);
	assert_int_equal(list.count, 2);
	assert_true(list.items[0].in_use && list.items[1].in_use);
	cache_list_finish(&list);
	cache_release(&one);
	assert_int_equal(make(cache, 4), 0);
	assert_false(has(cache, 1));
	assert_true(entry_is_whole(&two, ENTRY_KIB, 3));
	cache_release(&two);
}

/* Nothing is removed for an entry that cannot fit. */
static void too_large(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;

	assert_int_equal(make(cache, 1), 0);
	cache->limit_bytes = entry_bytes(cache) - 1;
	assert_int_equal(make(cache, 2), -ENOSPC);
	assert_true(has(cache, 1));
	assert_int_equal(count_unfinished(cache), 0);
}

/* A process that begins entry 1 and is killed in the midst of it. */
static void kill_a_maker(const struct cache *cache)
{
	char key[CACHE_KEY_TEXT_BYTES];
	int status;
	pid_t pid = fork();

	key_text(1, key);
	if (!pid) {
		struct cache_entry entry;

		if (!cache_begin(cache, key, "", &entry) &&
		    !entry_write(&entry, ENTRY_KIB, 1))
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void leftovers(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_cleared cleared;

	kill_a_maker(cache);
	assert_int_equal(count_unfinished(cache), 1);
	assert_false(has(cache, 1));
	/* That of another key removes it as well. */
	assert_int_equal(make(cache, 2), 0);
	assert_int_equal(count_unfinished(cache), 0);
	kill_a_maker(cache);
	assert_int_equal(make(cache, 1), 0);
	assert_true(has(cache, 1));
	cache_remove(cache, "00000000000000000000000000000000"
			    "00000000000000000000000000000001");
	kill_a_maker(cache);
	assert_int_equal(cache_clear(cache, &cleared), 0);
	assert_int_equal(cleared.leftovers, 1);
	assert_int_equal(cleared.removed, 1);
	assert_int_equal(count_unfinished(cache), 0);
}

static void cleared_but_in_use(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	struct cache_entry used, unfinished;
	struct cache_cleared cleared;
	char key[CACHE_KEY_TEXT_BYTES], path[256];
	uint64_t size;

	for (unsigned int n = 1; n <= 3; n++)
		assert_int_equal(make(cache, n), 0);
	size = entry_bytes(cache);
	key_text(9, key);
	assert_int_equal(find(cache, 2, &used), 0);
	assert_int_equal(cache_begin(cache, key, "", &unfinished), 0);
	snprintf(path, sizeof(path), "%s/notes", cache->path);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(cache_clear(cache, &cleared), 0);
	assert_int_equal(cleared.removed, 2);
	assert_int_equal(cleared.in_use, 2);
	assert_int_equal(cleared.leftovers, 0);
	assert_true(cleared.removed_bytes >= 2 * size - 8192);
	assert_true(cleared.removed_bytes <= 2 * size + 8192);
	assert_true(entry_is_whole(&used, ENTRY_KIB, 2));
	/* Files of others are not touched. */
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(entry_write(&unfinished, ENTRY_KIB, 9), 0);
	assert_int_equal(cache_commit(cache, &unfinished), 0);
	assert_true(has(cache, 9));
	cache_release(&used);
}

/* What was damaged from outside is repaired or replaced. */
static void damaged(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	char key[CACHE_KEY_TEXT_BYTES], path[256];

	assert_int_equal(make(cache, 1), 0);
	key_text(1, key);
	snprintf(path, sizeof(path), "%s/%s/snapshot", cache->path, key);
	remove_tree(path);
	assert_false(has(cache, 1));
	assert_int_equal(make(cache, 1), 0);
	assert_true(has(cache, 1));
	snprintf(path, sizeof(path), "%s/%s/lock", cache->path, key);
	assert_int_equal(unlink(path), 0);
	assert_false(has(cache, 1));
	assert_int_equal(make(cache, 1), -EEXIST);
	assert_true(has(cache, 1));
}

static int open_again(void)
{
	struct cache cache;
	int err = cache_open(&cache, true, LOG_DEBUG);

	cache_close(&cache);
	return err;
}

static void private_directory(void **state)
{
	struct setting *s = *state;
	char middle[80];
	struct stat st;

	assert_int_equal(stat(s->cache.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(open_again(), 0);
	assert_int_equal(chmod(s->cache.path, 0770), 0);
	assert_int_equal(open_again(), -EPERM);
	assert_int_equal(chmod(s->cache.path, 0707), 0);
	assert_int_equal(open_again(), -EPERM);
	assert_int_equal(chmod(s->cache.path, 0755), 0);
	assert_int_equal(open_again(), 0);
	snprintf(middle, sizeof(middle), "%s/thaw", s->dir);
	assert_int_equal(chmod(middle, 0775), 0);
	assert_int_equal(open_again(), -EPERM);
	assert_int_equal(chmod(middle, 0700), 0);
	assert_int_equal(chmod(s->dir, 0777), 0);
	assert_int_equal(open_again(), -EPERM);
	assert_int_equal(chmod(s->dir, 01777), 0);
	assert_int_equal(open_again(), 0);
	assert_int_equal(chmod(s->dir, 0700), 0);
	/* Not through a link, which may lead anywhere. */
	remove_tree(s->cache.path);
	assert_int_equal(symlink("/tmp", s->cache.path), 0);
	assert_true(open_again() < 0);
}

static void owned_by_another(void **state)
{
	struct setting *s = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(s->cache.path, 65534, 65534), 0);
	assert_int_equal(open_again(), -EPERM);
	assert_int_equal(chown(s->cache.path, 0, 0), 0);
	assert_int_equal(open_again(), 0);
	/* Nor does root create directories below that of a user. */
	assert_int_equal(chown(s->dir, 65534, 65534), 0);
	assert_int_equal(open_again(), -EPERM);
}

static void where_it_is(void **state)
{
	struct setting *s = *state;
	char home[80], want[128];
	struct cache cache;

	snprintf(home, sizeof(home), "%s/home", s->dir);
	snprintf(want, sizeof(want), "%s/.cache/thaw/exec", home);
	assert_int_equal(setenv("HOME", home, 1), 0);
	/* A relative one is ignored, as the specification says. */
	assert_int_equal(setenv("XDG_CACHE_HOME", "cache", 1), 0);
	assert_int_equal(cache_open(&cache, false, LOG_DEBUG), -ENOENT);
	cache_close(&cache);
	assert_int_equal(cache_open(&cache, true, LOG_DEBUG), 0);
	assert_string_equal(cache.path, want);
	cache_close(&cache);
	assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
	assert_int_equal(cache_open(&cache, false, LOG_DEBUG), 0);
	assert_string_equal(cache.path, want);
	cache_close(&cache);
	assert_int_equal(unsetenv("HOME"), 0);
	assert_int_equal(cache_open(&cache, true, LOG_DEBUG), -EINVAL);
	cache_close(&cache);
}

/* In a process of an ordinary user: the exit status says what failed. */
static void use_read_only(const struct setting *s)
{
	struct cache_entry entry;
	char key[CACHE_KEY_TEXT_BYTES];
	struct cache cache;

	if (geteuid() == 0 && setresuid(65534, 65534, 65534))
		_exit(1);
	if (cache_open(&cache, true, LOG_DEBUG))
		_exit(2);
	if (find(&cache, 1, &entry) || !entry_is_whole(&entry, ENTRY_KIB, 1))
		_exit(3);
	key_text(2, key);
	if (cache_begin(&cache, key, "", &entry) != -EACCES)
		_exit(4);
	if (setenv("XDG_CACHE_HOME", s->cache.path, 1) ||
	    cache_open(&cache, true, LOG_DEBUG) != -EACCES)
		_exit(5);
	_exit(0);
}

/* A directory that cannot be written to still serves what it has. */
static void read_only(void **state)
{
	struct setting *s = *state;
	char command[256];
	int status;
	pid_t pid;

	assert_int_equal(make(&s->cache, 1), 0);
	if (geteuid() == 0) {
		snprintf(command, sizeof(command), "chown -R 65534 %s", s->dir);
		assert_int_equal(system(command), 0);
	}
	assert_int_equal(chmod(s->cache.path, 0500), 0);
	pid = fork();
	if (!pid)
		use_read_only(s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(chmod(s->cache.path, 0700), 0);
}

/*
 * Each file descriptor that cannot be opened is an error; -EBUSY follows from a
 * directory that an earlier one could not remove.
 */
static void no_descriptors(void **state)
{
	struct cache *cache = &((struct setting *)*state)->cache;
	int first = dup(0), err = -1;
	struct rlimit old, few;

	close(first);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (int n = 0; err && n < 16; n++) {
		char key[CACHE_KEY_TEXT_BYTES];
		struct cache_entry entry;

		key_text(1, key);
		few.rlim_cur = (rlim_t)(first + n);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		err = cache_begin(cache, key, "", &entry);
		if (!err && !(err = entry_write(&entry, ENTRY_KIB, 1)))
			err = cache_commit(cache, &entry);
		else if (err)
			cache_abort(cache, &entry);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_true(err == 0 || err == -EMFILE || err == -EIO ||
			    err == -EBUSY);
		assert_int_equal(dup(0), first);
		close(first);
	}
	assert_int_equal(err, 0);
	assert_true(has(cache, 1));
	assert_int_equal(make(cache, 2), 0);
	assert_int_equal(count_unfinished(cache), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(made_and_found),
		TEST(one_maker),
		TEST(aborted),
		TEST(bad_keys),
		TEST(least_recently_used),
		TEST(in_use_stays),
		TEST(in_use_removed),
		TEST(too_large),
		TEST(leftovers),
		TEST(cleared_but_in_use),
		TEST(damaged),
		TEST(private_directory),
		TEST(owned_by_another),
		TEST(where_it_is),
		TEST(read_only),
		TEST(no_descriptors),
	};

	return cmocka_run_group_tests_name("exec-cache", tests, NULL, NULL);
}
