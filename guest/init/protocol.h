/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What thaw and the init of its guest say to each other over the control port.
 *
 * A frame is a header (u32 bytes of the payload, u16 type, u16 zero) and the
 * payload, which holds the fields of the type's structure below in their order.
 * All numbers are little-endian. A string is a u32 length and its bytes; only
 * entropy may have a NUL among them. A list is a u32 count and the elements.
 * A flag that is not defined here is an error.
 *
 * Order: HELLO, SETUP, READY, REQUEST, then STARTED and one of EXITED and
 * KILLED, or NOT_STARTED; FINISH; the init powers the guest off. SIGNAL and
 * WINSIZE may come after REQUEST at any time, BEAT after HELLO once a second.
 * The init may send FAILED instead of any of its messages, and then powers off.
 * It also powers off when the host closes the control port.
 */
#ifndef GUEST_INIT_PROTOCOL_H
#define GUEST_INIT_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_VERSION 2

/* The largest payload. */
#define PROTOCOL_PAYLOAD_MAX (UINT32_C(4) << 20)

#define PROTOCOL_HEADER_BYTES 8

/* The names of the ports; see VIRTIO_CONSOLE_PORT_NAME. */
#define PORT_CONTROL "thaw.control"
#define PORT_STDIN   "thaw.stdin"
#define PORT_STDOUT  "thaw.stdout"
#define PORT_STDERR  "thaw.stderr"

enum message_type {
	/* From the host. */
	MESSAGE_SETUP = 1,
	MESSAGE_REQUEST = 2,
	MESSAGE_SIGNAL = 3,
	MESSAGE_WINSIZE = 4,
	MESSAGE_FINISH = 5,
	/* From the init. */
	MESSAGE_HELLO = 16,
	MESSAGE_READY = 17,
	MESSAGE_FAILED = 18,
	MESSAGE_STARTED = 19,
	MESSAGE_NOT_STARTED = 20,
	MESSAGE_EXITED = 21,
	MESSAGE_KILLED = 22,
	MESSAGE_BEAT = 23,
};

/* Root is read-only; otherwise a tmpfs takes what is written to it. */
#define SETUP_READONLY UINT32_C(1)

#define BIND_READONLY UINT32_C(1)

/* A share besides root, and the directory of the guest that it appears at. */
struct setup_bind {
	char *tag;
	char *path;
	uint32_t flags; /* BIND_ */
};

/*
 * Addresses of eth0 and of its router in one family, as text; "": there is none, and
 * without the first one no network of that family.
 */
struct setup_addresses {
	char *address, *router;
	uint32_t prefix_bits; /* of the address: 0 to 32, or to 128 */
};

/* The guest's file systems and its network. */
struct setup {
	char *root_tag;
	uint32_t flags; /* SETUP_ */
	struct setup_bind *binds;
	uint32_t bind_count;
	char *hostname; /* "": unchanged */
	struct setup_addresses ipv4;
	struct setup_addresses ipv6; /* a kernel without it ignores these */
	char *dns; /* a name server's address, of either family; "": none */
};

#define REQUEST_PTY	     UINT32_C(1) /* stdin and stdout are a terminal */
#define REQUEST_STDIN_CLOSED UINT32_C(2) /* the command has no descriptor 0 */

/*
 * The command to run. argv[0] without a slash is searched for in the PATH of
 * env, as execvp() does. Without REQUEST_PTY, rows and cols mean nothing.
 */
struct request {
	char **argv; /* with a NULL after the last one, like env */
	uint32_t argc;
	char **env;
	uint32_t env_count;
	char *cwd;
	uint32_t uid, gid;
	uint32_t *groups;
	uint32_t group_count;
	uint32_t umask;
	uint32_t flags; /* REQUEST_ */
	uint16_t rows, cols;
	uint64_t realtime_ns; /* since 1970; 0: leave the clock alone */
	uint8_t *entropy;
	uint32_t entropy_bytes;
};

/* To the process group of the command, on a pty to its foreground group. */
struct signal_message {
	uint32_t number;
};

struct winsize_message {
	uint16_t rows, cols;
};

struct hello {
	uint32_t version; /* PROTOCOL_VERSION */
	char *release; /* of the guest's kernel */
};

/* FAILED: the init cannot go on; what failed, and why (errno). */
struct failed {
	char *what;
	uint32_t error;
};

struct started {
	uint32_t pid;
};

/*
 * The command was not started; what failed, and why (errno). Only an error of
 * execve() says something about the command's file.
 */
struct not_started {
	uint32_t error;
	char *what;
	uint32_t before_exec; /* 1: the error is not one of execve() */
};

/* What the command and its children that it waited for have used. */
struct usage {
	uint64_t max_rss_kib;
	uint64_t user_us;
	uint64_t system_us;
};

struct exited {
	uint32_t status; /* 0 to 255 */
	struct usage usage;
};

struct killed {
	uint32_t signal;
	uint32_t core_dumped; /* 0 or 1 */
	struct usage usage;
};

struct beat {
	uint64_t uptime_ms; /* CLOCK_BOOTTIME */
};

/* READY and FINISH have no payload. */
struct message {
	enum message_type type;
	union {
		struct setup setup;
		struct request request;
		struct signal_message signal;
		struct winsize_message winsize;
		struct hello hello;
		struct failed failed;
		struct started started;
		struct not_started not_started;
		struct exited exited;
		struct killed killed;
		struct beat beat;
	};
	void *owned; /* of frame.c, in a received message */
};

#endif
