/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys. Each part is hashed as its kind, the length of its label, the label, the
 * length of its value and the value, so that no two lists of parts give the same
 * bytes; a file's value is the hash of its contents.
 *
 * A file whose identity is known is not read again. Its times have the
 * resolution of the kernel's clock tick or of the file system, so a file that
 * changes in the instant after it was hashed may keep its times: a hash is kept
 * only if the file was last changed well before.
 */
#include "vmm/exec/cache_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/exec/cache_memo.h"
#include "vmm/exec/cache_private.h"

/* The coarsest resolution of file times is FAT's, two seconds. */
#define SETTLED_NS  UINT64_C(3000000000)
#define CHUNK_BYTES 65536

enum part_kind { PART_STRING = 1, PART_NUMBER, PART_FILE };

static void add_number(struct cache_key *key, uint64_t value)
{
	uint8_t bytes[8];

	put_le64(bytes, value);
	sha256_update(&key->hash, bytes, sizeof(bytes));
}

static void add_part(struct cache_key *key, enum part_kind kind,
		     const char *label, const void *value, size_t len)
{
	add_number(key, kind);
	add_number(key, strlen(label));
	sha256_update(&key->hash, label, strlen(label));
	add_number(key, len);
	sha256_update(&key->hash, value, len);
}

void cache_key_init(struct cache_key *key, const struct cache *cache)
{
	*key = (struct cache_key){ .cache = cache };
	sha256_init(&key->hash);
	key->memo = malloc(sizeof(*key->memo));
	if (key->memo)
		cache_memo_read(cache, key->memo);
}

void cache_key_string(struct cache_key *key, const char *label,
		      const char *value)
{
	add_part(key, PART_STRING, label, value, strlen(value));
}

void cache_key_number(struct cache_key *key, const char *label, uint64_t value)
{
	uint8_t bytes[8];

	put_le64(bytes, value);
	add_part(key, PART_NUMBER, label, bytes, sizeof(bytes));
}

/* 0 or -errno: -EINVAL if it is not a regular file. */
static int identify(int fd, struct file_identity *identity)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*identity = (struct file_identity){
		.device = st.st_dev,
		.inode = st.st_ino,
		.size_bytes = (uint64_t)st.st_size,
		.mtime_ns = clock_ns(&st.st_mtim),
		.ctime_ns = clock_ns(&st.st_ctim),
	};
	return 0;
}

static bool is_still(int fd, const struct file_identity *identity)
{
	struct file_identity now;

	return !identify(fd, &now) && !memcmp(&now, identity, sizeof(now));
}

/* 0 or -errno. */
static int hash_contents(int fd, uint8_t hash[SHA256_BYTES])
{
	struct sha256 sum;
	uint8_t chunk[CHUNK_BYTES];
	uint64_t at = 0;
	ssize_t n;

	sha256_init(&sum);
	while ((n = pread(fd, chunk, sizeof(chunk), (off_t)at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		sha256_update(&sum, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	sha256_finish(&sum, hash);
	return 0;
}

static bool is_before(uint64_t time_ns, uint64_t now_ns)
{
	return time_ns <= now_ns && now_ns - time_ns >= SETTLED_NS;
}

/* Whether the file was last changed well before @now_ns. */
static bool is_settled(const struct file_identity *identity, uint64_t now_ns)
{
	return is_before(identity->mtime_ns, now_ns) &&
	       is_before(identity->ctime_ns, now_ns);
}

/* Reads the file and keeps its hash if that is safe; 0 or -errno. */
static int hash_file(struct cache_key *key, int fd,
		     const struct file_identity *identity,
		     uint8_t hash[SHA256_BYTES])
{
	uint64_t before_ns = clock_wall_ns();
	int err = hash_contents(fd, hash);

	if (err)
		return err;
	if (!is_still(fd, identity))
		return -ESTALE;
	if (key->memo && is_settled(identity, before_ns))
		cache_memo_add(key->memo, identity, hash);
	return 0;
}

/* 0 or -errno: -ESTALE if the file changes meanwhile. */
static int add_file(struct cache_key *key, const char *label, int fd)
{
	struct file_identity *identity;
	uint8_t hash[SHA256_BYTES];
	int err;

	if (key->file_count == CACHE_KEY_FILES_MAX)
		return -E2BIG;
	key->files[key->file_count].fd = fd;
	identity = &key->files[key->file_count].identity;
	err = identify(fd, identity);
	if (!err && !(key->memo && cache_memo_find(key->memo, identity, hash)))
		err = hash_file(key, fd, identity, hash);
	if (err)
		return err;
	key->file_count++;
	add_part(key, PART_FILE, label, hash, sizeof(hash));
	return 0;
}

void cache_key_file(struct cache_key *key, const char *label, int fd)
{
	int err = key->err ? 0 : add_file(key, label, fd);

	if (err)
		key->err = cache_error(key->cache, -err, "hash", label);
}

int cache_key_end(struct cache_key *key, char text[CACHE_KEY_TEXT_BYTES])
{
	uint8_t bytes[SHA256_BYTES];

	if (key->memo)
		cache_memo_write(key->cache, key->memo);
	if (key->err)
		return key->err;
	sha256_finish(&key->hash, bytes);
	for (size_t i = 0; i < SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

bool cache_key_holds(const struct cache_key *key)
{
	for (unsigned int i = 0; i < key->file_count; i++)
		if (!is_still(key->files[i].fd, &key->files[i].identity))
			return false;
	return !key->err;
}

void cache_key_finish(struct cache_key *key)
{
	free(key->memo);
	key->memo = NULL;
}
