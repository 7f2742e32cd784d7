/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw run`: boots a guest in the foreground.
 *
 * Runs on the main thread.  With --on-reboot=restart each boot creates a new
 * machine; the images stay open.
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
#include "vmm/cli/disk.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/machine.h"
#include "vmm/cli/net.h"
#include "vmm/cli/session.h"
#include "vmm/cli/share.h"
#include "vmm/vm/vm.h"

#define CMDLINE_MAX_BYTES 65536

enum on_reboot {
	REBOOT_EXIT,
	REBOOT_RESTART,
};

struct run_options {
	const char *kernel, *initrd, *params;
	uint64_t memory_bytes;
	unsigned int cpus;
	struct option_list disks, shares, nets;
	const char *root;
	bool raw_params;
	enum memory_backing backing;
	enum vm_console console;
	enum on_reboot on_reboot;
	struct session_options session;
};

static const char *const console_names[] = { "serial", "virtio", NULL };
static const char *const reboot_names[] = { "exit", "restart", NULL };

#define AT(member) offsetof(struct run_options, member)

static const struct option rows[] = {
	{ .kind = OPTION_HEADING, .help = "Boot" },
	{ .kind = OPTION_STRING,
	  .letter = 'k',
	  .name = "kernel",
	  .offset = AT(kernel),
	  .metavar = "FILE",
	  .help = "kernel image (default: an embedded guest that\n"
		  "reports its hardware)" },
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
	  .help = "kernel command line; unless TEXT has a\n"
		  "console=, the one for --console is prepended" },
	{ .kind = OPTION_FLAG,
	  .name = "raw-params",
	  .offset = AT(raw_params),
	  .help = "use --params as given, without adding console=\n"
		  "or root=" },
	{ .kind = OPTION_HEADING, .help = "Machine" },
	MACHINE_OPTION_ROWS(AT(memory_bytes), AT(cpus), 32 * MIB, "256M"),
	{ .kind = OPTION_LIST,
	  .letter = 'd',
	  .name = "disk",
	  .offset = AT(disks),
	  .metavar = DISK_OPTION_METAVAR,
	  .help = "virtio disk backed by a raw image or a block\n"
		  "device; direct: bypass the host's page cache;\n"
		  "aio=auto|io_uring|threads (default: auto);\n"
		  "repeatable" },
	{ .kind = OPTION_LIST,
	  .name = "share",
	  .offset = AT(shares),
	  .metavar = "DIR[:TAG][,...]",
	  .help = "virtio-fs share of a host directory (default\n"
		  "tag: share, then share1...); options: ro,\n"
		  "cache=auto|always|never, uid=N, gid=N,\n"
		  "squash=UID:GID, dev; repeatable; a comma in\n"
		  "DIR is written twice" },
	{ .kind = OPTION_STRING,
	  .name = "root",
	  .offset = AT(root),
	  .metavar = "DIR[,...]",
	  .help = "share of the guest's root file system; adds\n"
		  "root= to the command line; options as above" },
	NET_OPTION_ROW(AT(nets)),
	MEMORY_BACKING_ROW(AT(backing)),
	{ .kind = OPTION_CHOICE,
	  .name = "console",
	  .offset = AT(console),
	  .help = "guest console on this terminal; Ctrl-A x ends\n"
		  "the guest (default: serial)",
	  .choices = console_names },
	{ .kind = OPTION_CHOICE,
	  .name = "on-reboot",
	  .offset = AT(on_reboot),
	  .help = "on a guest reset: exit with status 82, or boot\n"
		  "again (default: exit)",
	  .choices = reboot_names },
	SESSION_CLOCK_ROW(AT(session)),
	PAGING_OPTION_ROWS(AT(session.paging), "eager"),
	SESSION_OPTION_ROWS(AT(session)),
};

static const struct option_spec spec = {
	.command = "thaw run",
	.about = "Boot a guest in the foreground.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
};

/* The files of a run, kept open across restarts. */
struct run {
	struct run_options options;
	struct session session;
	struct shares shares;
	struct nets nets;
	int kernel_fd, initrd_fd;
	char *cmdline;
};

/* Copies the embedded guest into a memfd; the caller closes it. */
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

/* Whether @params has a console= parameter. */
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

/* The parameters that mount the share of --root; the user's come after them. */
static const char *root_params(const struct run *run)
{
	if (!run->options.root || run->options.raw_params)
		return "";
	return run->shares.list[0].fs.read_only ?
		       "root=" SHARE_ROOT_TAG " rootfstype=virtiofs ro " :
		       "root=" SHARE_ROOT_TAG " rootfstype=virtiofs rw ";
}

static int make_cmdline(struct run *run)
{
	const char *params = run->options.params ? run->options.params : "";
	bool virtio = run->options.console == VM_CONSOLE_VIRTIO;
	const char *console = virtio ? "console=hvc0 " : "console=ttyS0 ";

	if (run->options.raw_params || has_console(params))
		console = "";
	if (strlen(params) > CMDLINE_MAX_BYTES)
		return log_fail(E2BIG, "--params: longer than %d bytes",
				CMDLINE_MAX_BYTES);
	if (asprintf(&run->cmdline, "%s%s%s", console, root_params(run),
		     params) < 0) {
		run->cmdline = NULL;
		return log_errno(ENOMEM, "--params");
	}
	/* Without --params, what is prepended ends in a space. */
	if (*run->cmdline && !*params)
		run->cmdline[strlen(run->cmdline) - 1] = '\0';
	return 0;
}

/* Opens every file that the machine uses, before anything is created. */
static int run_open(struct run *run)
{
	int r = session_open(&run->session, &run->options.session);

	if (r >= 0)
		r = open_images(run);
	for (unsigned int i = 0; r >= 0 && i < run->options.disks.count; i++)
		r = session_add_disk_option(&run->session,
					    run->options.disks.values[i]);
	if (r >= 0)
		r = nets_open(&run->nets);
	return r < 0 ? r : make_cmdline(run);
}

static void run_close(struct run *run)
{
	session_close(&run->session);
	nets_finish(&run->nets);
	shares_finish(&run->shares);
	free(run->cmdline);
	if (run->initrd_fd >= 0)
		close(run->initrd_fd);
	if (run->kernel_fd >= 0)
		close(run->kernel_fd);
}

/* The session job: loads the kernel into a new machine. */
static int boot(struct vm *vm, void *ctx)
{
	struct run *run = ctx;
	const struct run_options *o = &run->options;
	struct boot_config config = {
		.kernel_fd = run->kernel_fd,
		.kernel_name = o->kernel ? o->kernel : "embedded guest",
		.initrd_fd = run->initrd_fd,
		.initrd_name = o->initrd,
		.cmdline = run->cmdline,
		.has_serial = true,
	};
	int r = vm_boot(vm, &config);

	return r < 0 ? r : nets_await(&run->nets);
}

/* Boots, again after each reset under --on-reboot=restart. */
static int run_until_end(struct run *run)
{
	const struct run_options *o = &run->options;
	struct vm_config config = {
		.memory_bytes = o->memory_bytes,
		.backing = o->backing,
		.cpu_count = o->cpus,
		.console = o->console,
		.shares = run->shares.list,
		.share_count = run->shares.count,
		.nets = run->nets.list,
		.net_count = run->nets.count,
	};
	struct session_job job = { .load = boot, .ctx = run };
	struct vm_end end = { VM_END_NONE, 0 };

	do {
		if (session_run(&run->session, config, &job, &end) < 0)
			return EXIT_HOST;
	} while (end.kind == VM_END_RESET && o->on_reboot == REBOOT_RESTART);
	return session_exit_code(&end);
}

int run_main(int argc, char **argv)
{
	struct run run = {
		.options = { .memory_bytes = 256 * MIB, .cpus = 1 },
		.kernel_fd = -1,
		.initrd_fd = -1,
	};
	int status;

	session_options_init(&run.options.session, PAGER_EAGER);
	status = exit_after_options(
		option_parse(&spec, argc, argv, &run.options, NULL));
	if (status >= 0)
		return status;
	if (paging_options_parse(&run.options.session.paging) < 0)
		return EXIT_USAGE;
	if (shares_parse(&run.shares, run.options.root, &run.options.shares) <
		    0 ||
	    nets_parse(&run.nets, &run.options.nets) < 0)
		status = EXIT_USAGE;
	else
		status = run_open(&run) < 0 ? EXIT_HOST : run_until_end(&run);
	run_close(&run);
	return status;
}
