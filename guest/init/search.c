/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/search.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

/* Whether the file's first bytes are text: POSIX's test for a shell script. */
static bool is_text(const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char start[128];
	ssize_t bytes = fd < 0 ? -1 : read(fd, start, sizeof(start));

	return bytes >= 0 && !memchr(start, '\0', (size_t)bytes);
}

/* Executes /bin/sh with the file and the other arguments. */
static void exec_script(const char *path, char *const argv[], char *const env[])
{
	size_t count = 0;
	char **args;

	while (argv[count])
		count++;
	args = calloc(count + 2, sizeof(*args));
	if (!args)
		return;
	args[0] = (char *)"sh";
	args[1] = (char *)path;
	for (size_t i = 1; i < count; i++)
		args[i + 1] = argv[i];
	execve("/bin/sh", args, env);
	free(args);
}

static int exec_file(const char *path, char *const argv[], char *const env[])
{
	execve(path, argv, env);
	if (errno == ENOEXEC && is_text(path)) {
		exec_script(path, argv, env);
		errno = ENOEXEC;
	}
	return -errno;
}

static const char *find_path(char *const env[])
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return NULL;
}

/* Whether the search goes on with the next directory. */
static bool is_missing(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -EACCES ||
	       err == -ENODEV || err == -ESTALE || err == -ENAMETOOLONG;
}

int search_exec(char *const argv[], char *const env[])
{
	const char *path = find_path(env), *name = argv[0], *end;
	int result = -ENOENT, err;
	char file[PATH_MAX];

	if (strchr(name, '/'))
		return exec_file(name, argv, env);
	for (; *name && path; path = *end ? end + 1 : NULL) {
		end = path + strcspn(path, ":");
		/* An empty entry is the current directory. */
		if (snprintf(file, sizeof(file), "%.*s%s%s", (int)(end - path),
			     path, end > path ? "/" : "",
			     name) >= (int)sizeof(file))
			continue;
		err = exec_file(file, argv, env);
		if (!is_missing(err))
			return err;
		if (err == -EACCES)
			result = err;
	}
	return result;
}
