// SPDX-License-Identifier: BSD-2-Clause
/*
 * ptydrive: runs a command on a pty, types into it and waits for what it prints.
 *
 *	ptydrive [-t SECONDS] [-l LOG] [-w ROWSxCOLS] [STEP…] -- CMD [ARG…]
 *
 * Steps are done in order:
 *
 *	expect:TEXT	wait until TEXT is printed after what was matched before
 *	send:TEXT	type TEXT; \n \r \t \e \\ and \xNN are understood
 *	file:PATH	type the contents of a file
 *	sleep:MS	wait
 *	raw, cooked	the terminal must be raw, or as it was at the start
 *	run:COMMAND	run a shell command; $CHILD is the pid of CMD
 *	signal:NUMBER	send CMD a signal
 *	resize:ROWSxCOLS	change the size of the window
 *
 * then CMD must end by itself.  What it prints goes to LOG (default: nowhere) and
 * is read all the time, also while something long is being typed.  -t bounds
 * every step, and the end.
 *
 * Exit status: CMD's own, 128 plus the signal; 124 when a step or the end did not
 * come in time; 123 when the terminal was not as a step, or its restoration at
 * the end, demanded; 64 for a usage error.  The failed step and the last output
 * go to standard error.
 *
 * One thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	STATUS_USAGE = 64,
	STATUS_TERMINAL = 123,
	STATUS_TIMEOUT = 124,
	TAIL_BYTES = 400, /* of output shown with a failure */
	SEEN_BYTES = 1 << 20, /* of output kept to be matched */
};

/* The command and what is known of it. */
struct drive {
	pid_t child;
	int master, slave; /* the slave stays open, to look at its state */
	struct termios at_start;
	int log;
	int limit_seconds;
	bool ended; /* the child has been waited for */
	int status; /* then: as a shell counts it */
	size_t seen_bytes; /* in seen[] */
	size_t matched; /* up to here, in seen[] */
	char seen[SEEN_BYTES];
};

/* Gives milliseconds of a clock that never steps. */
static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Says what failed, shows the last output, ends the command, and leaves. */
static void fail(struct drive *d, int status, const char *what,
		 const char *noun)
{
	size_t from =
		d->seen_bytes > TAIL_BYTES ? d->seen_bytes - TAIL_BYTES : 0;

	fprintf(stderr, "ptydrive: %s%s\n", what, noun);
	fprintf(stderr, "ptydrive: the last output was:\n");
	fwrite(d->seen + from, 1, d->seen_bytes - from, stderr);
	fprintf(stderr, "\n");
	if (!d->ended)
		kill(d->child, SIGKILL);
	exit(status);
}

/* Keeps output for matching; forgets the oldest half when there is no room. */
static void keep(struct drive *d, const char *bytes, size_t n)
{
	if (d->seen_bytes + n > SEEN_BYTES) {
		size_t cut = d->seen_bytes / 2;

		memmove(d->seen, d->seen + cut, d->seen_bytes - cut);
		d->seen_bytes -= cut;
		d->matched = d->matched > cut ? d->matched - cut : 0;
	}
	memcpy(d->seen + d->seen_bytes, bytes, n);
	d->seen_bytes += n;
}

/* Reads what the command has printed, if anything. */
static void read_output(struct drive *d)
{
	char buf[4096];
	ssize_t n = read(d->master, buf, sizeof(buf));

	if (n <= 0)
		return;
	keep(d, buf, (size_t)n);
	if (d->log >= 0 && write(d->log, buf, (size_t)n) != n)
		perror("ptydrive: log");
}

/* Looks whether the command has ended. */
static void look_for_end(struct drive *d)
{
	int st;

	if (d->ended || waitpid(d->child, &st, WNOHANG) != d->child)
		return;
	d->ended = true;
	d->status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}

/*
 * Waits up to ms for output, or for room to type if want_write.  Output is taken
 * in.  Returns whether there is room.
 */
static bool turn(struct drive *d, bool want_write, int ms)
{
	struct pollfd p = { .fd = d->master,
			    .events = (short)(POLLIN |
					      (want_write ? POLLOUT : 0)) };

	if (poll(&p, 1, ms) > 0 && (p.revents & POLLIN))
		read_output(d);
	look_for_end(d);
	return p.revents & POLLOUT;
}

/* Waits for text. */
static void step_expect(struct drive *d, const char *text)
{
	int64_t end = now_ms() + d->limit_seconds * 1000;

	for (;;) {
		const char *at =
			memmem(d->seen + d->matched, d->seen_bytes - d->matched,
			       text, strlen(text));

		if (at) {
			d->matched = (size_t)(at - d->seen) + strlen(text);
			return;
		}
		if (d->ended)
			fail(d, STATUS_TIMEOUT,
			     "ended without printing: ", text);
		if (now_ms() > end)
			fail(d, STATUS_TIMEOUT, "did not print: ", text);
		turn(d, false, 100);
	}
}

/* Types bytes, as fast as they are taken. */
static void type_bytes(struct drive *d, const char *bytes, size_t n)
{
	int64_t end = now_ms() + d->limit_seconds * 1000;

	while (n) {
		ssize_t done = 0;

		if (turn(d, true, 100))
			done = write(d->master, bytes, n < 512 ? n : 512);
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
			end = now_ms() + d->limit_seconds * 1000;
		}
		if (d->ended || now_ms() > end)
			fail(d, STATUS_TIMEOUT, "does not take what is typed",
			     "");
	}
}

/* Types text with its escapes replaced. */
static void step_send(struct drive *d, const char *text)
{
	char *out = malloc(strlen(text) + 1), *to = out;
	unsigned hex;

	for (; out && *text; text++) {
		if (*text != '\\' || !text[1]) {
			*to++ = *text;
			continue;
		}
		switch (*++text) {
		case 'n':
			*to++ = '\n';
			break;
		case 'r':
			*to++ = '\r';
			break;
		case 't':
			*to++ = '\t';
			break;
		case 'e':
			*to++ = '\033';
			break;
		case 'x':
			if (sscanf(text + 1, "%2x", &hex) == 1 && text[1] &&
			    text[2]) {
				*to++ = (char)hex;
				text += 2;
			}
			break;
		default:
			*to++ = *text;
			break;
		}
	}
	if (out)
		type_bytes(d, out, (size_t)(to - out));
	free(out);
}

/* Types the contents of a file. */
static void step_file(struct drive *d, const char *path)
{
	FILE *f = fopen(path, "re");
	char buf[4096];
	size_t n;

	if (!f)
		fail(d, STATUS_USAGE, "cannot open: ", path);
	while ((n = fread(buf, 1, sizeof(buf), f)))
		type_bytes(d, buf, n);
	fclose(f);
}

/* Waits, taking output in. */
static void step_sleep(struct drive *d, int ms)
{
	int64_t end = now_ms() + ms;

	while (now_ms() < end)
		turn(d, false, (int)(end - now_ms()) + 1);
}

/* Whether the terminal is as it was before the command. */
static bool is_as_at_start(struct drive *d)
{
	struct termios t;

	return !tcgetattr(d->slave, &t) && t.c_lflag == d->at_start.c_lflag &&
	       t.c_iflag == d->at_start.c_iflag &&
	       t.c_oflag == d->at_start.c_oflag;
}

/* Demands that the terminal is raw, or that it is as at the start. */
static void step_terminal(struct drive *d, bool raw)
{
	struct termios t;
	bool good = is_as_at_start(d);

	if (raw)
		good = !tcgetattr(d->slave, &t) &&
		       !(t.c_lflag & (ICANON | ECHO | ISIG));
	if (!good)
		fail(d, STATUS_TERMINAL, "the terminal is not ",
		     raw ? "raw" : "as it was");
}

/* Runs a shell command with $CHILD set; it must succeed. */
static void step_run(struct drive *d, const char *command)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)d->child);
	setenv("CHILD", pid, 1);
	if (system(command))
		fail(d, STATUS_TIMEOUT, "failed: ", command);
}

/* Changes the size of the window; the kernel tells CMD. */
static void step_resize(struct drive *d, const char *arg)
{
	struct winsize size = { 0 };

	if (sscanf(arg, "%hux%hu", &size.ws_row, &size.ws_col) != 2 ||
	    ioctl(d->master, TIOCSWINSZ, &size) < 0)
		fail(d, STATUS_USAGE, "no size: ", arg);
}

/* Does one step.  Returns false if there is no such step. */
static bool do_step(struct drive *d, const char *step)
{
	const char *arg = strchr(step, ':');

	arg = arg ? arg + 1 : "";
	if (!strncmp(step, "expect:", 7))
		step_expect(d, arg);
	else if (!strncmp(step, "send:", 5))
		step_send(d, arg);
	else if (!strncmp(step, "file:", 5))
		step_file(d, arg);
	else if (!strncmp(step, "sleep:", 6))
		step_sleep(d, atoi(arg));
	else if (!strcmp(step, "raw") || !strcmp(step, "cooked"))
		step_terminal(d, !strcmp(step, "raw"));
	else if (!strncmp(step, "run:", 4))
		step_run(d, arg);
	else if (!strncmp(step, "signal:", 7))
		kill(d->child, atoi(arg));
	else if (!strncmp(step, "resize:", 7))
		step_resize(d, arg);
	else
		return false;
	return true;
}

/* Waits for the end of the command, and takes in its last output. */
static void wait_for_end(struct drive *d)
{
	int64_t end = now_ms() + d->limit_seconds * 1000;

	while (!d->ended && now_ms() < end)
		turn(d, false, 50);
	if (!d->ended)
		fail(d, STATUS_TIMEOUT, "did not end", "");
	for (int i = 0; i < 3; i++)
		turn(d, false, 20);
}

/* Starts the command on the slave. */
static void start(struct drive *d, char **argv)
{
	d->child = fork();
	if (d->child < 0) {
		perror("ptydrive: fork");
		exit(1);
	}
	if (d->child)
		return;
	setsid();
	ioctl(d->slave, TIOCSCTTY, 0);
	for (int fd = 0; fd < 3; fd++)
		dup2(d->slave, fd);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

/* Explains the usage. */
static int usage(void)
{
	fprintf(stderr, "usage: ptydrive [-t SECONDS] [-l LOG] [-w ROWSxCOLS] "
			"[STEP...] -- CMD [ARG...]\n");
	return STATUS_USAGE;
}

/* Reads the options; opens the pty; does the steps. */
int main(int argc, char **argv)
{
	struct drive *d = calloc(1, sizeof(*d));
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	int opt, steps, end;

	if (!d)
		return 1;
	d->log = -1;
	d->limit_seconds = 60;
	while ((opt = getopt(argc, argv, "+t:l:w:")) != -1) {
		if (opt == 't')
			d->limit_seconds = atoi(optarg);
		else if (opt == 'l')
			d->log = open(optarg,
				      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
				      0644);
		else if (opt != 'w' || sscanf(optarg, "%hux%hu", &size.ws_row,
					      &size.ws_col) != 2)
			return usage();
	}
	steps = optind;
	if (steps > 1 && !strcmp(argv[steps - 1], "--"))
		steps--;
	for (end = steps; end < argc && strcmp(argv[end], "--"); end++)
		;
	if (end + 1 >= argc)
		return usage();
	if (openpty(&d->master, &d->slave, NULL, NULL, &size) < 0) {
		perror("ptydrive: openpty");
		return 1;
	}
	fcntl(d->master, F_SETFD, FD_CLOEXEC);
	fcntl(d->master, F_SETFL, O_NONBLOCK);
	tcgetattr(d->slave, &d->at_start);
	start(d, argv + end + 1);
	for (int i = steps; i < end; i++)
		if (!do_step(d, argv[i]))
			fail(d, STATUS_USAGE, "no such step: ", argv[i]);
	wait_for_end(d);
	if (!is_as_at_start(d))
		fail(d, STATUS_TERMINAL, "the terminal was not restored", "");
	return d->status;
}
