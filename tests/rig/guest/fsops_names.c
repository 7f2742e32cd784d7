// SPDX-License-Identifier: BSD-2-Clause
/*
 * The operations on names: creation, links, renames, directories, attributes,
 * and who may do what.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fsops.h"

void ops_names(void)
{
	char name[300], deep[800] = ".";
	struct stat a, b;

	tell("mkdir", mkdir("d", 0755));
	tell("mkdir again", mkdir("d", 0755));
	tell("mkdir in nothing", mkdir("no/d", 0755));
	put("f", "file");
	tell("mkdir in a file", mkdir("f/d", 0755));
	tell("stat of nothing", stat("no", &a));
	tell("stat through a file", stat("f/x", &a));
	tell("stat f/", stat("f/", &a));
	memset(name, 'n', sizeof(name));
	name[255] = 0;
	put(name, "long");
	tell("a name of 255", access(name, F_OK));
	tell("unlink it", unlink(name));
	name[255] = 'n';
	name[256] = 0;
	tell("a name of 256", access(name, F_OK));
	tell_open("create it", open(name, O_CREAT | O_WRONLY, 0644));
	put("\xff\x01 \n\\", "odd");
	tell("an odd name", access("\xff\x01 \n\\", F_OK));
	tell("unlink it", unlink("\xff\x01 \n\\"));
	for (int i = 0; i < 60; i++) {
		strcat(deep, "/deep");
		if (mkdir(deep, 0700) < 0)
			tell("mkdir, deep", -1);
	}
	tell("stat deep", stat(deep, &a));
	strcat(deep, "/../..");
	tell("stat deep/../..", stat(deep, &b));
	tell("links of deep/../..", (long)b.st_nlink);
	tell("rmdir of one that is not empty", rmdir("deep"));
	tell("rmdir of a file", rmdir("f"));
	tell("unlink of a directory", unlink("d"));
	tell("rmdir .", rmdir("d/."));
	tell("rmdir ..", rmdir("d/.."));
	tell("rmdir", rmdir("d"));
	tell("rmdir again", rmdir("d"));
	tell("unlink", unlink("f"));
	tell("unlink again", unlink("f"));
	tell("mkdir cwd", mkdir("cwd", 0755));
	tell("chdir", chdir("cwd"));
	tell("rmdir the working directory", rmdir("../cwd"));
	tell_open("create in it", open("x", O_CREAT | O_WRONLY, 0644));
	tell("getcwd", getcwd(name, sizeof(name)) ? 0 : -1);
}

/* Files without a name, which gets one. */
static void temporary_files(void)
{
	char path[64];
	struct stat st;
	int fd;

	fd = tell_fd("tmpfile", open(".", O_TMPFILE | O_RDWR, 0640));
	tell("write", write(fd, "temporary", 9));
	tell("fstat", fstat(fd, &st));
	tell("links", (long)st.st_nlink);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	tell("linkat",
	     linkat(AT_FDCWD, path, AT_FDCWD, "tmp", AT_SYMLINK_FOLLOW));
	close(fd);
	show("tmp");
	show_contents("tmp");
	fd = tell_fd("tmpfile, O_EXCL",
		     open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
	close(fd);
}

/* A file whose name is removed while it is open. */
static void unlinked_file(void)
{
	int fd, other;
	char buffer[16];
	struct stat st;

	put("gone", "still here");
	fd = tell_fd("open", open("gone", O_RDWR));
	other = tell_fd("open again", open("gone", O_RDONLY));
	tell("unlink", unlink("gone"));
	tell("pwrite", pwrite(fd, "STILL", 5, 0));
	tell("pread", pread(other, buffer, 10, 0));
	printf("%.10s\n", buffer);
	tell("fstat", fstat(other, &st));
	tell("links", (long)st.st_nlink);
	tell("ftruncate", ftruncate(fd, 3));
	tell("fchmod", fchmod(fd, 0600));
	tell("fstat", fstat(other, &st));
	tell("size", (long)st.st_size);
	tell("mode", (long)st.st_mode);
	close(fd);
	close(other);
	show("gone");
}

void ops_open(void)
{
	int fd;
	char buffer[16];

	tell_open("open nothing", open("f", O_RDWR));
	tell_open("create", open("f", O_RDWR | O_CREAT | O_EXCL, 0666));
	show("f");
	tell_open("create again", open("f", O_RDWR | O_CREAT | O_EXCL, 0666));
	put("f", "0123456789");
	tell_open("as a directory", open("f", O_RDONLY | O_DIRECTORY));
	tell_open("a directory to write", open(".", O_WRONLY));
	tell_open("create a directory's name",
		  open("..", O_RDWR | O_CREAT, 0644));
	fd = tell_fd("append", open("f", O_RDWR | O_APPEND));
	tell("pwrite", pwrite(fd, "ab", 2, 0));
	tell("write", write(fd, "cd", 2));
	close(fd);
	show_contents("f");
	fd = tell_fd("write only", open("f", O_WRONLY));
	tell("read", read(fd, buffer, 1));
	close(fd);
	fd = tell_fd("read only", open("f", O_RDONLY));
	tell("write", write(fd, "x", 1));
	tell("ftruncate", ftruncate(fd, 1));
	close(fd);
	tell_open("truncate", open("f", O_WRONLY | O_TRUNC));
	show("f");
	if (symlink("f", "link") < 0)
		tell("symlink", -1);
	tell_open("a link", open("link", O_RDONLY | O_NOFOLLOW));
	fd = tell_fd("its O_PATH", open("link", O_PATH | O_NOFOLLOW));
	tell("readlinkat", readlinkat(fd, "", buffer, sizeof(buffer)));
	close(fd);
	tell_open("create through a link",
		  open("link", O_RDWR | O_CREAT | O_EXCL, 0644));
	temporary_files();
	unlinked_file();
}

/* Reports both times of a file, which have been set. */
static void show_times(const char *path)
{
	struct stat st;

	if (tell("lstat", lstat(path, &st)) == 0)
		printf("%s: atime %lld.%09ld mtime %lld.%09ld\n", path,
		       (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
		       (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void times(void)
{
	struct timespec t[2] = { { 1000000001, 123456789 },
				 { 2000000002, 987654321 } };
	struct timespec pause = { 0, 20000000 };
	struct stat before, after;

	tell("utimensat", utimensat(AT_FDCWD, "f", t, 0));
	show_times("f");
	t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_sec = 5;
	tell("only mtime", utimensat(AT_FDCWD, "f", t, 0));
	show_times("f");
	t[0].tv_nsec = 7;
	tell("of a link", utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	show_times("l");
	tell("of a directory", utimensat(AT_FDCWD, "d", t, 0));
	show_times("d");
	stat("d", &before);
	put("d/new", "");
	stat("d", &after);
	tell("a new entry changes the mtime",
	     after.st_mtim.tv_sec > before.st_mtim.tv_sec);
	tell("now", utimensat(AT_FDCWD, "f", NULL, 0));
	stat("f", &before);
	nanosleep(&pause, NULL);
	tell("chmod", chmod("f", 0604));
	stat("f", &after);
	tell("ctime changed",
	     before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
		     before.st_ctim.tv_nsec != after.st_ctim.tv_nsec);
	tell("mtime changed",
	     before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
		     before.st_mtim.tv_nsec != after.st_mtim.tv_nsec);
}

void ops_attr(void)
{
	int fd;

	put("f", "0123456789");
	mkdir("d", 0755);
	if (symlink("f", "l") < 0)
		tell("symlink", -1);
	tell("chmod", chmod("f", 04751));
	show("f");
	tell("chown", chown("f", 1000, 1001));
	show("f");
	tell("chmod", chmod("f", 06755));
	tell("only the group", chown("f", -1, 1002));
	show("f");
	tell("lchown", lchown("l", 1000, 1000));
	show("l");
	tell("chmod of a directory", chmod("d", 03777));
	tell("chown of it", chown("d", 1000, 1000));
	show("d");
	tell("truncate, shorter", truncate("f", 4));
	show_contents("f");
	tell("truncate, longer", truncate("f", 10000));
	show_contents("f");
	tell("truncate, negative", truncate("f", -1));
	tell("truncate a directory", truncate("d", 0));
	tell("truncate, sparse", truncate("f", 1LL << 33));
	show("f");
	tell("truncate", truncate("f", 0));
	fd = open("f", O_RDWR);
	tell("ftruncate", ftruncate(fd, 77));
	tell("fchmod", fchmod(fd, 0640));
	tell("fchown", fchown(fd, 0, 0));
	close(fd);
	show("f");
	umask(077);
	tell_open("create under umask 077", open("u", O_CREAT | O_RDWR, 0666));
	tell("mkdir", mkdir("ud", 0777));
	umask(022);
	show("u");
	show("ud");
	tell("access", access("f", R_OK | W_OK));
	tell("access to run", access("f", X_OK));
	times();
}

void ops_links(void)
{
	static char target[5000];
	char buffer[5000];
	struct stat a, b;

	put("f", "linked");
	tell("link", link("f", "hard"));
	show("f");
	stat("f", &a);
	stat("hard", &b);
	tell("one inode", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	put("hard", "changed");
	show_contents("f");
	tell("link over a file", link("f", "hard"));
	mkdir("d", 0755);
	tell("link of a directory", link("d", "d2"));
	tell("link of nothing", link("no", "d2"));
	tell("unlink", unlink("f"));
	show("hard");
	tell("symlink", symlink("hard", "s"));
	tell("symlink again", symlink("hard", "s"));
	show("s");
	show_contents("s");
	memset(buffer, 0, sizeof(buffer));
	tell("readlink", readlink("s", buffer, sizeof(buffer)));
	printf("%s\n", buffer);
	tell("readlink, short", readlink("s", buffer, 2));
	tell("readlink of a file", readlink("hard", buffer, sizeof(buffer)));
	tell("symlink to nothing", symlink("no/such", "dangling"));
	tell_open("open it", open("dangling", O_RDONLY));
	tell("symlink to itself", symlink("loop", "loop"));
	tell_open("open it", open("loop", O_RDONLY));
	memset(target, 't', 4094);
	tell("symlink of 4094", symlink(target, "long"));
	tell("readlink", readlink("long", buffer, sizeof(buffer)));
	tell("hash", hash_of(0, buffer, 4094) == hash_of(0, target, 4094));
	memset(target, 't', 4096);
	tell("symlink of 4096", symlink(target, "longer"));
	tell("symlink of nothing", symlink("", "empty"));
	tell("link to a symlink", link("s", "s2"));
	show("s2");
	tell("symlink up", symlink("../links/hard", "up"));
	show_contents("up");
	tell("symlink to /proc", symlink("/proc/self/stat", "out"));
	tell_open("open it", open("out", O_RDONLY));
}

/* One message through a socket whose name is here. */
static void sockets(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	int to = socket(AF_UNIX, SOCK_DGRAM, 0);
	char buffer[8] = "";

	tell("bind", bind(fd, (struct sockaddr *)&at, sizeof(at)));
	show("sock");
	tell("connect", connect(to, (struct sockaddr *)&at, sizeof(at)));
	tell("send", send(to, "hello", 5, 0));
	tell("recv", recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT));
	tell("bind again", bind(to, (struct sockaddr *)&at, sizeof(at)));
	close(fd);
	close(to);
	tell_open("open the socket", open("sock", O_RDWR));
}

void ops_nodes(void)
{
	char buffer[8] = "";
	int from, to;

	tell("mknod, regular", mknod("reg", S_IFREG | 0640, 0));
	show("reg");
	tell("mknod again", mknod("reg", S_IFREG | 0640, 0));
	tell("mkfifo", mkfifo("fifo", 0620));
	show("fifo");
	from = tell_fd("read end", open("fifo", O_RDONLY | O_NONBLOCK));
	to = tell_fd("write end", open("fifo", O_WRONLY | O_NONBLOCK));
	tell("write", write(to, "through", 7));
	tell("read", read(from, buffer, sizeof(buffer)));
	printf("%s\n", buffer);
	close(from);
	close(to);
	tell_open("without a reader", open("fifo", O_WRONLY | O_NONBLOCK));
	tell("mknod, socket", mknod("node", S_IFSOCK | 0600, 0));
	show("node");
	sockets();
	tell("unlink fifo", unlink("fifo"));
	tell("unlink sock", unlink("sock"));
}

static long exchange(const char *a, const char *b)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static long no_replace(const char *a, const char *b)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE);
}

void ops_rename(void)
{
	char buffer[8] = "";
	int fd, moved;
	struct stat st;

	put("a", "A");
	put("b", "B");
	fd = open("b", O_RDONLY);
	tell("over a file", rename("a", "b"));
	show_contents("b");
	show("a");
	tell("the old one reads", read(fd, buffer, sizeof(buffer)));
	fstat(fd, &st);
	printf("%s, %lu links\n", buffer, (unsigned long)st.st_nlink);
	close(fd);
	tell("of nothing", rename("a", "c"));
	mkdir("d", 0755);
	mkdir("e", 0755);
	put("e/f", "full");
	tell("a file over a directory", rename("b", "d"));
	tell("a directory over a file", rename("d", "b"));
	tell("over a full directory", rename("d", "e"));
	tell("over an empty one", rename("e", "d"));
	show_contents("d/f");
	tell("into itself", rename("d", "d/sub"));
	tell("into its parent's name", rename("d/f", "d"));
	tell("to itself", rename("b", "b"));
	link("b", "b2");
	tell("over a link of itself", rename("b", "b2"));
	show("b");
	put("c", "C");
	tell("no replace", no_replace("c", "b"));
	tell("no replace, free", no_replace("c", "free"));
	show_contents("free");
	tell("exchange", exchange("free", "d"));
	show_contents("d");
	show_contents("free/f");
	tell("exchange with nothing", exchange("free", "nothing"));
	tell("both", renameat2(AT_FDCWD, "d", AT_FDCWD, "free",
			       RENAME_EXCHANGE | RENAME_NOREPLACE));
	mkdir("g", 0755);
	moved = open("free", O_RDONLY | O_DIRECTORY);
	tell("to another directory", rename("free", "g/free"));
	tell_open("openat", openat(moved, "f", O_RDONLY));
	tell_open("openat ..", openat(moved, "../../b", O_RDONLY));
	tell("fstatat", fstatat(moved, "../free/f", &st, 0));
	close(moved);
	if (symlink("nowhere", "s") < 0)
		tell("symlink", -1);
	tell("of a symlink", rename("s", "g/s"));
	show("g/s");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The names and types in a directory, sorted and hashed. */
static void list(const char *path, int stat_them)
{
	static char names[4096][32];
	size_t count = 0;
	uint64_t hash = 0;
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(path);

	if (!d) {
		tell(path, -1);
		return;
	}
	while ((e = readdir(d)) && count < 4096) {
		if (stat_them &&
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			tell(e->d_name, -1);
		else if (stat_them && strcmp(e->d_name, "..") != 0 &&
			 e->d_ino != st.st_ino)
			printf("%s: another inode\n", e->d_name);
		snprintf(names[count++], sizeof(names[0]), "%.20s %d",
			 e->d_name, e->d_type);
	}
	closedir(d);
	qsort(names, count, sizeof(names[0]), by_name);
	for (size_t i = 0; i < count; i++)
		hash = hash_of(hash, names[i], strlen(names[i]));
	printf("%s: %zu entries, hash %llx\n", path, count,
	       (unsigned long long)hash);
}

/* Removes all files of a directory while it is read. */
static void remove_while_reading(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	long count = 0;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		count += unlinkat(dirfd(d), e->d_name, 0) == 0;
	}
	tell("removed", count);
	if (d)
		closedir(d);
	list(path, 0);
}

/* Goes back to a place in a directory. */
static void seek_dir(const char *path)
{
	DIR *d = opendir(path);
	char name[256] = "";
	struct dirent *e;
	long at = 0;

	if (!d) {
		tell(path, -1);
		return;
	}
	for (int i = 0; i < 100 && readdir(d); i++)
		at = telldir(d);
	e = readdir(d);
	if (e)
		snprintf(name, sizeof(name), "%s", e->d_name);
	while (readdir(d))
		;
	seekdir(d, at);
	e = readdir(d);
	tell("seekdir", e && !strcmp(e->d_name, name));
	rewinddir(d);
	tell("rewinddir", readdir(d) != NULL);
	closedir(d);
}

void ops_dirs(void)
{
	char name[32];
	int fd;

	mkdir("d", 0755);
	list("d", 1);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "d/entry-%d", i);
		put(name, name);
	}
	mkdir("d/dir", 0755);
	mkfifo("d/fifo", 0600);
	if (symlink("x", "d/symlink") < 0)
		tell("symlink", -1);
	list("d", 0);
	list("d", 1);
	seek_dir("d");
	fd = open("d", O_RDONLY | O_DIRECTORY);
	tell("fsync", fsync(fd));
	tell("fdatasync", fdatasync(fd));
	tell("read", read(fd, name, sizeof(name)));
	close(fd);
	tell("opendir of a file", opendir("d/entry-0") ? 0 : -1);
	rmdir("d/dir");
	remove_while_reading("d");
	tell("rmdir", rmdir("d"));
}

/* What a user without rights may do: run as 1000:1000. */
static int as_user(void)
{
	struct stat st;

	if (setgroups(0, NULL) < 0 || setgid(1000) < 0 || setuid(1000) < 0)
		return tell("setuid", -1) < 0;
	tell_open("create in a public directory",
		  open("public/mine", O_RDWR | O_CREAT, 0666));
	show("public/mine");
	tell("mkdir", mkdir("public/dir", 0755));
	show("public/dir");
	tell("symlink", symlink("x", "public/link"));
	show("public/link");
	tell("mkfifo", mkfifo("public/fifo", 0644));
	show("public/fifo");
	tell_open("create elsewhere", open("new", O_RDWR | O_CREAT, 0666));
	tell_open("read a private file", open("private", O_RDONLY));
	tell_open("write a readable file", open("readable", O_WRONLY));
	tell_open("read it", open("readable", O_RDONLY));
	tell("chmod it", chmod("readable", 0666));
	tell("chown mine", chown("public/mine", 0, 0));
	tell("truncate it", truncate("readable", 0));
	tell("utime of it", utimensat(AT_FDCWD, "readable", NULL, 0));
	tell("look into a private directory", stat("hidden/f", &st));
	tell("unlink root's in a sticky directory", unlink("sticky/root"));
	tell("rename it", rename("sticky/root", "sticky/moved"));
	tell("unlink root's in a public one", unlink("public/root"));
	tell("access", access("private", R_OK));
	tell("access", access("readable", R_OK));
	tell("access", access("readable", W_OK));
	tell("chmod mine", chmod("public/mine", 04755));
	show("public/mine");
	put("group/mine", "x");
	show("group/mine");
	tell("mkdir", mkdir("group/dir", 0755));
	show("group/dir");
	put("setid", "written");
	show("setid");
	tell("mkdir in a directory of mode 555", mkdir("closed/d", 0755));
	return 0;
}

void ops_users(void)
{
	put("private", "p");
	chmod("private", 0600);
	put("readable", "r");
	mkdir("hidden", 0700);
	put("hidden/f", "h");
	mkdir("public", 0777);
	chmod("public", 0777);
	put("public/root", "r");
	mkdir("sticky", 0755);
	chmod("sticky", 01777);
	put("sticky/root", "r");
	mkdir("group", 0755);
	tell("chown", chown("group", -1, 2000));
	tell("chmod", chmod("group", 02777));
	put("setid", "x");
	tell("chmod", chmod("setid", 06777));
	mkdir("closed", 0555);
	in_child("user", as_user);
	tell("root creates in a closed directory", mkdir("closed/d", 0755));
	show("private");
	show("readable");
	show("group/mine");
}
