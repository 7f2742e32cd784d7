/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw run`: boots a guest and stays with it until it ends.
 *
 * Runs on the main thread.  The machine is made anew for each boot under
 * --on-reboot=restart; the images stay open.
 */
#include "vmm/cli/run.h"

#include <errno.h>
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
#include "vmm/cli/session.h"
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
	unsigned int cpus;
	struct option_list disks;
	bool raw_params;
	enum memory_backing backing;
	enum vm_console console;
	enum on_reboot on_reboot;
	struct session_options session;
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
	{ .kind = OPTION_FLAG,
	  .name = "raw-params",
	  .offset = AT(raw_params),
	  .help = "leave --params exactly as given: no console=\n"
		  "is added" },
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
	SESSION_CLOCK_ROW(AT(session)),
	PAGING_OPTION_ROWS(AT(session.paging)),
	SESSION_OPTION_ROWS(AT(session)),
};

static const struct option_spec spec = {
	.command = "thaw run",
	.about = "Boots a guest and stays with it until it ends.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
};

/* What one run holds on to. */
struct run {
	struct run_options options;
	struct session session;
	int kernel_fd, initrd_fd;
	char *cmdline;
};

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

	if (run->options.raw_params || has_console(params))
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

/* Opens everything that the machine will use. */
static int run_open(struct run *run)
{
	int r = session_open(&run->session, &run->options.session);

	if (r >= 0)
		r = open_images(run);
	for (unsigned int i = 0; r >= 0 && i < run->options.disks.count; i++)
		r = session_add_disk(&run->session,
				     run->options.disks.values[i]);
	return r < 0 ? r : make_cmdline(run);
}

/* Closes it all. */
static void run_close(struct run *run)
{
	session_close(&run->session);
	free(run->cmdline);
	if (run->initrd_fd >= 0)
		close(run->initrd_fd);
	if (run->kernel_fd >= 0)
		close(run->kernel_fd);
}

/* Loads the kernel into a machine; see session_run(). */
static int boot(struct vm *vm, void *ctx)
{
	const struct run *run = ctx;
	const struct run_options *o = &run->options;
	struct boot_config config = {
		.kernel_fd = run->kernel_fd,
		.kernel_name = o->kernel ? o->kernel : "embedded guest",
		.initrd_fd = run->initrd_fd,
		.initrd_name = o->initrd,
		.cmdline = run->cmdline,
		.has_serial = true,
	};

	return vm_boot(vm, &config);
}

/* Boots until the guest does not want to be booted again. */
static int run_until_end(struct run *run)
{
	const struct run_options *o = &run->options;
	struct vm_config config = {
		.memory_bytes = o->memory_bytes,
		.backing = o->backing,
		.cpu_count = o->cpus,
		.console = o->console,
	};
	struct session_job job = { .load = boot, .ctx = run };
	struct vm_end end = { VM_END_NONE, 0 };

	do {
		if (session_run(&run->session, config, &job, &end) < 0)
			return EXIT_HOST;
	} while (end.kind == VM_END_RESET && o->on_reboot == REBOOT_RESTART);
	return session_exit_code(&end);
}

/* The subcommand. */
int run_main(int argc, char **argv)
{
	struct run run = {
		.options = { .memory_bytes = 256 * MIB, .cpus = 1 },
		.kernel_fd = -1,
		.initrd_fd = -1,
	};
	int code = EXIT_HOST;

	session_options_init(&run.options.session, PAGER_EAGER);
	switch (option_parse(&spec, argc, argv, &run.options, NULL)) {
	case OPTION_HELPED:
		return EXIT_DONE;
	case OPTION_BAD:
		return EXIT_USAGE;
	case OPTION_DONE:
		break;
	}
	if (run_open(&run) >= 0)
		code = run_until_end(&run);
	run_close(&run);
	return code;
}
