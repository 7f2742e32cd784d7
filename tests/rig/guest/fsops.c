// SPDX-License-Identifier: BSD-2-Clause
/*
 * fsops DIR - runs every operation of a file system in the new directory DIR and
 * prints what each returned.  Run on a share and on the host's own file system,
 * it prints the same.
 *
 * fsops --exit N - ends with status N: what it runs as a program of the share.
 */
#include "fsops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

long tell(const char *what, long result)
{
	if (result < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %ld\n", what, result);
	return result;
}

int tell_fd(const char *what, int fd)
{
	tell(what, fd < 0 ? -1 : 0);
	return fd;
}

void tell_open(const char *what, int fd)
{
	if (tell_fd(what, fd) >= 0)
		close(fd);
}

void show(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		tell(path, -1);
		return;
	}
	printf("%s: mode %o links %lu owner %u:%u", path, st.st_mode,
	       (unsigned long)st.st_nlink, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		printf(" size %lld", (long long)st.st_size);
	printf("\n");
}

uint64_t hash_of(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	if (!hash)
		hash = 0xcbf29ce484222325;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

void show_contents(const char *path)
{
	static char buffer[65536];
	int fd = open(path, O_RDONLY);
	uint64_t hash = 0;
	long size = 0;
	ssize_t n;

	if (fd < 0) {
		tell(path, -1);
		return;
	}
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		hash = hash_of(hash, buffer, (size_t)n);
		size += n;
	}
	if (n < 0)
		tell(path, -1);
	printf("%s: %ld bytes, hash %llx\n", path, size,
	       (unsigned long long)hash);
	close(fd);
}

void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    close(fd) < 0)
		tell(path, -1);
}

void fill(uint8_t *bytes, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = (uint8_t)(seed >> 16);
	}
}

void in_child(const char *what, int (*fn)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		status = fn();
		fflush(stdout);
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		tell(what, -1);
	else if (WIFSIGNALED(status))
		printf("%s: signal %d\n", what, WTERMSIG(status));
	else
		printf("%s: status %d\n", what, WEXITSTATUS(status));
}

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "names", ops_names },	  { "open", ops_open },
	{ "attr", ops_attr },	  { "links", ops_links },
	{ "nodes", ops_nodes },	  { "rename", ops_rename },
	{ "dirs", ops_dirs },	  { "users", ops_users },
	{ "io", ops_io },	  { "space", ops_space },
	{ "xattr", ops_xattr },	  { "locks", ops_locks },
	{ "mmap", ops_mmap },	  { "exec", ops_exec },
	{ "statfs", ops_statfs }, { "many", ops_many },
};

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--exit"))
		return atoi(argv[2]); // NOLINT(cert-err34-c)
	umask(022);
	if (argc != 2 || mkdir(argv[1], 0755) < 0 || chdir(argv[1]) < 0) {
		perror("fsops: a new directory");
		return 1;
	}
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		printf("== %s\n", groups[i].name);
		if (mkdir(groups[i].name, 0755) < 0 ||
		    chdir(groups[i].name) < 0) {
			tell(groups[i].name, -1);
			continue;
		}
		groups[i].run();
		if (chdir("..") < 0)
			tell("the way back", -1);
	}
	printf("== end\n");
	return fflush(stdout) ? 1 : 0;
}
