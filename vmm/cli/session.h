/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM in the foreground: what `thaw run', `restore' and `exec' share.  The
 * disks and the terminal belong to the session; they outlive the VM, which
 * may be created more than once.
 *
 * Main thread.  Errors are 0 or -errno, logged.
 */
#ifndef VMM_CLI_SESSION_H
#define VMM_CLI_SESSION_H

#include "vmm/base/option.h"
#include "vmm/cli/paging.h"
#include "vmm/io/disk.h"
#include "vmm/vm/vm.h"

struct disk_options;
struct grace;
struct terminal_config;

/* Options of all three; SESSION_OPTION_ROWS() parses them. */
struct session_options {
	unsigned int verbose;
	const char *kvm, *control;
	enum vm_clock clock;
	struct paging_options paging;
};

struct session_job;

struct session {
	const struct session_options *options;
	struct vm_paging paging;
	struct disk disks[OPTION_LIST_MAX];
	unsigned int disk_count;
	struct terminal *terminal;
	uint64_t start_ns; /* CLOCK_MONOTONIC at session_open() */
	struct vm *vm; /* the current VM; NULL before and after it */
	const struct session_job *job; /* the current VM's */
	struct grace *grace; /* the current VM's */
};

extern const char *const session_clock_names[];

/* The row of --clock, for a struct session_options at offset @o. */
#define SESSION_CLOCK_ROW(o)                                                \
	{                                                                   \
		.kind = OPTION_CHOICE, .name = "clock",                     \
		.offset = (o) + offsetof(struct session_options, clock),    \
		.help = "guest time after a restore or a pause: continue\n" \
			"where it stopped, or follow the host's clock\n"    \
			"(default: continue)",                              \
		.choices = session_clock_names                              \
	}

/* The last rows, for a struct session_options at offset @o. */
#define SESSION_OPTION_ROWS(o)                                               \
	{ .kind = OPTION_HEADING, .help = "Other" },                         \
		{ .kind = OPTION_STRING,                                     \
		  .name = "control",                                         \
		  .offset = (o) + offsetof(struct session_options, control), \
		  .metavar = "PATH",                                         \
		  .help = "create a control socket for thaw ctl and\n"       \
			  "thaw snapshot" },                                 \
		{ .kind = OPTION_COUNT,                                      \
		  .letter = 'v',                                             \
		  .name = "verbose",                                         \
		  .offset = (o) + offsetof(struct session_options, verbose), \
		  .help = "verbose output; twice for debug output" },        \
	{                                                                    \
		.kind = OPTION_STRING, .name = "kvm",                        \
		.offset = (o) + offsetof(struct session_options, kvm),       \
		.metavar = "PATH", .help = "KVM device (default: /dev/kvm)"  \
	}

void session_options_init(struct session_options *options,
			  enum pager_mode mode);

/*
 * Sets up logging and opens the terminal; before any thread starts.  Call
 * session_close() after a failure as well.
 */
int session_open(struct session *session,
		 const struct session_options *options);
void session_close(struct session *session);

/* The same with another terminal than standard input and output. */
int session_open_at(struct session *session,
		    const struct session_options *options,
		    const struct terminal_config *terminal);

/* Opens one more disk; with @arg of disk_options_parse(). */
int session_add_disk(struct session *session,
		     const struct disk_options *options);
int session_add_disk_option(struct session *session, const char *arg);

/* Adds an open file as a disk; see disk_take(). */
int session_take_disk(struct session *session, int fd, const char *path,
		      bool read_only);

/*
 * Adds a private disk that begins with the contents of the file @base_fd of @path, in
 * the directory @dir_fd; see disk_open_private().  @origin is its disk_name().
 */
int session_add_private(struct session *session, int base_fd, int dir_fd,
			uint64_t size_bytes, const char *path,
			const char *origin);

/*
 * The caller's part of a VM's life, on the main thread.  All but load may be NULL.
 */
struct session_job {
	/* Boots or restores the VM. */
	int (*load)(struct vm *vm, void *ctx);
	/*
	 * Before the VM starts, with SIGTERM, SIGINT and SIGHUP blocked: arranges
	 * what they do.  NULL: they end the VM.
	 */
	int (*start)(struct vm *vm, void *ctx);
	/* The VM has ended, and its threads stop next; also after a failed start. */
	void (*ending)(void *ctx);
	/*
	 * Its devices have written their output; also after a failure, with the
	 * kind VM_END_NONE.
	 */
	void (*stopped)(const struct vm_end *end, void *ctx);
	/* After its end and before it is destroyed. */
	void (*ended)(const struct vm *vm, void *ctx);
	/*
	 * The exit status if the end takes too long; by the thread that ends the
	 * VM.  NULL: session_exit_code().
	 */
	int (*exit_code)(const struct vm_end *end, void *ctx);
	void *ctx;
};

/*
 * Creates a VM from @config, whose host side is filled in here, loads it
 * with @job, runs it to its end (*@end), and destroys it.
 */
int session_run(struct session *session, struct vm_config config,
		const struct session_job *job, struct vm_end *end);

/* The exit status for the end of a VM. */
int session_exit_code(const struct vm_end *end);

#endif
