/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command of a request: its process, and the init's ends of its standard
 * descriptors. It leads a session and a process group of its own; with a pty,
 * that is its controlling terminal.
 */
#ifndef GUEST_INIT_COMMAND_H
#define GUEST_INIT_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "guest/init/failure.h"

struct request;

struct command {
	const struct request *request; /* outlives the command */
	pid_t pid;
	int start_fd; /* readable once command_started() has an answer; or -1 */
	/*
	 * Non-blocking; -1: none. The caller takes them over. With a pty, in_fd and
	 * out_fd are its master, and err_fd is -1.
	 */
	int in_fd, out_fd, err_fd;
	int pty_fd; /* the pty's master, for signals and sizes; or -1 */
	int slave_fd; /* open, so that the pty has no end before the command's */
};

/*
 * Starts the command. -errno, with @f: no process was created. A caller without
 * privileges keeps its credentials.
 */
int command_start(struct command *c, const struct request *r,
		  struct failure *f);

/*
 * Whether the command runs: 1: it does, or already has ended; 0: not known yet;
 * -errno, with @f and @before_exec as in struct not_started: it does not.
 * Closes start_fd with the answer.
 */
int command_started(struct command *c, struct failure *f, bool *before_exec);

/* To the process group, or the foreground process group of the pty. */
void command_signal(const struct command *c, int number);

void command_resize(const struct command *c, unsigned int rows,
		    unsigned int cols);

/* Closes the pty: its session receives SIGHUP. */
void command_hang_up(struct command *c);

/* The command has ended; closes what command_start() opened, but in/out/err. */
void command_finish(struct command *c);

#endif
