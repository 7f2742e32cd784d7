// SPDX-License-Identifier: BSD-2-Clause
/*
 * share_work [DIR] - works with files and prints how long it takes.  A phase prints
 * `share: begin NAME' and `share: NAME us=TIME n=COUNT'.  The environment has the
 * sizes: mib, files.
 *
 * As process 1 of a guest it mounts the virtio-fs share with the tag `share', works
 * there and powers off; the kernel makes its unknown parameters (mib=64) the
 * environment.  On a host it works in DIR.
 *
 * A cold phase begins with a new mount in the guest, whose caches are empty then;
 * the host's caches are warm.  The last line, `forget', is the sum of these
 * unmounts, which end when the server has forgotten every inode.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES  (1 << 20)
#define RANDOM_READS 1000
#define RANDOM_BYTES 4096
#define PER_DIR	     100 /* files in a directory */

struct phase {
	const char *name;
	long (*work)(void); /* returns how many it did of what it does */
	bool cold;
};

static const char *dir = "/share";
static bool is_guest;
static long mib, files;
static uint64_t forget_us;
static int forgets;
static uint8_t buffer[PIECE_BYTES];

static void power_off(void)
{
	fflush(stdout);
	reboot(RB_POWER_OFF);
}

static _Noreturn void fail(const char *what)
{
	printf("share: failed: %s: %s\n", what, strerror(errno));
	if (is_guest)
		power_off();
	exit(1);
}

/* Returns @r, which must not be negative. */
static long must(long r, const char *what)
{
	if (r < 0)
		fail(what);
	return r;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void mount_share(void)
{
	must(mount("share", dir, "virtiofs", 0, NULL), "mount share");
	must(chdir(dir), "chdir");
}

/* Empties the guest's caches of the share. */
static void mount_again(void)
{
	uint64_t start = now_us();

	if (!is_guest)
		return;
	must(chdir("/"), "chdir");
	must(umount(dir), "umount");
	forget_us += now_us() - start;
	forgets++;
	mount_share();
}

static long write_big(void)
{
	int fd = (int)must(open("big", O_WRONLY | O_CREAT | O_TRUNC, 0644),
			   "create big");

	for (long i = 0; i < mib; i++)
		if (write(fd, buffer, PIECE_BYTES) != PIECE_BYTES)
			fail("write big");
	must(close(fd), "close big");
	return mib;
}

static long read_big(void)
{
	int fd = (int)must(open("big", O_RDONLY), "open big");
	long done = 0;

	for (ssize_t n; (n = read(fd, buffer, PIECE_BYTES)) != 0; done += n)
		must(n, "read big");
	close(fd);
	return done / PIECE_BYTES;
}

static long read_random(void)
{
	int fd = (int)must(open("big", O_RDONLY), "open big");
	uint64_t state = 1, pages = (uint64_t)mib * PIECE_BYTES / RANDOM_BYTES;

	/* No readahead: a request for each. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	for (int i = 0; i < RANDOM_READS; i++) {
		off_t at;

		state = state * 6364136223846793005u + 1442695040888963407u;
		at = (off_t)((state >> 33) % pages * RANDOM_BYTES);
		if (pread(fd, buffer, RANDOM_BYTES, at) != RANDOM_BYTES)
			fail("pread big");
	}
	close(fd);
	return RANDOM_READS;
}

static void file_name(char name[64], long i)
{
	snprintf(name, 64, "tree/%ld/%ld", i / PER_DIR, i);
}

/* 1 to 8 KiB, without an order. */
static size_t file_bytes(long i)
{
	return (size_t)(1 + i * 5 % 8) * 1024;
}

/* Does what tar does when it extracts. */
static long create_files(void)
{
	const struct timespec times[2] = { { .tv_sec = 1000000000 },
					   { .tv_sec = 1000000000 } };
	char name[64];

	must(mkdir("tree", 0755), "mkdir tree");
	for (long i = 0; i < files; i++) {
		int fd;

		if (i % PER_DIR == 0) {
			snprintf(name, sizeof(name), "tree/%ld", i / PER_DIR);
			must(mkdir(name, 0755), name);
		}
		file_name(name, i);
		fd = (int)must(open(name, O_WRONLY | O_CREAT | O_EXCL, 0644),
			       name);
		must(write(fd, buffer, file_bytes(i)), name);
		must(futimens(fd, times), name);
		must(close(fd), name);
	}
	return files;
}

/* What to do with an entry of a directory, after what is in it. */
typedef void visit(int dirfd, const struct dirent *entry);

/* Visits all below a directory, which it closes; returns how many. */
static long visit_all(int dirfd, visit *each)
{
	DIR *stream = fdopendir(dirfd);
	struct dirent *entry;
	long count = 0;

	if (!stream)
		fail("opendir");
	while ((entry = readdir(stream))) {
		if (entry->d_name[0] == '.')
			continue;
		if (entry->d_type == DT_DIR)
			count +=
				visit_all((int)must(openat(dirfd, entry->d_name,
							   O_RDONLY |
								   O_DIRECTORY),
						    entry->d_name),
					  each);
		each(dirfd, entry);
		count++;
	}
	closedir(stream);
	return count;
}

static void look_at(int dirfd, const struct dirent *entry)
{
	struct stat st;

	must(fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW),
	     entry->d_name);
}

static void remove_one(int dirfd, const struct dirent *entry)
{
	must(unlinkat(dirfd, entry->d_name,
		      entry->d_type == DT_DIR ? AT_REMOVEDIR : 0),
	     entry->d_name);
}

static long walk(void)
{
	return visit_all((int)must(open("tree", O_RDONLY | O_DIRECTORY),
				   "tree"),
			 look_at);
}

/* By name, without reading a directory. */
static long stat_files(void)
{
	struct stat st;
	char name[64];

	for (long i = 0; i < files; i++) {
		file_name(name, i);
		must(stat(name, &st), name);
	}
	return files;
}

static long read_files(void)
{
	char name[64];

	for (long i = 0; i < files; i++) {
		int fd;

		file_name(name, i);
		fd = (int)must(open(name, O_RDONLY), name);
		if (read(fd, buffer, PIECE_BYTES) != (ssize_t)file_bytes(i))
			fail(name);
		close(fd);
	}
	return files;
}

static long delete_files(void)
{
	long count = visit_all((int)must(open("tree", O_RDONLY | O_DIRECTORY),
					 "tree"),
			       remove_one);

	must(rmdir("tree"), "rmdir tree");
	return count;
}

static const struct phase phases[] = {
	{ "write", write_big, true },	    { "read", read_big, true },
	{ "read-again", read_big, false },  { "random", read_random, true },
	{ "create", create_files, true },   { "walk", walk, true },
	{ "walk-again", walk, false },	    { "stat", stat_files, true },
	{ "read-files", read_files, true }, { "delete", delete_files, true },
};

/*
 * Touches most of the free memory, and then the file once: the first accesses to
 * a guest's memory are slow, and are not those of a share.
 */
static void warm_up(void)
{
	struct sysinfo info;
	size_t bytes;
	uint8_t *p;

	must(sysinfo(&info), "sysinfo");
	bytes = info.freeram / 10 * 9;
	p = is_guest ? mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) :
		       MAP_FAILED;
	if (p != MAP_FAILED) {
		for (size_t i = 0; i < bytes; i += 4096)
			p[i] = 1;
		munmap(p, bytes);
	}
	write_big();
	mount_again();
	read_big();
	must(unlink("big"), "unlink big");
}

static long number_of(const char *name)
{
	const char *text = getenv(name);

	return text ? atol(text) : 0;
}

int main(int argc, char **argv)
{
	is_guest = getpid() == 1;
	if (argc > 1 && !is_guest)
		dir = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	mib = number_of("mib");
	files = number_of("files");
	if (mib < 1 || files < 1)
		fail("mib= and files= are missing");
	mkdir(dir, 0755);
	if (is_guest)
		mount_share();
	must(chdir(dir), dir);
	memset(buffer, 'x', sizeof(buffer));
	warm_up();
	forget_us = 0;
	forgets = 0;
	for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
		uint64_t start;
		long n;

		if (phases[i].cold)
			mount_again();
		printf("share: begin %s\n", phases[i].name);
		start = now_us();
		n = phases[i].work();
		printf("share: %s us=%llu n=%ld\n", phases[i].name,
		       (unsigned long long)(now_us() - start), n);
	}
	mount_again();
	printf("share: forget us=%llu n=%d\n", (unsigned long long)forget_us,
	       forgets);
	if (is_guest)
		power_off();
	return 0;
}
