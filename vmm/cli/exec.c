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
#include "vmm/cli/exit.h"
#include "vmm/cli/machine.h"
#include "vmm/exec/embedded.h"
#include "vmm/exec/initramfs.h"
#include "vmm/exec/kernel.h"
#include "vmm/exec/modules.h"
#include "vmm/exec/session.h"
#include "vmm/io/terminal.h"
#include "vmm/virtio/virtio.h"

#define AT(member) offsetof(struct exec_options, member)

static const struct option rows[] = {
	{ .kind = OPTION_HEADING, .help = "Command" },
	{ .kind = OPTION_LIST,
	  .letter = 'e',
	  .name = "env",
	  .offset = AT(env),
	  .metavar = "VAR[=VALUE]",
	  .help = "set a variable, or pass the caller's; repeatable" },
	{ .kind = OPTION_STRING,
	  .name = "user",
	  .offset = AT(user),
	  .metavar = "NAME|UID[:GROUP|GID]",
	  .help = "user and group in the guest (default: the\n"
		  "caller's)" },
	{ .kind = OPTION_STRING,
	  .letter = 'w',
	  .name = "workdir",
	  .offset = AT(workdir),
	  .metavar = "DIR",
	  .help = "working directory (default: the current one,\n"
		  "or / if the guest does not have it)" },
	{ .kind = OPTION_FLAG,
	  .letter = 't',
	  .name = "tty",
	  .offset = AT(tty),
	  .help = "run on a pty (default: if standard input and\n"
		  "output are a terminal)" },
	{ .kind = OPTION_FLAG,
	  .letter = 'T',
	  .name = "no-tty",
	  .offset = AT(no_tty),
	  .help = "run on pipes" },
	{ .kind = OPTION_DURATION,
	  .name = "timeout",
	  .offset = AT(timeout_ns),
	  .metavar = "DURATION",
	  .help = "limit of the run, in seconds or with a suffix\n"
		  "ms, s, m or h (default: none)" },
	{ .kind = OPTION_DURATION,
	  .name = "hang-timeout",
	  .offset = AT(hang_ns),
	  .metavar = "DURATION",
	  .help = "limit of the guest's silence (default: 60s)" },
	{ .kind = OPTION_STRING,
	  .name = "result",
	  .offset = AT(result),
	  .metavar = "FILE",
	  .help = "write the outcome to FILE, as JSON" },
	{ .kind = OPTION_HEADING, .help = "Files" },
	{ .kind = OPTION_STRING,
	  .name = "root",
	  .offset = AT(root),
	  .metavar = "DIR[,...]",
	  .help = "root directory (default: /); the guest's\n"
		  "changes go to a layer in its memory; options\n"
		  "as for --share, ro: no layer" },
	{ .kind = OPTION_LIST,
	  .name = "rw",
	  .offset = AT(rw),
	  .metavar = "DIR[,...]",
	  .help = "directory that the guest may change, at the\n"
		  "same path; options as for --share; repeatable" },
	{ .kind = OPTION_LIST,
	  .name = "share",
	  .offset = AT(shares),
	  .metavar = "DIR[:TAG][,...]",
	  .help = "virtio-fs share, for the command to mount;\n"
		  "see thaw run; repeatable" },
	{ .kind = OPTION_HEADING, .help = "Kernel" },
	{ .kind = OPTION_STRING,
	  .letter = 'k',
	  .name = "kernel",
	  .offset = AT(kernel),
	  .metavar = "FILE",
	  .help = "kernel image (default: the running kernel's)" },
	{ .kind = OPTION_STRING,
	  .name = "kernel-version",
	  .offset = AT(version),
	  .metavar = "VERSION",
	  .help = "an installed kernel, by its release" },
	{ .kind = OPTION_STRING,
	  .name = "modules",
	  .offset = AT(modules),
	  .metavar = "DIR",
	  .help = "its modules: an installed tree or a build tree\n"
		  "(default: /lib/modules/VERSION, or the build\n"
		  "tree of --kernel)" },
	{ .kind = OPTION_STRING,
	  .letter = 'p',
	  .name = "params",
	  .offset = AT(params),
	  .metavar = "TEXT",
	  .help = "additional kernel parameters" },
	{ .kind = OPTION_STRING,
	  .name = "console",
	  .offset = AT(console),
	  .metavar = "FILE|-",
	  .help = "write the guest's kernel log to FILE, or to\n"
		  "standard error" },
	{ .kind = OPTION_HEADING, .help = "Machine" },
	MACHINE_OPTION_ROWS(AT(memory_bytes), AT(cpus), 64 * MIB, "1G"),
	MEMORY_BACKING_ROW(AT(backing)),
	PAGING_OPTION_ROWS(AT(session.paging), "eager"),
	SESSION_OPTION_ROWS(AT(session)),
};

static const struct option_spec spec = {
	.command = "thaw exec",
	.operands = "[--] COMMAND [ARGUMENT]...",
	.about = "Run a command in a fresh guest, with the files of this host.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 1,
	.operands_max = UINT32_MAX,
	.operands_last = true,
};

struct run {
	struct exec_options options;
	struct exec_task task;
	struct session session;
	struct guest_kernel kernel;
	struct module_set modules;
	int initramfs_fd;
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
	pthread_mutex_t lock; /* of ending; held while the ports are asked */
	bool ending; /* the devices are not to be used any more */
};

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
	if (!strcmp(o->console, "-"))
		run->console_copy_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		run->console_copy_fd =
			open(o->console,
			     O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return run->console_copy_fd < 0 ?
		       log_errno(errno, "--console %s", o->console) :
		       0;
}

/* The kernel, its modules, and the initramfs with them. */
static int open_kernel(struct run *run)
{
	const struct exec_options *o = &run->options;
	const struct kernel_choice choice = { .file = o->kernel,
					      .version = o->version };
	const struct modules_config modules = { .dir = o->modules,
						.kernel = &run->kernel };
	size_t init_bytes;
	const uint8_t *init = exec_embedded_init(&init_bytes);
	int r;

	if (!init)
		return -ENOENT;
	r = guest_kernel_open(&run->kernel, &choice);
	if (r >= 0)
		r = modules_open(&run->modules, &modules);
	if (r >= 0)
		r = initramfs_build(&run->modules, init, init_bytes);
	if (r >= 0)
		run->initramfs_fd = r;
	return r;
}

/*
 * Panics and resets end the VM, and so do a processor and a task that are stuck;
 * a kernel without such a detector passes its parameter on to the init.
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
	modules_close(&run->modules);
	guest_kernel_close(&run->kernel);
	free(run->cmdline);
}

/* The session job: loads the kernel into the new machine. */
static int boot(struct vm *vm, void *ctx)
{
	struct run *run = ctx;
	const struct boot_config config = {
		.kernel_fd = run->kernel.image.fd,
		.kernel_name = run->kernel.path,
		.initrd_fd = run->initramfs_fd,
		.initrd_name = "initramfs",
		.cmdline = run->cmdline,
		.has_serial = true,
	};

	/* The devices have duplicates. */
	close_fd(&run->control[1]);
	close_fd(&run->keys[0]);
	run->vm = vm;
	return vm_boot(vm, &config);
}

/* Whether the guest's output has been written; thread `exec'. */
static bool is_drained(void *ctx)
{
	struct run *run = ctx;
	bool drained = true;

	pthread_mutex_lock(&run->lock);
	if (!run->ending)
		drained = vm_ports_drained(run->vm);
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
		.start_ns = run->start_ns,
		.timeout_ns = o->timeout_ns,
		.hang_ns = o->hang_ns,
		.is_drained = is_drained,
		.decided = on_decided,
		.ctx = run,
	};

	/* The session closes it. */
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
	run->ending = true;
	pthread_mutex_unlock(&run->lock);
}

static void stopped(const struct vm_end *end, void *ctx)
{
	struct run *run = ctx;

	if (run->exec)
		exec_session_finish(run->exec, end, &run->outcome);
	run->exec = NULL;
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
	};
	const struct session_job job = {
		.load = boot,
		.start = start,
		.ending = ending,
		.stopped = stopped,
		.exit_code = exit_code,
		.ctx = run,
	};
	struct vm_end end = { VM_END_NONE, 0 };

	session_run(&run->session, config, &job, &end);
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
	exec_report(o, command);
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
		.options = { .memory_bytes = GIB,
			     .cpus = 1,
			     .hang_ns = 60 * NS_PER_S },
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
	session_options_init(&run->options.session, PAGER_EAGER);
}

/* Checks options that contradict each other. */
static int check_options(const struct exec_options *o)
{
	if (o->tty && o->no_tty)
		return log_fail(EINVAL, "--tty and --no-tty: use one of them");
	if (o->kernel && o->version)
		return log_fail(EINVAL, "--kernel and --kernel-version: use "
					"one of them");
	if (!o->hang_ns)
		return log_fail(EINVAL, "--hang-timeout: 0 is too short");
	return 0;
}

/* Parses everything; a status, or -1: it continues. */
static int parse(struct run *run, int argc, char **argv,
		 struct option_operands *command)
{
	switch (option_parse(&spec, argc, argv, &run->options, command)) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_EXEC_FAILED;
	case OPTION_DONE:
		break;
	}
	if (check_options(&run->options) < 0 ||
	    paging_options_parse(&run->options.session.paging) < 0 ||
	    exec_shares_parse(&run->task, &run->options) < 0)
		return EXIT_EXEC_FAILED;
	return -1;
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
			run_guest(&run);
		run_close(&run);
		status = conclude(&run, command.values[0]);
	}
	exec_task_finish(&run.task);
	pthread_mutex_destroy(&run.lock);
	return status;
}
