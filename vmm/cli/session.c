/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine in the foreground, from its making to the exit status.  Main
 * thread, but for on_leave().
 */
#include "vmm/base/clock.h"
#include "vmm/cli/session.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/grace.h"
#include "vmm/ctl/ctl.h"
#include "vmm/io/terminal.h"

const char *const session_clock_words[] = { "continue", "follow", NULL };

/* How long devices may take to write what the guest printed last. */
#define OUTPUT_NS (60 * NS_PER_S)

/* The values to begin with. */
void session_options_init(struct session_options *options, enum pager_mode mode)
{
	*options = (struct session_options){ 0 };
	paging_options_init(&options->paging, mode);
}

/* The user typed Ctrl-A x.  Loop or main thread, while the machine is there. */
static void on_leave(void *ctx)
{
	struct session *session = ctx;

	vm_end(session->vm, VM_END_LEAVE, 0);
}

/* Opens what every machine needs of us. */
int session_open(struct session *session, const struct session_options *options)
{
	struct terminal_config terminal = { .in_fd = STDIN_FILENO,
					    .out_fd = STDOUT_FILENO,
					    .leave = on_leave,
					    .ctx = session };
	int r;

	*session = (struct session){ .options = options,
				     .paging = { .trace_fd = -1 },
				     .start_ns = clock_now_ns() };
	log_set_level(LOG_WARN + options->verbose);
	/* A reader that went away is an error of write(2). */
	signal(SIGPIPE, SIG_IGN);
	if (options->clock == VM_CLOCK_FOLLOW)
		log_warn("--clock=follow: the guest's clocks jump ahead by the "
			 "time that it was stopped; its timers expire at once, "
			 "and its watchdogs may report stalls");
	r = paging_options_use(&options->paging, &session->paging);
	return r < 0 ? r : terminal_open(&session->terminal, &terminal);
}

/* Closes it. */
void session_close(struct session *session)
{
	terminal_close(session->terminal);
	for (unsigned int i = 0; i < session->disk_count; i++)
		disk_close(&session->disks[i]);
	if (session->paging.trace_fd >= 0)
		close(session->paging.trace_fd);
}

/* Opens one disk. */
int session_add_disk(struct session *session, const char *arg)
{
	static const char suffix[] = ",ro";
	size_t len = strlen(arg), cut = sizeof(suffix) - 1;
	bool read_only = len > cut && !strcmp(arg + len - cut, suffix);
	CLEANUP_FREE char *path = strndup(arg, read_only ? len - cut : len);
	int r;

	if (!path)
		return log_errno(ENOMEM, "disk %s", arg);
	r = disk_open(&session->disks[session->disk_count], path, read_only);
	if (r >= 0)
		session->disk_count++;
	return r;
}

/* Takes one that is open. */
int session_take_disk(struct session *session, int fd, const char *path,
		      bool read_only)
{
	int r = disk_take(&session->disks[session->disk_count], fd, path,
			  read_only);

	if (r >= 0)
		session->disk_count++;
	return r;
}

/* Runs the machine that is made and loaded. */
static int run_loaded(struct session *session, struct vm_end *end)
{
	const char *control = session->options->control;
	struct ctl *ctl = NULL;
	int r;

	/* From here on there is something to put in order at the end. */
	vm_block_signals(true);
	r = vm_catch_signals(session->vm);
	if (r >= 0)
		r = terminal_raw(session->terminal, true);
	if (r >= 0 && control)
		r = ctl_listen(&ctl, control, session->vm);
	if (r >= 0)
		r = vm_start(session->vm);
	if (r >= 0 && ctl)
		r = ctl_serve(ctl);
	if (r >= 0)
		*end = vm_wait(session->vm);
	else
		grace_begin(session->grace, EXIT_HOST);
	/* Now, as the threads may take longer to end than they have time. */
	ctl_hide(ctl);
	vm_stop(session->vm);
	grace_renew(session->grace, 0);
	ctl_stop(ctl);
	return r;
}

/* The machine ends.  Any thread. */
static void on_ended(void *ctx, struct vm_end end)
{
	struct session *session = ctx;

	grace_begin(session->grace, session_exit_code(&end));
}

/* What is put in order when threads do not end.  The grace period's thread. */
static void put_in_order(void *ctx)
{
	struct session *session = ctx;

	terminal_raw(session->terminal, false);
}

/* Makes, loads and runs a machine while its end is watched. */
static int run_watched(struct session *session, const struct vm_config *config,
		       const struct session_job *job, struct vm_end *end)
{
	int r = vm_create(&session->vm, config);

	if (r < 0)
		return r;
	r = job->load(session->vm, job->ctx);
	if (r >= 0)
		r = run_loaded(session, end);
	/* Memory that could not be had while loading is an end of its own. */
	else if (vm_get_end(session->vm).kind == VM_END_SOURCE) {
		*end = vm_get_end(session->vm);
		r = 0;
	}
	if (r < 0)
		grace_begin(session->grace, EXIT_HOST);
	/* What the guest printed comes before what we say of it. */
	grace_renew(session->grace, OUTPUT_NS);
	if (end->kind != VM_END_NONE)
		vm_finish_devices(session->vm);
	grace_renew(session->grace, 0);
	if (end->kind != VM_END_NONE && job->ended)
		job->ended(session->vm, job->ctx);
	paging_report(&session->options->paging, session->vm,
		      session->start_ns);
	grace_renew(session->grace, OUTPUT_NS);
	vm_destroy(session->vm);
	session->vm = NULL;
	terminal_raw(session->terminal, false);
	return r;
}

/* Makes, loads and runs a machine. */
int session_run(struct session *session, struct vm_config config,
		const struct session_job *job, struct vm_end *end)
{
	int r = grace_start(&session->grace, put_in_order, session);

	if (r < 0)
		return r;
	/* Loading may take long, or wait for a host that does not answer. */
	vm_block_signals(false);
	config.kvm_path = session->options->kvm;
	config.clock = session->options->clock;
	config.terminal = session->terminal;
	config.disks = session->disks;
	config.disk_count = session->disk_count;
	config.paging = session->paging;
	config.ended = on_ended;
	config.ended_ctx = session;
	r = run_watched(session, &config, job, end);
	grace_stop(session->grace);
	session->grace = NULL;
	return r;
}

/* The exit status. */
int session_exit_code(const struct vm_end *end)
{
	switch (end->kind) {
	case VM_END_POWER_OFF:
	case VM_END_STOPPED:
		return EXIT_DONE;
	case VM_END_RESET:
		return EXIT_RESET;
	case VM_END_CRASH:
		return EXIT_CRASHED;
	case VM_END_LEAVE:
		return EXIT_LEFT;
	case VM_END_SOURCE:
		return EXIT_SOURCE;
	case VM_END_SIGNAL:
		return EXIT_SIGNAL + end->detail;
	case VM_END_NONE:
	case VM_END_HOST:
		break;
	}
	return EXIT_HOST;
}
