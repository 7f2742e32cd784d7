/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw mode of a terminal. The mode is restored by raw_mode_leave(), by exit(3),
 * and by every signal whose default action ends the process, except SIGKILL and
 * the signals reserved by the C library. At most one terminal per process is
 * raw.
 */
#ifndef VMM_IO_RAW_MODE_H
#define VMM_IO_RAW_MODE_H

/*
 * Puts the terminal @fd into raw mode; @fd must stay open until
 * raw_mode_leave(). One thread. -errno, logged; -EBUSY if another terminal is
 * raw.
 */
int raw_mode_enter(int fd);

/* Restores the mode if a terminal is raw. Async-signal-safe; any thread. */
void raw_mode_leave(void);

#endif
