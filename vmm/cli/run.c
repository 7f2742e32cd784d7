/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw run`: boots a guest and stays with it until it ends.
 *
 * Runs on the main thread.  Disks and the terminal belong to this file and
 * outlive the machine, which is made anew for each boot under
 * --on-reboot=restart.
 */
#include "vmm/cli/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/boot/image.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/paging.h"
#include "vmm/io/disk.h"
#include "vmm/io/terminal.h"
#include "vmm/vm/vm.h"

#define CMDLINE_MAX_BYTES 65536

enum on_reboot {
	REBOOT_EXIT,
	REBOOT_RESTART,
};

/* What the command line says. */
struct run_options {
	const char *kernel, *initrd, *params;
	uint64_t memory_bytes;
	unsigned int cpus, verbose;
	struct option_list disks;
	enum memory_backing backing;
	enum vm_console console;
	enum on_reboot on_reboot;
	const char *kvm;
	struct paging_options paging;
};

static const char *const backing_words[] = { "anon", "guest_memfd", NULL };
static const char *const console_words[] = { "serial", "virtio", NULL };
static const char *const reboot_words[] = { "exit", "restart", NULL };

#define AT(member) offsetof(struct run_options, member)

static const struct option rows[] = {
	{ .kind = OPTION_HEADING, .help = "What is booted" },
	{ .kind = OPTION_STRING,
	  .letter = 'k',
	  .name = "kernel",
	  .offset = AT(kernel),
	  .metavar = "FILE",
	  .help = "kernel image; without one the embedded guest\n"
		  "reports what it finds" },
	{ .kind = OPTION_STRING,
	  .letter = 'i',
	  .name = "initrd",
	  .offset = AT(initrd),
	  .metavar = "FILE",
	  .help = "initial ramdisk" },
	{ .kind = OPTION_STRING,
	  .letter = 'p',
	  .name = "params",
	  .offset = AT(params),
	  .metavar = "TEXT",
	  .help = "kernel command line; a console= that fits\n"
		  "--console is put first where TEXT has none" },
	{ .kind = OPTION_HEADING, .help = "The machine" },
	{ .kind = OPTION_SIZE,
	  .letter = 'm',
	  .name = "mem",
	  .offset = AT(memory_bytes),
	  .metavar = "SIZE",
	  .help = "guest memory, in MiB or with K, M, G, T; 256M",
	  .min = 32 * MIB },
	{ .kind = OPTION_UINT,
	  .letter = 'c',
	  .name = "cpus",
	  .offset = AT(cpus),
	  .metavar = "N",
	  .help = "virtual CPUs; 1",
	  .min = 1 },
	{ .kind = OPTION_LIST,
	  .letter = 'd',
	  .name = "disk",
	  .offset = AT(disks),
	  .metavar = "PATH[,ro]",
	  .help = "virtio disk from a raw file or block device;\n"
		  "may be given again" },
	{ .kind = OPTION_CHOICE,
	  .name = "memory",
	  .offset = AT(backing),
	  .help = "what backs guest memory; anon",
	  .choices = backing_words },
	{ .kind = OPTION_CHOICE,
	  .name = "console",
	  .offset = AT(console),
	  .help = "what the terminal is connected to; serial;\n"
		  "Ctrl-A x leaves",
	  .choices = console_words },
	{ .kind = OPTION_CHOICE,
	  .name = "on-reboot",
	  .offset = AT(on_reboot),
	  .help = "when the guest resets: end with status 82, or\n"
		  "boot again; exit",
	  .choices = reboot_words },
	PAGING_OPTION_ROWS(AT(paging)),
	{ .kind = OPTION_HEADING, .help = "Other" },
	{ .kind = OPTION_COUNT,
	  .letter = 'v',
	  .name = "verbose",
	  .offset = AT(verbose),
	  .help = "say more; twice for details" },
	{ .kind = OPTION_STRING,
	  .name = "kvm",
	  .offset = AT(kvm),
	  .metavar = "PATH",
	  .help = "the KVM device; /dev/kvm" },
};

static const struct option_spec spec = {
	.command = "thaw run",
	.about = "Boots a guest and stays with it until it ends.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
};

/* What one run holds on to; zeroed is empty, but for the descriptors. */
struct run {
	struct run_options options;
	int kernel_fd, initrd_fd;
	char *cmdline;
	struct disk disks[OPTION_LIST_MAX];
	unsigned int disk_count;
	struct terminal *terminal;
	struct vm_paging paging;
	struct vm *vm; /* the machine of this boot, for on_leave() */
};

/* Opens one disk, "PATH" or "PATH,ro". */
static int open_disk(struct run *run, const char *arg)
{
	static const char suffix[] = ",ro";
	size_t len = strlen(arg), cut = sizeof(suffix) - 1;
	bool read_only = len > cut && !strcmp(arg + len - cut, suffix);
	CLEANUP_FREE char *path = strndup(arg, read_only ? len - cut : len);
	int r;

	if (!path)
		return log_errno(ENOMEM, "disk %s", arg);
	r = disk_open(&run->disks[run->disk_count], path, read_only);
	if (r >= 0)
		run->disk_count++;
	return r;
}

/* A descriptor of the guest that is part of this program. */
static int open_embedded(void)
{
	CLEANUP_CLOSE int fd = memfd_create("embedded guest", MFD_CLOEXEC);
	size_t len, done = 0;
	const uint8_t *image = arch_embedded_guest(&len);

	if (!len)
		return log_fail(ENOENT, "no --kernel, and this thaw was built "
					"without its embedded guest");
	if (fd < 0)
		return log_errno(errno, "embedded guest");
	while (done < len) {
		ssize_t n = write(fd, image + done, len - done);

		if (n < 0)
			return log_errno(errno, "embedded guest");
		done += (size_t)n;
	}
	return take_fd(&fd);
}

/* Opens kernel and initrd. */
static int open_images(struct run *run)
{
	const struct run_options *o = &run->options;

	run->kernel_fd =
		o->kernel ? image_open("kernel", o->kernel) : open_embedded();
	if (run->kernel_fd < 0)
		return run->kernel_fd;
	if (!o->initrd)
		return 0;
	run->initrd_fd = image_open("initrd", o->initrd);
	return run->initrd_fd < 0 ? run->initrd_fd : 0;
}

/* Whether a kernel command line names a console. */
static bool has_console(const char *params)
{
	const char *at = params;

	while ((at = strstr(at, "console="))) {
		if (at == params || at[-1] == ' ')
			return true;
		at++;
	}
	return false;
}

/* Makes the kernel command line. */
static int make_cmdline(struct run *run)
{
	const char *params = run->options.params ? run->options.params : "";
	bool virtio = run->options.console == VM_CONSOLE_VIRTIO;
	const char *console = virtio ? "console=hvc0" : "console=ttyS0";

	if (has_console(params))
		console = "";
	if (strlen(params) > CMDLINE_MAX_BYTES)
		return log_fail(E2BIG, "--params: longer than %d bytes",
				CMDLINE_MAX_BYTES);
	if (asprintf(&run->cmdline, "%s%s%s", console,
		     *console && *params ? " " : "", params) < 0) {
		run->cmdline = NULL;
		return log_errno(ENOMEM, "--params");
	}
	return 0;
}

/* The user typed Ctrl-A x.  Loop thread, while the machine is there. */
static void on_leave(void *ctx)
{
	struct run *run = ctx;

	vm_end(run->vm, VM_END_LEAVE, 0);
}

/* Opens everything that the machine will use. */
static int run_open(struct run *run)
{
	struct terminal_config terminal = { .in_fd = STDIN_FILENO,
					    .out_fd = STDOUT_FILENO,
					    .leave = on_leave,
					    .ctx = run };
	int r = paging_options_use(&run->options.paging, &run->paging);

	if (r >= 0)
		r = open_images(run);

	for (unsigned int i = 0; r >= 0 && i < run->options.disks.count; i++)
		r = open_disk(run, run->options.disks.values[i]);
	if (r >= 0)
		r = make_cmdline(run);
	if (r >= 0)
		r = terminal_open(&run->terminal, &terminal);
	return r;
}

/* Closes it all. */
static void run_close(struct run *run)
{
	terminal_close(run->terminal);
	for (unsigned int i = 0; i < run->disk_count; i++)
		disk_close(&run->disks[i]);
	free(run->cmdline);
	if (run->paging.trace_fd >= 0)
		close(run->paging.trace_fd);
	if (run->initrd_fd >= 0)
		close(run->initrd_fd);
	if (run->kernel_fd >= 0)
		close(run->kernel_fd);
}

/* Boots the machine that is made, and waits for its end. */
static int run_machine(struct run *run, struct vm_end *end)
{
	const struct run_options *o = &run->options;
	struct boot_config boot = {
		.kernel_fd = run->kernel_fd,
		.kernel_name = o->kernel ? o->kernel : "embedded guest",
		.initrd_fd = run->initrd_fd,
		.initrd_name = o->initrd,
		.cmdline = run->cmdline,
		.has_serial = true,
	};
	int r = vm_boot(run->vm, &boot);

	if (r >= 0)
		r = vm_catch_signals(run->vm);
	if (r >= 0)
		r = terminal_raw(run->terminal, true);
	if (r >= 0)
		r = vm_start(run->vm);
	if (r >= 0)
		*end = vm_wait(run->vm);
	return r;
}

/* One boot: makes a machine, runs it to its end, destroys it. */
static int run_once(struct run *run, struct vm_end *end)
{
	const struct run_options *o = &run->options;
	struct vm_config config = {
		.kvm_path = o->kvm,
		.memory_bytes = o->memory_bytes,
		.backing = o->backing,
		.cpu_count = o->cpus,
		.console = o->console,
		.terminal = run->terminal,
		.disks = run->disks,
		.disk_count = run->disk_count,
		.paging = run->paging,
	};
	int r = vm_create(&run->vm, &config);

	if (r < 0)
		return r;
	r = run_machine(run, end);
	paging_report(&o->paging, run->vm);
	vm_destroy(run->vm);
	run->vm = NULL;
	terminal_raw(run->terminal, false);
	return r;
}

/* The exit status for the end of a machine. */
static int exit_code(const struct vm_end *end)
{
	switch (end->kind) {
	case VM_END_POWER_OFF:
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

/* Boots until the guest does not want to be booted again. */
static int run_until_end(struct run *run)
{
	struct vm_end end = { VM_END_NONE, 0 };

	do {
		if (run_once(run, &end) < 0)
			return EXIT_HOST;
	} while (end.kind == VM_END_RESET &&
		 run->options.on_reboot == REBOOT_RESTART);
	return exit_code(&end);
}

/* The subcommand. */
int run_main(int argc, char **argv)
{
	struct run run = {
		.options = { .memory_bytes = 256 * MIB, .cpus = 1 },
		.kernel_fd = -1,
		.initrd_fd = -1,
		.paging = { .trace_fd = -1 },
	};
	int code = EXIT_HOST;

	paging_options_init(&run.options.paging, PAGER_EAGER);

	switch (option_parse(&spec, argc, argv, &run.options, NULL)) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_USAGE;
	case OPTION_DONE:
		break;
	}
	log_set_level(LOG_WARN + run.options.verbose);
	signal(SIGPIPE, SIG_IGN);
	vm_block_signals();
	if (run_open(&run) >= 0)
		code = run_until_end(&run);
	run_close(&run);
	return code;
}
