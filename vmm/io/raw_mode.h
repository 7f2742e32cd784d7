/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw mode of a terminal, which ends with the process: by raw_mode_leave(), by
 * exit(3), and by every signal whose default action is to end the process.  Not
 * covered: SIGKILL, and the signals that the C library keeps for itself.  One
 * terminal of a process is raw at a time.
 */
#ifndef VMM_IO_RAW_MODE_H
#define VMM_IO_RAW_MODE_H

/*
 * Makes the terminal @fd raw; @fd stays open until raw_mode_leave().  One
 * thread.  -errno, logged; -EBUSY when another terminal is raw.
 */
int raw_mode_enter(int fd);

/* Restores the mode, if a terminal is raw.  Async-signal-safe; any thread. */
void raw_mode_leave(void);

#endif
