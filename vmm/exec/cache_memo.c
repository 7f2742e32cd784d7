/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file `hashes` of the cache: a header of 16 bytes (magic, number of
 * records, CRC-32C of the records), then records of 72 bytes: device, inode,
 * size, mtime, ctime, SHA-256. Little-endian. It is replaced as a whole, by
 * rename, without a sync: after a power failure the checksum finds a file that
 * is incomplete.
 */
#include "vmm/exec/cache_memo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/crc32c.h"
#include "vmm/exec/cache_private.h"

#define NAME	     "hashes"
#define TEMPORARY    "hashes.new"
#define MAGIC	     UINT64_C(0x3168736177616874) /* "thawash1" */
#define HEADER_BYTES 16
#define RECORD_BYTES (5 * 8 + SHA256_BYTES)
#define FILE_BYTES   (HEADER_BYTES + CACHE_MEMO_MAX * RECORD_BYTES)

static void put_record(uint8_t *p, const struct cache_memo_record *record)
{
	put_le64(p, record->identity.device);
	put_le64(p + 8, record->identity.inode);
	put_le64(p + 16, record->identity.size_bytes);
	put_le64(p + 24, record->identity.mtime_ns);
	put_le64(p + 32, record->identity.ctime_ns);
	memcpy(p + 40, record->hash, SHA256_BYTES);
}

static void get_record(const uint8_t *p, struct cache_memo_record *record)
{
	record->identity.device = get_le64(p);
	record->identity.inode = get_le64(p + 8);
	record->identity.size_bytes = get_le64(p + 16);
	record->identity.mtime_ns = get_le64(p + 24);
	record->identity.ctime_ns = get_le64(p + 32);
	memcpy(record->hash, p + 40, SHA256_BYTES);
}

/* Reads up to @len bytes of the file; their number, 0 if there is none. */
static size_t read_file(const struct cache *cache, uint8_t *to, size_t len)
{
	CLEANUP_CLOSE int fd =
		openat(cache->dir_fd, NAME,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : pread(fd, to, len, 0);

	return n < 0 ? 0 : (size_t)n;
}

void cache_memo_read(const struct cache *cache, struct cache_memo *memo)
{
	CLEANUP_FREE uint8_t *file = malloc(FILE_BYTES);
	size_t len = file ? read_file(cache, file, FILE_BYTES) : 0;
	uint64_t count;

	memo->count = 0;
	memo->changed = false;
	if (len < HEADER_BYTES || get_le64(file) != MAGIC)
		return;
	count = get_le32(file + 8);
	if (count > CACHE_MEMO_MAX ||
	    len < HEADER_BYTES + count * RECORD_BYTES ||
	    get_le32(file + 12) !=
		    crc32c(0, file + HEADER_BYTES, count * RECORD_BYTES))
		return;
	memo->count = (unsigned int)count;
	for (size_t i = 0; i < count; i++)
		get_record(file + HEADER_BYTES + i * RECORD_BYTES,
			   &memo->records[i]);
}

bool cache_memo_find(const struct cache_memo *memo,
		     const struct file_identity *identity,
		     uint8_t hash[SHA256_BYTES])
{
	for (unsigned int i = 0; i < memo->count; i++) {
		const struct cache_memo_record *record = &memo->records[i];

		/* The struct has no padding. */
		if (memcmp(&record->identity, identity, sizeof(*identity)) ==
		    0) {
			memcpy(hash, record->hash, SHA256_BYTES);
			return true;
		}
	}
	return false;
}

/* Removes record @at; the ones after it move. */
static void drop(struct cache_memo *memo, unsigned int at)
{
	memo->count--;
	memmove(&memo->records[at], &memo->records[at + 1],
		(memo->count - at) * sizeof(memo->records[0]));
}

void cache_memo_add(struct cache_memo *memo,
		    const struct file_identity *identity,
		    const uint8_t hash[SHA256_BYTES])
{
	struct cache_memo_record *record;

	for (unsigned int i = 0; i < memo->count; i++) {
		if (memo->records[i].identity.device == identity->device &&
		    memo->records[i].identity.inode == identity->inode) {
			drop(memo, i);
			break;
		}
	}
	if (memo->count == CACHE_MEMO_MAX)
		drop(memo, 0);
	record = &memo->records[memo->count++];
	record->identity = *identity;
	memcpy(record->hash, hash, SHA256_BYTES);
	memo->changed = true;
}

/* Writes a new file and renames it; the cache is locked. 0 or -errno. */
static int replace(const struct cache *cache, const uint8_t *file, size_t len)
{
	CLEANUP_CLOSE int fd = -1;
	ssize_t n;

	unlinkat(cache->dir_fd, TEMPORARY, 0);
	fd = openat(cache->dir_fd, TEMPORARY,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	n = write(fd, file, len);
	if (n < 0)
		return -errno;
	if ((size_t)n != len)
		return -ENOSPC;
	return renameat(cache->dir_fd, TEMPORARY, cache->dir_fd, NAME) ?
		       -errno :
		       0;
}

void cache_memo_write(const struct cache *cache, struct cache_memo *memo)
{
	size_t len = (size_t)memo->count * RECORD_BYTES;
	CLEANUP_FREE uint8_t *file = NULL;
	CLEANUP_CLOSE int lock = -1;
	int err;

	if (!memo->changed)
		return;
	file = malloc(HEADER_BYTES + len);
	lock = file ? cache_lock(cache, false) : -ENOMEM;
	if (lock < 0)
		return;
	for (size_t i = 0; i < memo->count; i++)
		put_record(file + HEADER_BYTES + i * RECORD_BYTES,
			   &memo->records[i]);
	put_le64(file, MAGIC);
	put_le32(file + 8, memo->count);
	put_le32(file + 12, crc32c(0, file + HEADER_BYTES, len));
	err = replace(cache, file, HEADER_BYTES + len);
	if (err)
		cache_error(cache, -err, "write", NAME);
	memo->changed = false;
}
