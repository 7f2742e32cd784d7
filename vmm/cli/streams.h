/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors 0 to 2.  Main thread. */
#ifndef VMM_CLI_STREAMS_H
#define VMM_CLI_STREAMS_H

#include <stdbool.h>

/*
 * Opens /dev/null for each of descriptors 0 to 2 that is closed, so that no file
 * opened later becomes a standard stream.
 */
void streams_open(void);

/* Whether streams_open() found descriptor @fd closed. */
bool stream_was_closed(int fd);

#endif
