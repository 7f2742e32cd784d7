/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM in the foreground, from its creation to the exit status.  Main
 * thread, except where a function says otherwise.
 */
#include "vmm/cli/session.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/cli/disk.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/grace.h"
#include "vmm/ctl/ctl.h"
#include "vmm/io/raw_mode.h"
#include "vmm/io/terminal.h"

const char *const session_clock_names[] = { "continue", "follow", NULL };

/* How long the guest's last output may take to be written. */
#define OUTPUT_NS (60 * NS_PER_S)

void session_options_init(struct session_options *options, enum pager_mode mode)
{
	*options = (struct session_options){ 0 };
	paging_options_init(&options->paging, mode);
}

/* The user typed Ctrl-A x.  Loop or main thread, while the VM exists. */
static void on_leave(void *ctx)
{
	struct session *session = ctx;

	vm_end_asked(session->vm, VM_END_LEAVE, 0);
}

int session_open(struct session *session, const struct session_options *options)
{
	struct terminal_config terminal = { .in_fd = STDIN_FILENO,
					    .out_fd = STDOUT_FILENO,
					    .leave = on_leave,
					    .ctx = session };

	return session_open_at(session, options, &terminal);
}

int session_open_at(struct session *session,
		    const struct session_options *options,
		    const struct terminal_config *terminal)
{
	int r;

	*session = (struct session){ .options = options,
				     .paging = { .trace_fd = -1 },
				     .start_ns = clock_now_ns() };
	log_set_level(LOG_WARN + options->verbose);
	/* A closed pipe is reported by write(2). */
	signal(SIGPIPE, SIG_IGN);
	if (options->clock == VM_CLOCK_FOLLOW)
		log_warn("--clock=follow: guest clocks jump ahead by the time "
			 "that the guest was stopped; timers expire at once, "
			 "and watchdogs may report stalls");
	r = paging_options_use(&options->paging, &session->paging);
	return r < 0 ? r : terminal_open(&session->terminal, terminal);
}

void session_close(struct session *session)
{
	terminal_close(session->terminal);
	for (unsigned int i = 0; i < session->disk_count; i++)
		disk_close(&session->disks[i]);
	if (session->paging.trace_fd >= 0)
		close(session->paging.trace_fd);
}

int session_add_disk(struct session *session,
		     const struct disk_options *options)
{
	struct disk *disk = &session->disks[session->disk_count];
	int r = disk_open(disk, options->path, options->read_only);

	if (r < 0)
		return r;
	session->disk_count++;
	disk->aio = options->aio;
	return options->direct ? disk_set_direct(disk) : 0;
}

int session_add_disk_option(struct session *session, const char *arg)
{
	struct disk_options options;
	int r = disk_options_parse(&options, arg);

	if (r >= 0)
		r = session_add_disk(session, &options);
	disk_options_finish(&options);
	return r;
}

int session_take_disk(struct session *session, int fd, const char *path,
		      bool read_only)
{
	int r = disk_take(&session->disks[session->disk_count], fd, path,
			  read_only);

	if (r >= 0)
		session->disk_count++;
	return r;
}

int session_add_private(struct session *session, int base_fd, int dir_fd,
			uint64_t size_bytes, const char *path,
			const char *origin)
{
	struct disk *disk = &session->disks[session->disk_count];
	int r = disk_open_private(disk, base_fd, dir_fd, size_bytes, path);

	if (r < 0)
		return r;
	session->disk_count++;
	disk->origin = strdup(origin);
	return disk->origin ? 0 : log_errno(ENOMEM, "disk %s", path);
}

/* The exit status for the end of a VM. */
static int exit_code(const struct session_job *job, const struct vm_end *end)
{
	return job->exit_code ? job->exit_code(end, job->ctx) :
				session_exit_code(end);
}

/* The status for an error of the host. */
static int exit_host(const struct session_job *job)
{
	return exit_code(job, &(struct vm_end){ VM_END_HOST, 0 });
}

/* Signals are blocked; arranges what they do. */
static int catch_signals(struct session *session, const struct session_job *job)
{
	return job->start ? job->start(session->vm, job->ctx) :
			    vm_catch_signals(session->vm);
}

/* Runs a VM that has been loaded. */
static int run_loaded(struct session *session, const struct session_job *job,
		      struct vm_end *end)
{
	const char *control = session->options->control;
	struct ctl *ctl = NULL;
	int r;

	/* From here on a signal ends the VM in order. */
	vm_block_signals(true);
	r = catch_signals(session, job);
	if (r >= 0)
		r = terminal_raw(session->terminal, true);
	if (r >= 0 && control)
		r = ctl_listen(&ctl, control, session->vm);
	if (r >= 0)
		r = vm_start(session->vm);
	if (r >= 0 && ctl)
		r = ctl_serve(ctl);
	if (r >= 0)
		vm_wait(session->vm);
	else
		grace_begin(session->grace, exit_host(job));
	if (job->ending)
		job->ending(job->ctx);
	/* First, because stopping the threads may exceed the grace period. */
	ctl_hide(ctl);
	vm_stop(session->vm);
	grace_renew(session->grace, 0);
	ctl_stop(ctl);
	/* Only now: `quit' may have come after a reset. */
	if (r >= 0)
		*end = vm_get_end(session->vm);
	return r;
}

/* The VM's end has been decided.  Any thread. */
static void on_ended(void *ctx, struct vm_end end)
{
	struct session *session = ctx;

	grace_begin(session->grace, exit_code(session->job, &end));
}

/* The grace period is over.  Grace thread. */
static void restore_terminal(void *ctx)
{
	(void)ctx;
	raw_mode_leave();
}

/* Creates, loads and runs a VM; the grace thread runs. */
static int run_watched(struct session *session, const struct vm_config *config,
		       const struct session_job *job, struct vm_end *end)
{
	int r = vm_create(&session->vm, config);

	if (r < 0)
		return r;
	r = job->load(session->vm, job->ctx);
	if (r >= 0) {
		paging_warn_unused(&session->options->paging,
				   vm_pager_choice(session->vm)->mode,
				   config->snapshot != NULL);
		r = run_loaded(session, job, end);
	}
	/* A page was unavailable while loading. */
	else if (vm_get_end(session->vm).kind == VM_END_SOURCE) {
		*end = vm_get_end(session->vm);
		r = 0;
	}
	if (r < 0)
		grace_begin(session->grace, exit_host(job));
	/* In the plain grace period: a disk may not answer. */
	if (end->kind != VM_END_NONE)
		vm_finish_requests(session->vm);
	/* The guest's output comes before the statistics. */
	grace_renew(session->grace, OUTPUT_NS);
	if (end->kind != VM_END_NONE)
		vm_finish_devices(session->vm);
	if (job->stopped)
		job->stopped(end, job->ctx);
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

int session_run(struct session *session, struct vm_config config,
		const struct session_job *job, struct vm_end *end)
{
	int r = grace_start(&session->grace, restore_terminal, session);

	if (r < 0)
		return r;
	/* Loading may block on the host; signals then end the process. */
	vm_block_signals(false);
	config.kvm_path = session->options->kvm;
	config.clock = session->options->clock;
	config.terminal = session->terminal;
	config.disks = session->disks;
	config.disk_count = session->disk_count;
	config.paging = session->paging;
	config.huge = session->options->paging.huge;
	config.ended = on_ended;
	config.ended_ctx = session;
	session->job = job;
	r = run_watched(session, &config, job, end);
	grace_stop(session->grace);
	session->grace = NULL;
	return r;
}

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
