/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw exec': boots a guest for one command, and exits with its status.
 *
 * Main thread, except where a function says otherwise.  The thread `exec'
 * (vmm/exec/session.h) speaks with the guest's init and decides how the run ends;
 * this file connects its descriptors with the devices of the VM.
 */
#include "vmm/cli/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/cli/exec_options.h"
#include "vmm/cli/exec_report.h"
#include "vmm/cli/exec_warm.h"
#include "vmm/cli/exit.h"
#include "vmm/exec/embedded.h"
#include "vmm/exec/initramfs.h"
#include "vmm/exec/kernel.h"
#include "vmm/exec/modules.h"
#include "vmm/exec/session.h"
#include "vmm/io/terminal.h"
#include "vmm/virtio/virtio.h"

/* After this long without an answer of a saved guest, a user gives up. */
#define PATIENCE_NS (10 * NS_PER_S)

struct run {
	struct exec_options options;
	struct exec_task task;
	struct session session;
	struct guest_kernel kernel;
	struct module_set modules;
	struct exec_warm warm;
	bool refused; /* the saved guest could not be restored */
	int initramfs_fd; /* of a guest that boots */
	char *cmdline;
	FILE *result;
	uint64_t start_ns; /* CLOCK_MONOTONIC */

	/* Pairs: the session's end, the device's end. */
	int control[2], console[2], keys[2];
	int console_copy_fd, signal_fd;
	struct terminal *terminal; /* with a pty */
	struct virtio_ports ports;

	struct vm *vm;
	struct exec_session *exec;
	struct exec_outcome outcome;
	atomic_int code; /* of the outcome; -1: not known yet */
	/* Of devices_stopping; held while the VM is used by another thread. */
	pthread_mutex_t lock;
	bool devices_stopping; /* the devices are not to be used any more */
	bool was_drained; /* the ports, then */
};

/* Whether the guest's console is written to standard error anyway. */
static bool to_stderr(const struct run *run)
{
	const char *console = run->options.console;

	return console && !strcmp(console, "-");
}

/* Opens what the options name, so that a mistake is known before the boot. */
static int open_files(struct run *run)
{
	const struct exec_options *o = &run->options;

	if (o->result) {
		run->result = fopen(o->result, "we");
		if (!run->result)
			return log_errno(errno, "--result %s", o->result);
	}
	if (!o->console)
		return 0;
	if (to_stderr(run))
		run->console_copy_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		run->console_copy_fd =
			open(o->console,
			     O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return run->console_copy_fd < 0 ?
		       log_errno(errno, "--console %s", o->console) :
		       0;
}

/* The kernel and its modules. */
static int open_kernel(struct run *run)
{
	const struct exec_options *o = &run->options;
	const struct kernel_choice choice = { .file = o->kernel,
					      .version = o->version };
	const struct modules_config modules = { .dir = o->modules,
						.kernel = &run->kernel,
						.network =
							run->task.nets.count };
	int r = guest_kernel_open(&run->kernel, &choice);

	return r < 0 ? r : modules_open(&run->modules, &modules);
}

/* The initramfs with the init and the modules. */
static int make_initramfs(struct run *run)
{
	size_t init_bytes;
	const uint8_t *init = exec_embedded_init(&init_bytes);
	int r = init ? initramfs_build(&run->modules, init, init_bytes) :
		       -ENOENT;

	if (r >= 0)
		run->initramfs_fd = r;
	return r;
}

/* Opens a snapshot, or builds the initramfs. */
static int open_guest(struct run *run)
{
	const struct exec_warm_config config = {
		.options = &run->options,
		.kernel = &run->kernel,
		.modules = &run->modules,
		.cmdline = run->cmdline,
		.shares = &run->task.shares,
		.nets = &run->task.nets,
	};

	exec_warm_open(&run->warm, &config);
	return run->warm.found ? 0 : make_initramfs(run);
}

/*
 * Panics, soft lockups and hung tasks reset the guest.  A kernel without one of the
 * detectors passes its parameter on to the init, which ignores it.
 */
static int make_cmdline(struct run *run)
{
	const struct exec_options *o = &run->options;

	if (asprintf(&run->cmdline,
		     "console=ttyS0 loglevel=%d panic=-1 softlockup_panic=1 "
		     "hung_task_panic=1 nmi_watchdog=panic rdinit=/init%s%s",
		     o->console ? 7 : 5, o->params ? " " : "",
		     o->params ? o->params : "") < 0) {
		run->cmdline = NULL;
		return log_errno(ENOMEM, "--params");
	}
	return 0;
}

/* Ctrl-A x was typed.  Thread `exec'. */
static void on_leave(void *ctx)
{
	struct run *run = ctx;

	exec_session_leave(run->exec);
}

/* With a pty, keys come by way of the session, which looks for Ctrl-A x. */
static int open_terminal(struct run *run)
{
	const struct terminal_config config = { .in_fd = STDIN_FILENO,
						.out_fd = STDOUT_FILENO,
						.leave = on_leave,
						.ctx = run };

	if (!run->task.pty)
		return 0;
	if (pipe2(run->keys, O_CLOEXEC | O_NONBLOCK) < 0)
		return log_errno(errno, "pipe for standard input");
	return terminal_open(&run->terminal, &config);
}

static int open_channels(struct run *run)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, run->control) <
	    0)
		return log_errno(errno, "control port");
	if (pipe2(run->console, O_CLOEXEC | O_NONBLOCK) < 0)
		return log_errno(errno, "guest console");
	return 0;
}

static void set_ports(struct run *run)
{
	bool no_stdin = run->task.request.flags & REQUEST_STDIN_CLOSED;
	int in_fd = run->task.pty ? run->keys[0] : no_stdin ? -1 : STDIN_FILENO;

	run->ports = (struct virtio_ports){
		.list = {
			{ PORT_CONTROL, run->control[1], run->control[1] },
			{ PORT_STDIN, in_fd, -1 },
			{ PORT_STDOUT, -1, STDOUT_FILENO },
			{ PORT_STDERR, -1, STDERR_FILENO },
		},
		.count = 4,
	};
}

/* Everything before the VM exists. */
static int run_open(struct run *run, const struct option_operands *command)
{
	/* The guest's serial port writes to the session. */
	struct terminal_config console = { .in_fd = -1 };
	int r = open_channels(run);

	console.out_fd = run->console[1];
	if (r >= 0)
		r = session_open_at(&run->session, &run->options.session,
				    &console);
	if (r >= 0)
		r = open_files(run);
	/* passt starts while the rest is read. */
	if (r >= 0)
		r = nets_open(&run->task.nets);
	if (r >= 0)
		r = exec_task_prepare(&run->task, &run->options,
				      command->values, command->count);
	/* The task says whether there is a pty. */
	if (r >= 0)
		r = open_terminal(run);
	if (r >= 0)
		r = open_kernel(run);
	if (r >= 0)
		r = make_cmdline(run);
	if (r >= 0)
		r = open_guest(run);
	if (r >= 0)
		set_ports(run);
	return r;
}

static void run_close(struct run *run)
{
	/* First the terminal, so that messages are on lines of their own. */
	terminal_close(run->terminal);
	session_close(&run->session);
	close_fd(&run->console_copy_fd);
	close_fd(&run->signal_fd);
	for (int end = 0; end < 2; end++) {
		close_fd(&run->control[end]);
		close_fd(&run->console[end]);
		close_fd(&run->keys[end]);
	}
	close_fd(&run->initramfs_fd);
}

/* What a guest that is still being saved needs; the outcome is known. */
static void run_finish(struct run *run)
{
	exec_warm_close(&run->warm);
	modules_close(&run->modules);
	guest_kernel_close(&run->kernel);
	free(run->cmdline);
	exec_task_finish(&run->task);
	pthread_mutex_destroy(&run->lock);
}

static int boot(struct run *run)
{
	const struct boot_config config = {
		.kernel_fd = run->kernel.image.fd,
		.kernel_name = run->kernel.path,
		.initrd_fd = run->initramfs_fd,
		.initrd_name = "initramfs",
		.cmdline = run->cmdline,
		.has_serial = true,
	};

	return vm_boot(run->vm, &config);
}

/* The session job: restores the saved guest, or loads a kernel. */
static int load(struct vm *vm, void *ctx)
{
	struct run *run = ctx;
	int r;

	run->vm = vm;
	r = run->warm.found ? vm_restore(vm) : boot(run);
	run->refused = run->warm.found && r < 0;
	if (r >= 0)
		r = nets_await(&run->task.nets);
	if (r < 0)
		return r;
	/* The devices have duplicates. */
	close_fd(&run->control[1]);
	close_fd(&run->keys[0]);
	return 0;
}

/* The guest has been saved, and runs on; thread `save'. */
static void on_written(void *ctx)
{
	struct run *run = ctx;

	exec_session_saved(run->exec);
}

/* The init has said HELLO; thread `exec'. */
static bool on_hello(void *ctx)
{
	struct run *run = ctx;
	bool saving = false;

	pthread_mutex_lock(&run->lock);
	if (!run->devices_stopping)
		saving = exec_warm_save(&run->warm, run->vm, on_written, run);
	pthread_mutex_unlock(&run->lock);
	return saving;
}

/* Whether the guest's output has been written; thread `exec'. */
static bool is_drained(void *ctx)
{
	struct run *run = ctx;
	bool drained;

	pthread_mutex_lock(&run->lock);
	drained = run->devices_stopping ? run->was_drained :
					  vm_ports_drained(run->vm);
	pthread_mutex_unlock(&run->lock);
	return drained;
}

/* The session has decided; thread `exec'. */
static void on_decided(void *ctx, const struct exec_outcome *outcome)
{
	struct run *run = ctx;

	atomic_store(&run->code, exec_exit_code(outcome));
	vm_end(run->vm, VM_END_STOPPED, 0);
}

/*
 * The signals of a run: SIGTERM and SIGHUP end it, the others go to the command.
 * Those that the caller has had ignored stay so, as under nohup(1).
 */
static int catch_signals(struct run *run)
{
	static const int signals[] = { SIGTERM, SIGHUP,	 SIGINT,
				       SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct sigaction action;

		if (sigaction(signals[i], NULL, &action) < 0 ||
		    action.sa_handler == SIG_IGN)
			continue;
		sigaddset(&set, signals[i]);
	}
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? log_errno(errno, "signalfd") : 0;
}

static int start_session(struct run *run)
{
	const struct exec_options *o = &run->options;
	const struct exec_config config = {
		.control_fd = run->control[0],
		.console_fd = run->console[0],
		.console_copy_fd = run->console_copy_fd,
		.signal_fd = run->signal_fd,
		.terminal = run->terminal,
		.keys_fd = run->keys[1],
		.setup = &run->task.setup,
		.request = &run->task.request,
		.restored = run->warm.found ? run->kernel.release : NULL,
		.start_ns = run->start_ns,
		.timeout_ns = o->timeout_ns,
		.hang_ns = o->hang_ns,
		.hello = on_hello,
		.is_drained = is_drained,
		.decided = on_decided,
		.ctx = run,
	};

	/* The exec session closes it. */
	run->keys[1] = -1;
	return exec_session_start(&run->exec, &config);
}

static int start(struct vm *vm, void *ctx)
{
	struct run *run = ctx;
	int r = catch_signals(run);

	(void)vm;
	return r < 0 ? r : start_session(run);
}

static void ending(void *ctx)
{
	struct run *run = ctx;

	pthread_mutex_lock(&run->lock);
	run->devices_stopping = true;
	run->was_drained = vm_ports_drained(run->vm);
	pthread_mutex_unlock(&run->lock);
	exec_warm_leave_vm(&run->warm);
}

static void stopped(const struct vm_end *end, void *ctx)
{
	struct run *run = ctx;

	if (run->exec)
		exec_session_finish(run->exec, end, &run->outcome);
	run->exec = NULL;
}

/* The session job: the VM still exists. */
static void ended(const struct vm *vm, void *ctx)
{
	struct run *run = ctx;

	if (vm_entered_ns(vm))
		run->outcome.entered_ns = vm_entered_ns(vm) - run->start_ns;
	if (run->outcome.kind == EXEC_EXITED)
		exec_warm_keep_workingset(&run->warm, vm);
}

/* Any thread that ends the VM. */
static int exit_code(const struct vm_end *end, void *ctx)
{
	struct run *run = ctx;
	int code = atomic_load(&run->code);

	return code >= 0 ? code : exec_end_code(end);
}

static void run_guest(struct run *run)
{
	const struct exec_options *o = &run->options;
	const struct vm_config config = {
		.memory_bytes = o->memory_bytes,
		.backing = o->backing,
		.cpu_count = o->cpus,
		.console = VM_CONSOLE_SERIAL,
		.shares = run->task.shares.list,
		.share_count = run->task.shares.count,
		.ports = &run->ports,
		.nets = run->task.nets.list,
		.net_count = run->task.nets.count,
		.snapshot = run->warm.found ? &run->warm.file : NULL,
	};
	const struct session_job job = {
		.load = load,
		.start = start,
		.ending = ending,
		.stopped = stopped,
		.ended = ended,
		.exit_code = exit_code,
		.ctx = run,
	};
	struct vm_end end = { VM_END_NONE, 0 };

	exec_warm_choose_paging(&run->warm, &run->session.paging);
	/* A saved guest has not mounted any, whatever they were. */
	for (unsigned int i = 0; i < run->task.shares.count; i++)
		run->task.shares.list[i].relocated = run->warm.found;
	session_run(&run->session, config, &job, &end);
}

/*
 * Whether the guest itself did not get as far as to be ready for the command.  An
 * init that cannot do what it was asked for works.
 */
static bool is_broken(const struct exec_outcome *o)
{
	bool waited = o->kind == EXEC_SIGNALLED && o->ended_ns > PATIENCE_NS;

	return !o->ready_ns && !o->init_failed && o->error != EMSGSIZE &&
	       (waited || o->kind == EXEC_PANICKED || o->kind == EXEC_RESET ||
		o->kind == EXEC_HUNG || o->kind == EXEC_TIMED_OUT ||
		o->kind == EXEC_FAILED);
}

/* Runs the command; a saved guest that cannot be restored is replaced. */
static void run_command(struct run *run)
{
	run_guest(run);
	if (run->refused) {
		exec_warm_remove(&run->warm);
		if (make_initramfs(run) >= 0)
			run_guest(run);
	}
	if (is_broken(&run->outcome))
		exec_warm_remove(&run->warm);
}

/* Reports the outcome; the exit status. */
static int conclude(struct run *run, const char *command)
{
	struct exec_outcome *o = &run->outcome;
	int status;

	/* A failure before the session, already logged. */
	if (o->kind == EXEC_NONE)
		o->kind = EXEC_FAILED;
	status = exec_exit_code(o);
	exec_report(o, command, to_stderr(run));
	if (run->result &&
	    exec_result_write(o, run->result, run->options.result,
			      clock_now_ns() - run->start_ns) < 0)
		status = EXIT_EXEC_FAILED;
	if (run->result)
		fclose(run->result);
	exec_outcome_finish(o);
	return status;
}

static void run_init(struct run *run)
{
	*run = (struct run){
		.initramfs_fd = -1,
		.start_ns = clock_now_ns(),
		.control = { -1, -1 },
		.console = { -1, -1 },
		.keys = { -1, -1 },
		.console_copy_fd = -1,
		.signal_fd = -1,
		.code = -1,
	};
	pthread_mutex_init(&run->lock, NULL);
}

/* Parses everything; a status, or -1: it continues. */
static int parse(struct run *run, int argc, char **argv,
		 struct option_operands *command)
{
	switch (exec_options_parse(&run->options, argc, argv, command)) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_EXEC_FAILED;
	case OPTION_DONE:
		break;
	}
	return exec_task_parse(&run->task, &run->options) < 0 ?
		       EXIT_EXEC_FAILED :
		       -1;
}

int exec_main(int argc, char **argv)
{
	struct option_operands command;
	struct run run;
	int status;

	run_init(&run);
	status = parse(&run, argc, argv, &command);
	if (status < 0) {
		if (run_open(&run, &command) >= 0)
			run_command(&run);
		run_close(&run);
		status = conclude(&run, command.values[0]);
	}
	run_finish(&run);
	return status;
}
