// SPDX-License-Identifier: BSD-2-Clause
/*
 * mkcpio: writes an initramfs (cpio "newc") from a list, the same bytes each
 * time, without being root.
 *
 * The list comes on standard input, the archive goes to standard output:
 *
 *	dir  PATH MODE
 *	file PATH MODE SOURCE
 *	link PATH TARGET
 *	char PATH MODE MAJOR MINOR
 *
 * PATH has no leading slash and no white space; SOURCE is the rest of its line.
 * Owner is root, the time is 0, inode numbers count up from 1.  Archives of
 * this kind may be concatenated: the kernel unpacks one after the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many bytes have gone out, for the format's four-byte alignment. */
struct archive {
	uint64_t bytes;
	uint32_t next_ino;
	unsigned line;
};

/* One entry as its header needs it. */
struct entry {
	const char *path;
	uint32_t mode;
	uint32_t size_bytes;
	uint32_t major, minor;
};

/* Says what is wrong at the current line of the list, and exits. */
static void die(const struct archive *ar, const char *what, const char *noun)
{
	fprintf(stderr, "mkcpio: line %u: %s %s%s%s\n", ar->line, what, noun,
		errno ? ": " : "", errno ? strerror(errno) : "");
	exit(1);
}

/* Writes n bytes to standard output. */
static void put(struct archive *ar, const void *bytes, size_t n)
{
	if (fwrite(bytes, 1, n, stdout) != n)
		die(ar, "write", "standard output");
	ar->bytes += n;
}

/* Pads the archive with zeros to a multiple of align (at most 512). */
static void pad(struct archive *ar, unsigned align)
{
	static const char zeros[512];

	if (ar->bytes % align)
		put(ar, zeros, align - ar->bytes % align);
}

/* Writes the header and the name of one entry. */
static void put_header(struct archive *ar, const struct entry *e)
{
	size_t name_bytes = strlen(e->path) + 1;
	char header[111];
	unsigned links = (e->mode & S_IFMT) == S_IFDIR ? 2 : 1;

	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		 ar->next_ino++, e->mode, 0u, 0u, links, 0u, e->size_bytes, 0u,
		 0u, e->major, e->minor, (unsigned)name_bytes, 0u);
	put(ar, header, 110);
	put(ar, e->path, name_bytes);
	pad(ar, 4);
}

/* Writes a regular file whose contents are those of source. */
static void put_file(struct archive *ar, const char *path, uint32_t mode,
		     const char *source)
{
	int fd = open(source, O_RDONLY | O_CLOEXEC);
	struct entry e = { .path = path, .mode = S_IFREG | mode };
	char buf[65536];
	uint64_t left;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(ar, "open", source);
	if (!S_ISREG(st.st_mode) || st.st_size > UINT32_MAX) {
		errno = 0;
		die(ar, "not a regular file below 4 GiB:", source);
	}
	e.size_bytes = (uint32_t)st.st_size;
	put_header(ar, &e);
	for (left = e.size_bytes; left;) {
		ssize_t n =
			read(fd, buf, left < sizeof(buf) ? left : sizeof(buf));

		if (n <= 0)
			die(ar, "read", source);
		put(ar, buf, (size_t)n);
		left -= (uint64_t)n;
	}
	close(fd);
	pad(ar, 4);
}

/* Writes a symbolic link. */
static void put_link(struct archive *ar, const char *path, const char *target)
{
	struct entry e = { .path = path,
			   .mode = S_IFLNK | 0777,
			   .size_bytes = (uint32_t)strlen(target) };

	put_header(ar, &e);
	put(ar, target, strlen(target));
	pad(ar, 4);
}

/* Writes what one line of the list asks for. */
static void put_line(struct archive *ar, char *line)
{
	char kind[8], path[1024];
	unsigned mode, major, minor;
	int at = 0;

	if (sscanf(line, "%7s %1023s %n", kind, path, &at) < 2)
		return;
	if (!strcmp(kind, "dir") && sscanf(line + at, "%o", &mode) == 1)
		put_header(ar, &(struct entry){ .path = path,
						.mode = S_IFDIR | mode });
	else if (!strcmp(kind, "link") && line[at])
		put_link(ar, path, line + at);
	else if (!strcmp(kind, "char") &&
		 sscanf(line + at, "%o %u %u", &mode, &major, &minor) == 3)
		put_header(ar, &(struct entry){ .path = path,
						.mode = S_IFCHR | mode,
						.major = major,
						.minor = minor });
	else if (!strcmp(kind, "file") && sscanf(line + at, "%o", &mode) == 1 &&
		 strchr(line + at, ' '))
		put_file(ar, path, mode, strchr(line + at, ' ') + 1);
	else
		die(ar, "cannot read:", line);
}

/* Turns the whole list into one archive. */
int main(void)
{
	struct archive ar = { .next_ino = 1 };
	size_t cap = 0;
	char *line = NULL;

	while (getline(&line, &cap, stdin) > 0) {
		ar.line++;
		line[strcspn(line, "\n")] = 0;
		errno = 0;
		put_line(&ar, line);
	}
	free(line);
	ar.next_ino = 0;
	put_header(&ar, &(struct entry){ .path = "TRAILER!!!" });
	pad(&ar, 512);
	if (fflush(stdout))
		die(&ar, "write", "standard output");
	return 0;
}
