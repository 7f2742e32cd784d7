// SPDX-License-Identifier: BSD-2-Clause
/*
 * The operations on contents: reading, writing, space, mappings, locks, extended
 * attributes, programs, and work as that of a version control system.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fsops.h"

#define MIB (1024 * 1024)

/* Bytes that the groups read into and write from. */
static uint8_t bytes[3 * MIB], back[3 * MIB];

void ops_io(void)
{
	struct iovec iov[3] = { { "one", 3 }, { "two", 3 }, { "three", 5 } };
	int fd, other;

	fd = open("f", O_RDWR | O_CREAT, 0644);
	fill(bytes, sizeof(bytes), 1);
	tell("write", write(fd, bytes, sizeof(bytes)));
	tell("pread", pread(fd, back, sizeof(back), 0));
	tell("equal", memcmp(bytes, back, sizeof(bytes)) == 0);
	tell("at an odd place", pread(fd, back, 70001, 123457));
	tell("equal", memcmp(bytes + 123457, back, 70001) == 0);
	tell("across the end", pread(fd, back, 1000, sizeof(bytes) - 10));
	tell("past the end", pread(fd, back, 10, sizeof(bytes) + 10));
	tell("negative", pread(fd, back, 10, -1));
	tell("pwrite", pwrite(fd, "middle", 6, 1000003));
	tell("far", pwrite(fd, "far", 3, 5 * MIB));
	tell("pread in the hole", pread(fd, back, 4096, 4 * MIB));
	tell("zeros", back[0] == 0 && !memcmp(back, back + 1, 4095));
	tell("writev", pwritev(fd, iov, 3, 100));
	tell("readv", preadv(fd, iov, 0, 100));
	tell("fsync", fsync(fd));
	tell("fdatasync", fdatasync(fd));
	tell("syncfs", syncfs(fd));
	tell("sync_file_range", sync_file_range(fd, 0, 4096, 7));
	tell("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	show_contents("f");
	other = open("f", O_RDWR | O_APPEND);
	tell("append", write(other, "end", 3));
	tell("seek to the end", lseek(fd, 0, SEEK_END));
	tell("seek", lseek(fd, -3, SEEK_END));
	tell("read", read(fd, back, 10));
	tell("seek, negative", lseek(fd, -1, SEEK_SET));
	close(other);
	close(fd);
	fd = tell_fd("O_SYNC", open("sync", O_WRONLY | O_CREAT | O_SYNC, 0644));
	tell("write", write(fd, "sync", 4));
	close(fd);
	fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0644);
	if (fd >= 0) {
		void *page = NULL;

		if (posix_memalign(&page, 4096, 8192))
			return;
		fill(page, 8192, 2);
		tell("write", write(fd, page, 8192));
		tell("read", pread(fd, page, 4096, 4096));
		free(page);
		close(fd);
	}
	show_contents("direct");
	tell("files of one length", truncate("sync", 8192));
}

/* Reports the runs of data of a file. */
static void map_of(const char *what, int fd)
{
	off_t at = 0, hole;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		hole = lseek(fd, at, SEEK_HOLE);
		printf("%s: data %lld..%lld\n", what, (long long)at,
		       (long long)hole);
		at = hole;
	}
	tell(what, at);
}

void ops_space(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	int to = open("to", O_RDWR | O_CREAT, 0644);
	off_t in = 100, out = 50;
	struct stat st;

	fill(bytes, MIB, 3);
	tell("write", pwrite(fd, bytes, MIB, 0));
	tell("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				65536, 131072));
	tell("punch without keep size",
	     fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
	tell("fsync", fsync(fd));
	map_of("punched", fd);
	tell("zero", fallocate(fd, FALLOC_FL_ZERO_RANGE, 500000, 1000));
	tell("keep size", fallocate(fd, FALLOC_FL_KEEP_SIZE, MIB, MIB));
	show("f");
	tell("allocate", fallocate(fd, 0, MIB, 4096));
	show("f");
	tell("negative", fallocate(fd, 0, -1, 4096));
	tell("of nothing", fallocate(fd, 0, 0, 0));
	show_contents("f");
	tell("fsync", fsync(fd));
	tell("fstat", fstat(fd, &st));
	tell("blocks", (long)st.st_blocks);
	tell("data past the end", lseek(fd, 1LL << 40, SEEK_DATA));
	tell("copy", copy_file_range(fd, NULL, to, NULL, 300000, 0));
	tell("copy, placed", copy_file_range(fd, &in, to, &out, 1000, 0));
	printf("in %lld out %lld\n", (long long)in, (long long)out);
	in = 0;
	out = 10;
	tell("copy, overlapping", copy_file_range(fd, &in, fd, &out, 100, 0));
	in = 1 << 30;
	tell("copy past the end", copy_file_range(fd, &in, to, &out, 100, 0));
	show_contents("to");
	tell("seek", lseek(fd, 0, SEEK_SET));
	tell("sendfile", sendfile(to, fd, NULL, 200000));
	show_contents("to");
	tell("truncate", ftruncate(fd, 70000));
	map_of("truncated", fd);
	tell("and longer", ftruncate(fd, 300000));
	show_contents("f");
	close(fd);
	tell("on a closed one", fallocate(fd, 0, 0, 4096));
	close(to);
}

void ops_xattr(void)
{
	char value[256], list[256];

	put("f", "x");
	mkdir("d", 0755);
	if (symlink("f", "l") < 0)
		tell("symlink", -1);
	tell("get nothing", getxattr("f", "user.a", value, sizeof(value)));
	tell("set", setxattr("f", "user.a", "value", 5, 0));
	tell("size", getxattr("f", "user.a", NULL, 0));
	tell("get", getxattr("f", "user.a", value, sizeof(value)));
	printf("%.5s\n", value);
	tell("get, short", getxattr("f", "user.a", value, 2));
	tell("create again", setxattr("f", "user.a", "v", 1, XATTR_CREATE));
	tell("replace nothing", setxattr("f", "user.b", "v", 1, XATTR_REPLACE));
	tell("replace", setxattr("f", "user.a", "", 0, XATTR_REPLACE));
	tell("get", getxattr("f", "user.a", value, sizeof(value)));
	tell("set another", setxattr("f", "user.bb", "bytes\0\1", 7, 0));
	tell("list", listxattr("f", list, sizeof(list)));
	tell("list, short", listxattr("f", list, 3));
	tell("list, size", listxattr("f", NULL, 0));
	tell("remove", removexattr("f", "user.a"));
	tell("remove again", removexattr("f", "user.a"));
	memset(list, 0, sizeof(list));
	tell("list", listxattr("f", list, sizeof(list)));
	printf("%s\n", list);
	tell("of a directory", setxattr("d", "user.d", "d", 1, 0));
	tell("of a link", lsetxattr("l", "user.l", "l", 1, 0));
	tell("through a link", setxattr("l", "user.l", "l", 1, 0));
	tell("no namespace", setxattr("f", "what.a", "l", 1, 0));
	fill(bytes, 2000, 4);
	tell("2000 bytes", setxattr("f", "user.big", bytes, 2000, 0));
	tell("get", getxattr("f", "user.big", back, 2000));
	tell("equal", memcmp(bytes, back, 2000) == 0);
}

/* Locks of another process: each is refused. */
static int other_process(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = 5, .l_len = 10 };
	int fd = open("f", O_RDWR);

	tell("flock", flock(fd, LOCK_EX | LOCK_NB));
	tell("shared", flock(fd, LOCK_SH | LOCK_NB));
	tell("fcntl", fcntl(fd, F_SETLK, &lock));
	tell("who", fcntl(fd, F_GETLK, &lock));
	printf("type %d from %lld for %lld, by the parent: %d\n", lock.l_type,
	       (long long)lock.l_start, (long long)lock.l_len,
	       lock.l_pid == getppid());
	lock.l_type = F_WRLCK;
	lock.l_start = 100;
	tell("elsewhere", fcntl(fd, F_SETLK, &lock));
	close(fd);
	return 0;
}

void ops_locks(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 10 };
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	int second = open("f", O_RDWR);

	tell("flock", flock(fd, LOCK_EX));
	tell("fcntl", fcntl(fd, F_SETLK, &lock));
	in_child("other process", other_process);
	tell("flock of another open", flock(second, LOCK_EX | LOCK_NB));
	tell("unlock", flock(fd, LOCK_UN));
	tell("flock of another open", flock(second, LOCK_EX | LOCK_NB));
	lock.l_type = F_UNLCK;
	tell("unlock", fcntl(fd, F_SETLK, &lock));
	lock.l_type = F_WRLCK;
	lock.l_pid = 0;
	tell("of the open file", fcntl(fd, F_OFD_SETLK, &lock));
	tell("the other one", fcntl(second, F_OFD_SETLK, &lock));
	tell("lease", fcntl(fd, F_SETLEASE, F_UNLCK));
	close(fd);
	tell("after a close", fcntl(second, F_OFD_SETLK, &lock));
	close(second);
}

/* Touches a page of a mapping that the file does not have. */
static int touch_past_end(void)
{
	int fd = open("short", O_RDONLY);
	volatile char *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);

	return map[5000];
}

void ops_mmap(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	int read_only;
	char *shared, *private;

	fill(bytes, 100000, 5);
	tell("write", write(fd, bytes, 100000));
	shared = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private =
		mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (shared == MAP_FAILED || private == MAP_FAILED) {
		tell("mmap", -1);
		return;
	}
	tell("equal", memcmp(shared, bytes, 100000) == 0);
	memset(private + 50000, 'p', 100);
	memset(shared + 40000, 's', 20000);
	tell("a private page stays", private[50050] == 'p');
	tell("a shared one is seen", private[45000] == 's');
	tell("pread", pread(fd, back, 100000, 0));
	tell("equal", memcmp(shared, back, 100000) == 0);
	tell("pwrite", pwrite(fd, "written", 7, 70000));
	tell("seen", memcmp(shared + 70000, "written", 7) == 0);
	tell("msync", msync(shared, 100000, MS_SYNC));
	tell("msync", msync(shared, 100000, MS_ASYNC));
	munmap(private, 100000);
	close(fd);
	shared[0] = 'z';
	munmap(shared, 100000);
	show_contents("f");
	read_only = open("f", O_RDONLY);
	tell("to write a read-only one",
	     mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, read_only, 0) ==
			     MAP_FAILED ?
		     -1 :
		     0);
	tell("privately", mmap(NULL, 4096, PROT_WRITE, MAP_PRIVATE, read_only,
			       0) == MAP_FAILED ?
				  -1 :
				  0);
	close(read_only);
	put("short", "short");
	in_child("past the end", touch_past_end);
	tell("truncate", truncate("f", 4096));
	show_contents("f");
}

static int run_program(void)
{
	execl("./program", "program", "--exit", "42", NULL);
	return tell("exec", -1) < 0 ? 1 : 0;
}

static int run_script(void)
{
	execl("./script", "script", NULL);
	return tell("exec", -1) < 0 ? 1 : 0;
}

void ops_exec(void)
{
	int from = open("/proc/self/exe", O_RDONLY);
	int to = open("program", O_WRONLY | O_CREAT, 0755);
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)n) != n)
			tell("copy", -1);
	tell("copied", n);
	in_child("while it is open to write", run_program);
	close(to);
	close(from);
	in_child("program", run_program);
	chmod("program", 0644);
	in_child("not executable", run_program);
	put("script", "#!./program --exit\n");
	in_child("not executable", run_script);
	chmod("script", 0755);
	in_child("script of one that is not", run_script);
	put("program", "nonsense");
	chmod("program", 0755);
	in_child("nonsense", run_program);
}

void ops_statfs(void)
{
	struct statvfs fs;

	tell("statvfs", statvfs(".", &fs));
	printf("block %lu of %lu, names of %lu, files %lu\n", fs.f_frsize,
	       (unsigned long)fs.f_blocks, fs.f_namemax,
	       (unsigned long)fs.f_files);
	tell("of nothing", statvfs("no", &fs));
}

/* One object: written to a temporary name, then renamed to its own. */
static void object(unsigned int i)
{
	char name[64], text[300];
	size_t n = 40 + i % 250;
	int fd;

	fill((uint8_t *)text, n, i);
	snprintf(name, sizeof(name), "objects/%02x/obj", i % 16);
	mkdir("objects", 0755);
	name[10] = 0;
	mkdir(name, 0755);
	fd = open("objects/tmp", O_RDWR | O_CREAT | O_EXCL, 0444);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n || close(fd) < 0)
		tell("object", -1);
	snprintf(name, sizeof(name), "objects/%02x/%04x", i % 16, i % 50);
	if (rename("objects/tmp", name) < 0)
		tell(name, -1);
}

/* The index: a file under a lock, replaced by a rename, read by a mapping. */
static void write_index(unsigned int i)
{
	int fd = open("index.lock", O_RDWR | O_CREAT | O_EXCL, 0644);
	size_t n = 8192 + (size_t)i * 100;
	uint8_t *map;

	fill(bytes, n, i);
	if (fd < 0 || ftruncate(fd, (off_t)n) < 0) {
		tell("index.lock", -1);
		return;
	}
	map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		tell("mmap", -1);
		return;
	}
	memcpy(map, bytes, n);
	munmap(map, n);
	if (fsync(fd) < 0 || close(fd) < 0 || rename("index.lock", "index") < 0)
		tell("index", -1);
	fd = open("index", O_RDONLY);
	map = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED || memcmp(map, bytes, n) != 0)
		tell("the index read back", -1);
	if (map != MAP_FAILED)
		munmap(map, n);
	close(fd);
}

void ops_many(void)
{
	char name[64];
	uint64_t hash = 0;
	ssize_t n;
	int fd;

	/* Each name is written twice: the second one is renamed over it. */
	for (unsigned int i = 0; i < 100; i++) {
		object(i);
		if (i % 20 == 0)
			write_index(i);
	}
	for (unsigned int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "objects/%02x/%04x", i % 16, i);
		fd = open(name, O_RDONLY);
		n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
		if (n < 0)
			tell(name, -1);
		else
			hash = hash_of(hash, bytes, (size_t)n);
		close(fd);
	}
	printf("objects: hash %llx\n", (unsigned long long)hash);
	show_contents("index");
	show("objects/00/0000");
}
