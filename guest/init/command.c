/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The new process reports the step that failed, and its errno, through a pipe
 * that execve() closes: the end of the pipe without a report is success.
 */
#include "guest/init/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "guest/init/protocol.h"
#include "guest/init/search.h"
#include "vmm/base/cleanup.h"

/* The steps of a new process that may fail. */
enum start_step {
	START_DESCRIPTORS,
	START_SESSION,
	START_GROUPS,
	START_USER,
	START_DIRECTORY,
	START_EXEC,
};

struct report {
	int32_t error;
	int32_t step;
};

/* The command's ends of its descriptors; -1: closed. */
struct ends {
	int fd[3];
};

static void drop_ends(struct command *c, struct ends *theirs)
{
	for (int i = 0; i < 3; i++)
		close_fd(&theirs->fd[i]);
	close_fd(&c->in_fd);
	close_fd(&c->out_fd);
	close_fd(&c->err_fd);
	close_fd(&c->pty_fd);
	close_fd(&c->slave_fd);
}

/*
 * A pipe; @ours does not block. The command's user may open it again, by
 * /dev/stdout.
 */
static int make_pipe(int *theirs, int *ours, bool theirs_reads,
		     const struct request *r)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	*theirs = ends[theirs_reads ? 0 : 1];
	*ours = ends[theirs_reads ? 1 : 0];
	if (fcntl(*ours, F_SETFL, O_NONBLOCK) ||
	    (geteuid() == 0 && fchown(*theirs, r->uid, r->gid)))
		return -errno;
	return 0;
}

static int make_pipes(struct command *c, struct ends *theirs,
		      const struct request *r)
{
	int err = 0;

	if (!(r->flags & REQUEST_STDIN_CLOSED))
		err = make_pipe(&theirs->fd[0], &c->in_fd, true, r);
	if (!err)
		err = make_pipe(&theirs->fd[1], &c->out_fd, false, r);
	if (!err)
		err = make_pipe(&theirs->fd[2], &c->err_fd, false, r);
	return err;
}

static int make_pty(struct command *c, struct ends *theirs,
		    const struct request *r)
{
	int unlock = 0, flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
	struct termios modes;

	c->pty_fd = open("/dev/ptmx", flags | O_NONBLOCK);
	if (c->pty_fd < 0 || ioctl(c->pty_fd, TIOCSPTLCK, &unlock))
		return -errno;
	c->slave_fd = ioctl(c->pty_fd, TIOCGPTPEER, flags);
	if (c->slave_fd < 0)
		return -errno;
	if (geteuid() == 0 && fchown(c->slave_fd, r->uid, (gid_t)-1))
		return -errno;
	if (tcgetattr(c->slave_fd, &modes) == 0) {
		modes.c_iflag |= IUTF8;
		tcsetattr(c->slave_fd, TCSANOW, &modes);
	}
	command_resize(c, r->rows, r->cols);
	c->in_fd = fcntl(c->pty_fd, F_DUPFD_CLOEXEC, 3);
	c->out_fd = fcntl(c->pty_fd, F_DUPFD_CLOEXEC, 3);
	for (int i = 0; i < 3; i++)
		theirs->fd[i] = fcntl(c->slave_fd, F_DUPFD_CLOEXEC, 3);
	return c->in_fd < 0 || c->out_fd < 0 || theirs->fd[2] < 0 ? -errno : 0;
}

/* In the new process: the first step that fails, with errno, or -1. */
static int prepare(const struct request *r, const struct ends *theirs)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (r->flags & REQUEST_PTY && ioctl(theirs->fd[0], TIOCSCTTY, 0))
		return START_SESSION;
	for (int i = 0; i < 3; i++) {
		/* Close the inherited descriptor. */
		if (theirs->fd[i] < 0)
			close(i);
		else if (dup2(theirs->fd[i], i) < 0)
			return START_DESCRIPTORS;
	}
	umask(r->umask & 0777);
	if (geteuid() == 0) {
		if (setgroups(r->group_count, r->groups) ||
		    setresgid(r->gid, r->gid, r->gid))
			return START_GROUPS;
		if (setresuid(r->uid, r->uid, r->uid))
			return START_USER;
	}
	return chdir(r->cwd) ? START_DIRECTORY : -1;
}

static void __attribute__((noreturn))
become(const struct request *r, const struct ends *theirs, int report_fd)
{
	int step = prepare(r, theirs);
	struct report report = { .error = errno, .step = step };

	if (step < 0) {
		report.step = START_EXEC;
		report.error = -search_exec(r->argv, r->env);
	}
	if (write(report_fd, &report, sizeof(report)) < 0)
		_exit(126);
	_exit(127);
}

static int start(struct command *c, const struct request *r,
		 struct ends *theirs)
{
	int report[2], err;

	err = r->flags & REQUEST_PTY ? make_pty(c, theirs, r) :
				       make_pipes(c, theirs, r);
	if (err)
		return err;
	if (pipe2(report, O_CLOEXEC))
		return -errno;
	c->pid = fork();
	if (c->pid == 0)
		become(r, theirs, report[1]);
	err = c->pid < 0 ? -errno : 0;
	close(report[1]);
	if (err || fcntl(report[0], F_SETFL, O_NONBLOCK)) {
		close(report[0]);
		return err ? err : -errno;
	}
	c->start_fd = report[0];
	return 0;
}

int command_start(struct command *c, const struct request *r, struct failure *f)
{
	struct ends theirs = { { -1, -1, -1 } };
	int err;

	*c = (struct command){ .request = r,
			       .start_fd = -1,
			       .in_fd = -1,
			       .out_fd = -1,
			       .err_fd = -1,
			       .pty_fd = -1,
			       .slave_fd = -1 };
	err = start(c, r, &theirs);
	if (err) {
		drop_ends(c, &theirs);
		return failure_set(f, -err, "create a process for %.200s",
				   r->argv[0]);
	}
	for (int i = 0; i < 3; i++)
		close_fd(&theirs.fd[i]);
	return 0;
}

static void describe(const struct command *c, const struct report *report,
		     struct failure *f)
{
	const struct request *r = c->request;

	switch (report->step) {
	case START_SESSION:
		failure_set(f, report->error, "set the controlling terminal");
		break;
	case START_GROUPS:
		failure_set(f, report->error, "set group %u", r->gid);
		break;
	case START_USER:
		failure_set(f, report->error, "set user %u", r->uid);
		break;
	case START_DIRECTORY:
		failure_set(f, report->error, "change to directory %s", r->cwd);
		break;
	case START_EXEC:
		failure_set(f, report->error, "run %s", r->argv[0]);
		break;
	default:
		failure_set(f, report->error,
			    "set up the command's descriptors");
	}
}

int command_started(struct command *c, struct failure *f, bool *before_exec)
{
	struct report report;
	ssize_t bytes;

	if (c->start_fd < 0)
		return 1;
	bytes = read(c->start_fd, &report, sizeof(report));
	if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	close_fd(&c->start_fd);
	if (bytes != sizeof(report))
		return 1;
	describe(c, &report, f);
	*before_exec = report.step != START_EXEC;
	return -report.error;
}

void command_signal(const struct command *c, int number)
{
	pid_t group = 0;

	if (c->pid <= 0)
		return;
	if (c->pty_fd >= 0 && ioctl(c->pty_fd, TIOCGPGRP, &group))
		group = 0;
	if (group <= 0)
		group = c->pid;
	/* Before its setsid() the command has no group. */
	if (kill(-group, number) && errno == ESRCH)
		kill(c->pid, number);
}

void command_resize(const struct command *c, unsigned int rows,
		    unsigned int cols)
{
	const struct winsize size = { .ws_row = (unsigned short)rows,
				      .ws_col = (unsigned short)cols };

	if (c->pty_fd >= 0)
		ioctl(c->pty_fd, TIOCSWINSZ, &size);
}

void command_hang_up(struct command *c)
{
	close_fd(&c->pty_fd);
	close_fd(&c->slave_fd);
}

void command_finish(struct command *c)
{
	c->pid = 0;
	close_fd(&c->start_fd);
	command_hang_up(c);
}
