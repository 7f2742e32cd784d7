/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine in the foreground: what `thaw run` and `thaw restore` share.  The
 * disks and the terminal belong to the session and outlive the machine, which
 * may be made more than once.
 *
 * Main thread.  Errors are 0 or -errno, logged.
 */
#ifndef VMM_CLI_SESSION_H
#define VMM_CLI_SESSION_H

#include "vmm/base/option.h"
#include "vmm/cli/paging.h"
#include "vmm/io/disk.h"
#include "vmm/vm/vm.h"

struct ctl;
struct grace;

/* Options of both commands; the rows are below. */
struct session_options {
	unsigned int verbose;
	const char *kvm, *control;
	enum vm_clock clock;
	struct paging_options paging;
};

struct session {
	const struct session_options *options;
	struct vm_paging paging;
	struct disk disks[OPTION_LIST_MAX];
	unsigned int disk_count;
	struct terminal *terminal;
	uint64_t start_ns; /* CLOCK_MONOTONIC at session_open() */
	struct vm *vm; /* the machine of now, for the terminal's leave key */
	struct grace *grace; /* of that machine */
};

extern const char *const session_clock_words[];

/* A row of the machine's, for a member at offset @o of the values. */
#define SESSION_CLOCK_ROW(o)                                                \
	{                                                                   \
		.kind = OPTION_CHOICE, .name = "clock",                     \
		.offset = (o) + offsetof(struct session_options, clock),    \
		.help = "guest time after a restore or a pause: continue\n" \
			"where it stopped, or follow the host's clock\n"    \
			"(default: continue)",                              \
		.choices = session_clock_words                              \
	}

/* The rows, for a member at offset @o of the values. */
#define SESSION_OPTION_ROWS(o)                                               \
	{ .kind = OPTION_HEADING, .help = "Other" },                         \
		{ .kind = OPTION_STRING,                                     \
		  .name = "control",                                         \
		  .offset = (o) + offsetof(struct session_options, control), \
		  .metavar = "PATH",                                         \
		  .help = "listen for thaw ctl and thaw snapshot at a\n"     \
			  "unix socket" },                                   \
		{ .kind = OPTION_COUNT,                                      \
		  .letter = 'v',                                             \
		  .name = "verbose",                                         \
		  .offset = (o) + offsetof(struct session_options, verbose), \
		  .help = "say more; twice for details" },                   \
	{                                                                    \
		.kind = OPTION_STRING, .name = "kvm",                        \
		.offset = (o) + offsetof(struct session_options, kvm),       \
		.metavar = "PATH", .help = "the KVM device; /dev/kvm"        \
	}

/* The values that both commands begin with. */
void session_options_init(struct session_options *options,
			  enum pager_mode mode);

/*
 * Sets up logging and opens the terminal; before any thread.  Call
 * session_close() also after a failure.
 */
int session_open(struct session *session,
		 const struct session_options *options);
void session_close(struct session *session);

/* Opens one more disk: "PATH" or "PATH,ro". */
int session_add_disk(struct session *session, const char *arg);

/* The same of an open file; see disk_take(). */
int session_take_disk(struct session *session, int fd, const char *path,
		      bool read_only);

/*
 * What is done with a machine: @load boots or loads it, @ended, which may be
 * NULL, looks at it when it has ended.
 */
struct session_job {
	int (*load)(struct vm *vm, void *ctx);
	void (*ended)(const struct vm *vm, void *ctx);
	void *ctx;
};

/*
 * Makes a machine from @config, whose host's part is filled in here, has @job
 * boot or load it, runs it to its end, and destroys it.
 */
int session_run(struct session *session, struct vm_config config,
		const struct session_job *job, struct vm_end *end);

/* The exit status for the end of a machine. */
int session_exit_code(const struct vm_end *end);

#endif
