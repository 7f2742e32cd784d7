/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The newc format: each entry is a header of 110 bytes in hexadecimal, the name,
 * and the contents; name and contents are padded to 4 bytes.
 *
 * Owns nothing. Main thread.
 */
#include "vmm/exec/cpio.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#define ALIGN	   4
#define COPY_BYTES 65536
#define TRAILER	   "TRAILER!!!"

/* The header after its magic: numbers of 8 digits, in this order. */
enum {
	F_INODE,
	F_MODE,
	F_UID,
	F_GID,
	F_LINKS,
	F_MTIME,
	F_BYTES,
	F_FS_MAJOR,
	F_FS_MINOR,
	F_DEVICE_MAJOR,
	F_DEVICE_MINOR,
	F_NAME_BYTES,
	F_CHECKSUM, /* 0 in this format */
	FIELDS,
};

/* What an entry's header says. */
struct entry {
	const char *name;
	mode_t mode; /* with the type */
	uint64_t len;
	dev_t device;
};

static void put(struct cpio *cpio, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (cpio->err == 0 && len != 0) {
		ssize_t n = write(cpio->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			cpio->err = log_errno(errno, "write initramfs");
			return;
		}
		p += n;
		len -= (size_t)n;
		cpio->written_bytes += (uint64_t)n;
	}
}

static void pad(struct cpio *cpio)
{
	static const uint8_t zeros[ALIGN];

	put(cpio, zeros, -cpio->written_bytes % ALIGN);
}

/* Writes the header and the name; the contents follow. */
static void begin(struct cpio *cpio, const struct entry *entry)
{
	uint32_t name_bytes = (uint32_t)strlen(entry->name) + 1;
	/* Inode numbers differ, so that no file is a hard link. */
	const uint32_t fields[FIELDS] = {
		[F_INODE] = ++cpio->entries,
		[F_MODE] = entry->mode,
		[F_LINKS] = 1,
		[F_BYTES] = (uint32_t)entry->len,
		[F_DEVICE_MAJOR] = major(entry->device),
		[F_DEVICE_MINOR] = minor(entry->device),
		[F_NAME_BYTES] = name_bytes,
	};
	char digits[9];

	if (cpio->err == 0 && entry->len > UINT32_MAX)
		cpio->err = log_fail(EFBIG, "%s: too large for an initramfs",
				     entry->name);
	put(cpio, "070701", 6);
	for (int i = 0; i < FIELDS; i++) {
		snprintf(digits, sizeof(digits), "%08" PRIX32, fields[i]);
		put(cpio, digits, 8);
	}
	put(cpio, entry->name, name_bytes);
	pad(cpio);
}

void cpio_dir(struct cpio *cpio, const char *name, mode_t mode)
{
	begin(cpio, &(struct entry){ .name = name, .mode = S_IFDIR | mode });
}

void cpio_node(struct cpio *cpio, const char *name, mode_t mode, dev_t device)
{
	begin(cpio, &(struct entry){ .name = name,
				     .mode = S_IFCHR | mode,
				     .device = device });
}

void cpio_file(struct cpio *cpio, const char *name, mode_t mode,
	       const void *data, size_t len)
{
	begin(cpio, &(struct entry){
			    .name = name, .mode = S_IFREG | mode, .len = len });
	put(cpio, data, len);
	pad(cpio);
}

/* Copies from @fd at @offset; the number of bytes, 0 after an error. */
static size_t copy(struct cpio *cpio, const char *name, int fd, uint64_t offset,
		   uint64_t len)
{
	uint8_t buf[COPY_BYTES];
	ssize_t n;

	do
		n = pread(fd, buf, min_u64(sizeof(buf), len), (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		cpio->err = log_errno(errno, "read %s", name);
	else if (n == 0)
		cpio->err = log_fail(ENODATA, "%s: file became shorter", name);
	else
		put(cpio, buf, (size_t)n);
	return cpio->err == 0 ? (size_t)n : 0;
}

void cpio_file_fd(struct cpio *cpio, const char *name, mode_t mode, int fd,
		  uint64_t len)
{
	begin(cpio, &(struct entry){
			    .name = name, .mode = S_IFREG | mode, .len = len });
	for (uint64_t at = 0; cpio->err == 0 && at < len;)
		at += copy(cpio, name, fd, at, len - at);
	pad(cpio);
}

int cpio_end(struct cpio *cpio)
{
	begin(cpio, &(struct entry){ .name = TRAILER });
	return cpio->err;
}
