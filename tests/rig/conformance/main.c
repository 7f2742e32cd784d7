// SPDX-License-Identifier: BSD-2-Clause
/*
 * userfault-conformance: does this kernel implement KVM userfault as its API
 * text says?
 *
 *	userfault-conformance [--list] [PATTERN...]
 *
 * Runs each case for each kind of memory, or those whose name KIND/CASE matches
 * a PATTERN of the shell's kind, and prints a line for each: `ok NAME`,
 * `not ok NAME: reason` or `skip NAME: reason`, lines that start with # being
 * remarks.  Exit status 0 if none failed, 1 if one did, 2 for a usage error.
 *
 * This file owns the table of cases and the process that each runs in: a child,
 * so that a hang or a crash is that case's failure and nothing else's.  The
 * child writes its verdict to a pipe.  A case also fails when the host kernel
 * warned while it ran.
 */
#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"

/* A case takes a second in the emulation; this one hangs. */
#define CASE_SECONDS 90

#define SYSLOG_READ_ALL	   3
#define SYSLOG_BUFFER_SIZE 10

/* Which kinds of memory a case is for. */
#define ANON  (1U << KIND_ANON)
#define MEMFD (1U << KIND_MEMFD)
#define BOTH  (ANON | MEMFD)

static const struct {
	const char *name;
	void (*run)(enum kind kind);
	unsigned int kinds;
} cases[] = {
	{ "probe", case_probe, BOTH },
	{ "read", case_read, BOTH },
	{ "write", case_write, BOTH },
	{ "fetch", case_fetch, BOTH },
	{ "crossing", case_crossing, BOTH },
	{ "walk", case_walk, BOTH },
	{ "clear-bit", case_clear_bit, BOTH },
	{ "again", case_again, BOTH },
	{ "neighbours", case_neighbours, BOTH },
	{ "neighbours-small", case_neighbours_small, BOTH },
	{ "prefault", case_prefault, BOTH },
	{ "bad-bitmap", case_bad_bitmap, BOTH },
	{ "off-on", case_off_on, BOTH },
	{ "on-later", case_on_later, BOTH },
	{ "same-flags", case_same_flags, BOTH },
	{ "set-bit-late", case_set_bit_late, BOTH },
	{ "fixed", case_fixed, MEMFD },
	{ "binding", case_binding, MEMFD },
	{ "recreate", case_recreate, BOTH },
	{ "closed", case_closed, MEMFD },
	{ "read-only", case_read_only, ANON },
	{ "move", case_move, ANON },
	{ "dirty-then-userfault", case_dirty_then_userfault, ANON },
	{ "userfault-then-dirty", case_userfault_then_dirty, ANON },
	{ "dirty-together", case_dirty_together, ANON },
	{ "dirty-off-first", case_dirty_off_first, ANON },
	{ "userfault-off-first", case_userfault_off_first, ANON },
	{ "large-pages", case_large_pages, ANON },
	{ "large-pages-after-dirty", case_large_pages_after_dirty, ANON },
	{ "race", case_race, BOTH },
	{ "publish", case_publish, BOTH },
	{ "toggle", case_toggle, BOTH },
	{ "toggle-held", case_toggle_held, BOTH },
};
#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

static const char *const kind_names[KINDS] = { "anon", "memfd" };

/* In a child: the pipe to the parent.  Set once, before the case starts. */
static int verdict_fd = -1;

/* Send "VERDICT REASON" to the parent. */
static void verdict(const char *word, const char *fmt, va_list ap)
{
	char text[600];
	int n = snprintf(text, sizeof(text), "%s ", word);

	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	if (write(verdict_fd, text, strlen(text) + 1) < 0)
		_exit(3);
}

void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	verdict("fail", fmt, ap);
	_exit(1);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	verdict("skip", fmt, ap);
	_exit(0);
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	verdict("note", fmt, ap);
	va_end(ap);
}

bool kvm_param(const char *name, bool absent)
{
	static const char *const modules[] = { "kvm", "kvm_amd", "kvm_intel" };
	char path[100], value = 0;
	size_t i;

	for (i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s",
			 modules[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, &value, 1) != 1)
			value = 0;
		close(fd);
		/* Both vendors may be built in; only one has the hardware. */
		if (value == 'N' || value == '0')
			return false;
		absent = true;
	}
	return absent;
}

/* How many warnings the kernel's log holds, -1 if it cannot be read. */
static int kernel_warnings(void)
{
	int bytes = klogctl(SYSLOG_BUFFER_SIZE, NULL, 0), n = 0;
	char *log, *p;

	if (bytes <= 0 || !(log = malloc((size_t)bytes + 1)))
		return -1;
	bytes = klogctl(SYSLOG_READ_ALL, log, bytes);
	if (bytes < 0) {
		free(log);
		return -1;
	}
	log[bytes] = '\0';
	for (p = log; (p = strstr(p, "cut here")); p++)
		n++;
	free(log);
	return n;
}

/*
 * Let the kernel print again what it warns of only once, so that a warning is
 * laid to each case that causes it and not to the first alone.  Without
 * debugfs only the first case gets it.
 */
static void kernel_warn_again(void)
{
	static const char dir[] = "/sys/kernel/debug";
	static const char path[] = "/sys/kernel/debug/clear_warn_once";
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && !mount("debugfs", dir, "debugfs", 0, NULL))
		fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		perror(path);
	close(fd);
}

/* Read what the child says until it ends or its time is over. */
static void child_listen(int fd, char *text, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	time_t end = time(NULL) + CASE_SECONDS;
	size_t have = 0;

	while (have + 1 < size) {
		time_t left = end - time(NULL);
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left * 1000) <= 0) {
			snprintf(text + have, size - have,
				 "fail no end after %d s", CASE_SECONDS);
			return;
		}
		n = read(fd, text + have, size - have - 1);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	text[have] = '\0';
}

/*
 * Run one case in a child, and keep what it says in `text`: strings that follow
 * each other, then an empty one.  Returns false if fork(2) failed.
 */
static bool child_run(size_t i, enum kind kind, char *text, size_t size)
{
	int status, fds[2];
	pid_t pid;

	memset(text, 0, size);
	if (pipe(fds))
		return false;
	pid = fork();
	if (pid < 0)
		return false;
	if (pid == 0) {
		close(fds[0]);
		verdict_fd = fds[1];
		cases[i].run(kind);
		_exit(0);
	}
	close(fds[1]);
	child_listen(fds[0], text, size - 1);
	close(fds[0]);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return false;
	/* A child that has said all may meet our signal on its way out. */
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		memset(text, 0, size);
		snprintf(text, size, "fail the case ended by signal %d",
			 WTERMSIG(status));
	}
	return true;
}

/* Run one case, and print what came of it; true unless it failed. */
static bool case_run(size_t i, enum kind kind)
{
	char name[80], text[4000], *said = text;
	const char *why = NULL;
	bool skipped;
	int before;

	snprintf(name, sizeof(name), "%s/%s", kind_names[kind], cases[i].name);
	kernel_warn_again();
	before = kernel_warnings();
	if (!child_run(i, kind, text, sizeof(text)))
		why = "fail no process for the case";

	/* The last that is no note is the verdict. */
	for (; *said; said += strlen(said) + 1) {
		if (!strncmp(said, "note ", 5))
			printf("# %s: %s\n", name, said + 5);
		else
			why = said;
	}
	if (kernel_warnings() > before)
		why = "fail the host kernel warned: see dmesg";
	skipped = why && !strncmp(why, "skip ", 5);
	if (!why)
		printf("ok %s\n", name);
	else
		printf("%s %s: %s\n", skipped ? "skip" : "not ok", name,
		       why + 5);
	fflush(stdout);
	return !why || skipped;
}

/* Whether a name is asked for. */
static bool wanted(const char *kind, const char *name, char **patterns)
{
	char full[80];

	snprintf(full, sizeof(full), "%s/%s", kind, name);
	for (char **p = patterns; *p; p++)
		if (!fnmatch(*p, full, 0))
			return true;
	return !*patterns;
}

int main(int argc, char **argv)
{
	unsigned int failed = 0, run = 0;
	bool list = argc > 1 && !strcmp(argv[1], "--list");

	argv += 1 + list;
	if (*argv && **argv == '-') {
		fprintf(stderr,
			"usage: userfault-conformance [--list] [PATTERN...]\n");
		return 2;
	}
	if (kernel_warnings() < 0)
		printf("# the kernel's log cannot be read: its warnings go unseen\n");
	for (int k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < CASE_COUNT; i++) {
			if (!(cases[i].kinds & 1U << k) ||
			    !wanted(kind_names[k], cases[i].name, argv))
				continue;
			run++;
			if (list)
				printf("%s/%s\n", kind_names[k], cases[i].name);
			else if (!case_run(i, (enum kind)k))
				failed++;
		}
	}
	if (!run) {
		fprintf(stderr,
			"userfault-conformance: no case of that name\n");
		return 2;
	}
	if (!list)
		printf("# %u cases, %u failed\n", run, failed);
	return failed ? 1 : 0;
}
