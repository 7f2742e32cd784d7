/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command of a request as an ordinary process: exit codes, signals, errors
 * of execve(), descriptors, terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/command.h"
#include "guest/init/protocol.h"
#include "vmm/base/bytes.h"

#define PATH_OF_TESTS "PATH=/nonexistent:/usr/bin:/bin"

/* What one run gives. */
struct result {
	int started; /* of command_started() */
	bool before_exec;
	int status;
	char out[4096];
	char err[4096];
};

static struct request request_of(char **argv)
{
	static char *env[] = { (char *)PATH_OF_TESTS, (char *)"LC_ALL=C",
			       NULL };
	struct request r = {
		.argv = argv,
		.env = env,
		.env_count = 2,
		.cwd = (char *)"/",
		.uid = getuid(),
		.gid = getgid(),
		.umask = 022,
	};

	while (argv[r.argc])
		r.argc++;
	return r;
}

/* Reads to the end of a descriptor, which does not block, and closes it. */
static void slurp(int fd, char *text, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t have = 0;
	ssize_t bytes = 1;

	while (fd >= 0 && bytes > 0 && have < size - 1) {
		poll(&p, 1, -1);
		bytes = read(fd, text + have, size - 1 - have);
		have += bytes > 0 ? (size_t)bytes : 0;
	}
	text[have] = '\0';
	if (fd >= 0)
		close(fd);
}

static int wait_started(struct command *c, struct failure *f, bool *before_exec)
{
	struct pollfd p = { .fd = c->start_fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, -1), 1);
	return command_started(c, f, before_exec);
}

/* Runs the request with @input; stdout is read before stderr. */
static void run(const struct request *r, const char *input,
		struct result *result)
{
	struct command c;
	struct failure f;

	*result = (struct result){ 0 };
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(command_start(&c, r, &f), 0);
	result->started = wait_started(&c, &f, &result->before_exec);
	if (c.in_fd >= 0 && *input)
		(void)!write(c.in_fd, input, strlen(input));
	if (c.pty_fd < 0 && c.in_fd >= 0)
		close(c.in_fd);
	if (c.pty_fd >= 0) {
		/* The pty's end is that of its last user. */
		close(c.slave_fd);
		c.slave_fd = -1;
	}
	slurp(c.out_fd, result->out, sizeof(result->out));
	slurp(c.err_fd, result->err, sizeof(result->err));
	if (c.pty_fd >= 0)
		close(c.in_fd);
	assert_int_equal(waitpid(c.pid, &result->status, 0), c.pid);
	command_finish(&c);
	if (result->started < 0)
		snprintf(result->err, sizeof(result->err), "%s", f.what);
}

static void run_shell(const char *script, const char *input, uint32_t flags,
		      struct result *result)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	struct request r = request_of(argv);

	r.flags = flags;
	r.rows = 33;
	r.cols = 144;
	run(&r, input, result);
	assert_int_equal(result->started, 1);
}

static void exit_codes(void **state)
{
	struct result result;
	char script[20];

	(void)state;
	for (int code = 0; code < 256; code++) {
		snprintf(script, sizeof(script), "exit %d", code);
		run_shell(script, "", 0, &result);
		assert_true(WIFEXITED(result.status));
		assert_int_equal(WEXITSTATUS(result.status), code);
	}
}

/* Each signal that ends a process does, also one the caller blocks. */
static void signals(void **state)
{
	static const int ignored[] = { SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP,
				       SIGTTIN, SIGTTOU, SIGURG,  SIGWINCH };
	char *argv[] = { (char *)"sleep", (char *)"1000", NULL };
	struct request r = request_of(argv);
	sigset_t all, old;

	(void)state;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	for (int number = 1; number < 32; number++) {
		struct command c;
		struct failure f;
		bool before, skipped = false;
		int status;

		for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
			skipped = skipped || ignored[i] == number;
		if (skipped)
			continue;
		assert_int_equal(command_start(&c, &r, &f), 0);
		assert_int_equal(wait_started(&c, &f, &before), 1);
		command_signal(&c, number);
		assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), number);
		close(c.in_fd);
		close(c.out_fd);
		close(c.err_fd);
		command_finish(&c);
		command_signal(&c, number); /* too late: nothing */
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* A signal reaches the children of the command too. */
static void signal_of_group(void **state)
{
	char *argv[] = { (char *)"sh", (char *)"-c",
			 (char *)"trap 'echo parent' TERM; echo ready; "
				 "sleep 1000; exit 7",
			 NULL };
	struct request r = request_of(argv);
	struct command c;
	struct failure f;
	char out[100], more[100];
	struct pollfd p = { .events = POLLIN };
	size_t len = 0;
	ssize_t n;
	int status;
	bool before;

	(void)state;
	assert_int_equal(command_start(&c, &r, &f), 0);
	assert_int_equal(wait_started(&c, &f, &before), 1);
	p.fd = c.out_fd;
	poll(&p, 1, -1);
	assert_int_equal(read(c.out_fd, out, sizeof(out)), 6);
	/* Until the end: a signal may come before the shell has started sleep. */
	do {
		command_signal(&c, SIGTERM);
		n = poll(&p, 1, 100) ? read(c.out_fd, more, sizeof(more)) : 1;
		if (n > 1 && len == 0)
			memcpy(out, more, len = (size_t)n);
	} while (n > 0);
	assert_true(len >= 7);
	assert_int_equal(strncmp(out, "parent\n", 7), 0);
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	close(c.in_fd);
	close(c.err_fd);
	command_finish(&c);
}

static void streams(void **state)
{
	struct result result;

	(void)state;
	run_shell("cat; echo bad >&2", "one\ntwo", 0, &result);
	assert_string_equal(result.out, "one\ntwo");
	assert_string_equal(result.err, "bad\n");
	/* Also by name. */
	run_shell("echo good >/proc/self/fd/1; echo bad >/proc/self/fd/2", "",
		  0, &result);
	assert_string_equal(result.out, "good\n");
	assert_string_equal(result.err, "bad\n");
}

static void closed_stdin(void **state)
{
	struct result result;

	(void)state;
	run_shell("[ -e /proc/$$/fd/0 ] || echo none", "", REQUEST_STDIN_CLOSED,
		  &result);
	assert_string_equal(result.out, "none\n");
}

/* The command has no other end of its pipes than descriptors 0 to 2. */
static void no_leaks(void **state)
{
	struct result result;

	(void)state;
	run_shell("for i in 0 1 2; do pipe=$(readlink /proc/$$/fd/$i); "
		  "for f in /proc/$$/fd/*; do "
		  "[ \"$(readlink $f)\" != $pipe ] || echo $i ${f##*/}; "
		  "done; done",
		  "", 0, &result);
	assert_string_equal(result.out, "0 0\n1 1\n2 2\n");
}

static void environment(void **state)
{
	char *argv[] = { (char *)"sh",
			 (char *)"-c",
			 (char *)"echo $A$B; umask; pwd; echo \"$1|$2|$3\"",
			 (char *)"sh",
			 (char *)"a\nb",
			 (char *)"",
			 (char *)"'\"\\",
			 NULL };
	char *env[] = { (char *)PATH_OF_TESTS, (char *)"A=x y", NULL };
	struct request r = request_of(argv);
	struct result result;

	(void)state;
	assert_int_equal(setenv("B", "of the caller", 1), 0);
	r.env = env;
	r.umask = 0137;
	r.cwd = (char *)"/usr";
	run(&r, "", &result);
	assert_string_equal(result.out, "x y\n0137\n/usr\na\nb||'\"\\\n");
}

static void not_started_case(const char *name, const char *cwd, int error,
			     bool before_exec)
{
	char *argv[] = { (char *)name, NULL };
	struct request r = request_of(argv);
	struct result result;

	r.cwd = (char *)cwd;
	run(&r, "", &result);
	assert_int_equal(result.started, -error);
	assert_int_equal(result.before_exec, before_exec);
	assert_non_null(strstr(result.err, before_exec ? cwd : name));
}

/* Creates a file with the contents in @dir and stores its path. */
static void make_file(const char *dir, const char *name, const char *text,
		      mode_t mode, char path[200])
{
	int fd;

	snprintf(path, 200, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text) + 1),
			 (ssize_t)strlen(text) + 1);
	/* A NUL at the end is one of the text only if it is wanted. */
	if (strcmp(name, "binary") != 0)
		assert_int_equal(ftruncate(fd, (off_t)strlen(text)), 0);
	close(fd);
}

static void exec_errors(void **state)
{
	char dir[] = "/tmp/thaw-init-XXXXXX", plain[200], script[200],
	     binary[200], bad[200], path[220];
	char *argv[] = { script, (char *)"arg", NULL };
	char *env[] = { path, NULL };
	struct request r;
	struct result result;

	(void)state;
	assert_non_null(mkdtemp(dir));
	make_file(dir, "plain", "echo no\n", 0644, plain);
	make_file(dir, "script", "echo \"$1\"\n", 0755, script);
	make_file(dir, "binary", "\177ELF", 0755, binary);
	make_file(dir, "bad", "#!/nonexistent/sh\n", 0755, bad);

	not_started_case("/nonexistent/x", "/", ENOENT, false);
	not_started_case("thaw-no-such-command", "/", ENOENT, false);
	not_started_case("", "/", ENOENT, false);
	not_started_case(plain, "/", EACCES, false);
	not_started_case(dir, "/", EACCES, false);
	not_started_case(binary, "/", ENOEXEC, false);
	not_started_case(bad, "/", ENOENT, false);
	not_started_case("true", "/nonexistent/dir", ENOENT, true);
	not_started_case("true", plain, ENOTDIR, true);

	/* A script without #!, and one that PATH finds only by its last entry. */
	r = request_of(argv);
	run(&r, "", &result);
	assert_string_equal(result.out, "arg\n");
	snprintf(path, sizeof(path), "PATH=/nonexistent:%s", dir);
	argv[0] = (char *)"script";
	r.env = env;
	run(&r, "", &result);
	assert_string_equal(result.out, "arg\n");
	/* Found, but not executable. */
	argv[0] = (char *)"plain";
	run(&r, "", &result);
	assert_int_equal(result.started, -EACCES);
	/* An empty entry is the current directory. */
	snprintf(path, sizeof(path), "PATH=:/nonexistent");
	argv[0] = (char *)"script";
	r.cwd = dir;
	run(&r, "", &result);
	assert_string_equal(result.out, "arg\n");

	unlink(plain);
	unlink(script);
	unlink(binary);
	unlink(bad);
	rmdir(dir);
}

static void terminal(void **state)
{
	struct result result;

	(void)state;
	run_shell("stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo tty; "
		  "echo x >/dev/tty; echo err >&2; exit 3",
		  "", REQUEST_PTY, &result);
	assert_string_equal(result.out, "33 144\r\ntty\r\nx\r\nerr\r\n");
	assert_int_equal(WEXITSTATUS(result.status), 3);
}

/* Input is echoed; Ctrl-C is a signal for the foreground group. */
static void terminal_keys(void **state)
{
	char *argv[] = { (char *)"sh", (char *)"-c",
			 (char *)"read a; echo \"got $a\"; exec sleep 1000",
			 NULL };
	struct request r = request_of(argv);
	struct pollfd p = { .events = POLLIN };
	char out[1000] = "";
	struct command c;
	struct failure f;
	bool before;
	int status;

	(void)state;
	r.flags = REQUEST_PTY;
	assert_int_equal(command_start(&c, &r, &f), 0);
	assert_int_equal(wait_started(&c, &f, &before), 1);
	assert_int_equal(write(c.in_fd, "hello\n", 6), 6);
	p.fd = c.out_fd;
	while (!strstr(out, "got hello\r\n")) {
		size_t have = strlen(out);

		assert_int_equal(poll(&p, 1, -1), 1);
		assert_true(read(c.out_fd, out + have, sizeof(out) - 1 - have) >
			    0);
	}
	assert_non_null(strstr(out, "hello\r\ngot"));
	assert_int_equal(write(c.in_fd, "\003", 1), 1);
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
	close(c.in_fd);
	close(c.out_fd);
	command_finish(&c);
}

/* A closed pty ends its session. */
static void terminal_hang_up(void **state)
{
	char *argv[] = { (char *)"sleep", (char *)"1000", NULL };
	struct request r = request_of(argv);
	struct command c;
	struct failure f;
	bool before;
	int status;

	(void)state;
	r.flags = REQUEST_PTY;
	assert_int_equal(command_start(&c, &r, &f), 0);
	assert_int_equal(wait_started(&c, &f, &before), 1);
	close(c.in_fd);
	close(c.out_fd);
	command_hang_up(&c);
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGHUP);
	command_finish(&c);
}

/* As root: the user, its groups, and its right to open its own descriptors. */
static void user(void **state)
{
	char *argv[] = { (char *)"sh", (char *)"-c",
			 (char *)"id -u; id -g; id -G; echo x >/proc/self/fd/1",
			 NULL };
	uint32_t groups[] = { 4242, 4343 };
	struct request r = request_of(argv);
	struct result result;

	(void)state;
	if (geteuid() != 0)
		skip();
	r.uid = 65534;
	r.gid = 4141;
	r.groups = groups;
	r.group_count = 2;
	run(&r, "", &result);
	assert_string_equal(result.out, "65534\n4141\n4141 4242 4343\nx\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes),
		cmocka_unit_test(signals),
		cmocka_unit_test(signal_of_group),
		cmocka_unit_test(streams),
		cmocka_unit_test(closed_stdin),
		cmocka_unit_test(no_leaks),
		cmocka_unit_test(environment),
		cmocka_unit_test(exec_errors),
		cmocka_unit_test(terminal),
		cmocka_unit_test(terminal_keys),
		cmocka_unit_test(terminal_hang_up),
		cmocka_unit_test(user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
