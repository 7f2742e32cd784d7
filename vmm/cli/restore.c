/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw restore`: resumes a guest from a snapshot, in the foreground.  Main
 * thread.
 */
#include "vmm/cli/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/cli/disk.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/machine.h"
#include "vmm/cli/net.h"
#include "vmm/cli/session.h"
#include "vmm/cli/share.h"
#include "vmm/snap/file.h"
#include "vmm/vm/snapshot.h"

/* What to do with the working set of the snapshot. */
enum workingset {
	WORKINGSET_USE, /* prefault it, if the snapshot has one */
	WORKINGSET_RECORD, /* write it when the guest ends */
	WORKINGSET_OFF,
};

static const char *const workingset_names[] = { "use", "record", "off", NULL };

struct restore_options {
	struct option_list disks, shares, nets;
	enum memory_backing backing;
	bool trust_paths, verify, track;
	enum workingset workingset;
	struct session_options session;
};

#define AT(member) offsetof(struct restore_options, member)

static const struct option rows[] = {
	{ .kind = OPTION_HEADING, .help = "Machine" },
	{ .kind = OPTION_LIST,
	  .letter = 'd',
	  .name = "disk",
	  .offset = AT(disks),
	  .metavar = DISK_OPTION_METAVAR,
	  .help = "all disks, or all without a copy in DIR, in\n"
		  "snapshot order (default: private disks from the\n"
		  "copies, else files in DIR); options as for run" },
	{ .kind = OPTION_LIST,
	  .name = "share",
	  .offset = AT(shares),
	  .metavar = "DIR:TAG",
	  .help = "the directory for the share TAG of the\n"
		  "snapshot; options as for thaw run; repeatable" },
	NET_OPTION_ROW(AT(nets)),
	{ .kind = OPTION_FLAG,
	  .name = "trust-paths",
	  .offset = AT(trust_paths),
	  .help = "open disks that are not in DIR, and shares, at\n"
		  "the paths recorded in the snapshot (see thaw\n"
		  "inspect)" },
	MEMORY_BACKING_ROW(AT(backing)),
	{ .kind = OPTION_FLAG,
	  .name = "verify",
	  .offset = AT(verify),
	  .help = "verify all checksums before the guest starts" },
	{ .kind = OPTION_FLAG,
	  .name = "track",
	  .offset = AT(track),
	  .help = "track the guest's writes, so that DIR can be the\n"
		  "base of its next snapshot" },
	SESSION_CLOCK_ROW(AT(session)),
	PAGING_OPTION_ROWS(AT(session.paging), "auto"),
	{ .kind = OPTION_CHOICE,
	  .name = "workingset",
	  .offset = AT(workingset),
	  .help = "prefault the recorded working set, record it,\n"
		  "or ignore it (default: use)",
	  .choices = workingset_names },
	SESSION_OPTION_ROWS(AT(session)),
};

static const struct option_spec spec = {
	.command = "thaw restore",
	.operands = "DIR",
	.about = "Resume a guest from the snapshot in DIR, in the foreground.",
	.options = rows,
	.option_count = ARRAY_SIZE(rows),
	.operands_min = 1,
	.operands_max = 1,
};

struct restore {
	struct restore_options options;
	struct session session;
	struct snap_file file;
	struct vm_description machine;
	struct shares given; /* the values of --share */
	struct shares shares;
	struct nets nets;
	uint64_t *workingset; /* page numbers to prefault; owned */
};

/* Opens a disk in the snapshot's directory. */
static int open_inside(struct restore *restore, const struct vm_disk *was,
		       const char *inside)
{
	CLEANUP_FREE char *path = NULL;
	int fd = snap_open_inside(&restore->file, inside,
				  was->read_only ? O_RDONLY : O_RDWR);

	if (asprintf(&path, "%s/%s", restore->file.path, inside) < 0)
		path = NULL;
	if (fd < 0)
		return log_errno(-fd, "open disk %s%s", path ? path : inside,
				 was->read_only ? "" : " for writing");
	return session_take_disk(&restore->session, fd, path ? path : inside,
				 was->read_only);
}

/* Opens disk @n as a private one, which begins with the snapshot's copy. */
static int open_copy(struct restore *restore, unsigned int n)
{
	const struct snap_file *file = &restore->file;
	const struct vm_disk *was = &restore->machine.disks[n];
	CLEANUP_FREE char *path = NULL;
	int fd = snap_open_disk(file, n);

	if (fd < 0)
		return fd;
	if (asprintf(&path, "%s/" SNAP_DISK_NAME, file->path, n) < 0)
		path = NULL;
	return session_add_private(&restore->session, fd, file->dir_fd,
				   was->size_bytes, path ? path : was->path,
				   was->path);
}

/* Opens a disk at the path recorded in the snapshot. */
static int open_recorded(struct restore *restore, const struct vm_disk *was)
{
	CLEANUP_FREE char *path = NULL;
	struct disk_options options = { .read_only = was->read_only };

	/* The path comes last: it may be longer than a line of the log. */
	if (!restore->options.trust_paths)
		return log_fail(EPERM,
				"%s: a disk is outside the snapshot: pass "
				"the disks with -d, or add --trust-paths to "
				"open the recorded path: %s",
				restore->file.path, was->path);
	path = strdup(was->path);
	if (!path)
		return log_errno(ENOMEM, "disk %s", was->path);
	options.path = path;
	return session_add_disk(&restore->session, &options);
}

/* Opens what -d number @given names. */
static int open_given(struct restore *restore, unsigned int given)
{
	const struct disk *disk =
		&restore->session.disks[restore->session.disk_count];
	struct stat st;
	int r = session_add_disk_option(&restore->session,
					restore->options.disks.values[given]);

	/* A copy has no checksum that would show it. */
	if (r >= 0 && !disk->read_only && fstat(disk->fd, &st) == 0 &&
	    snap_is_disk(&restore->file, &st))
		return log_fail(EINVAL,
				"%s: the snapshot's copy of a disk, which a "
				"guest must not write to: without -d it has "
				"one of its own",
				disk->path);
	return r;
}

/*
 * Opens disk @n of the snapshot, number @given of those with a -d, and checks that it
 * fits.
 */
static int open_disk(struct restore *restore, unsigned int n,
		     unsigned int given)
{
	const struct vm_disk *was = &restore->machine.disks[n];
	const struct disk *disk = &restore->session.disks[n];
	const char *inside;
	int r;

	if (given < restore->options.disks.count) {
		r = open_given(restore, given);
	} else if (was->copied) {
		r = open_copy(restore, n);
	} else {
		inside = vm_disk_inside(&restore->file, &restore->machine, n);
		r = inside ? open_inside(restore, was, inside) :
			     open_recorded(restore, was);
	}
	if (r < 0)
		return r;
	if (disk->size_bytes != was->size_bytes)
		return log_fail(EINVAL,
				"%s: size is %llu bytes; the snapshot's disk "
				"has %llu",
				disk->path,
				(unsigned long long)disk->size_bytes,
				(unsigned long long)was->size_bytes);
	if (disk->read_only && !was->read_only)
		return log_fail(EROFS,
				"%s: read-only, but the snapshot's disk is "
				"writable",
				disk->path);
	return 0;
}

/* The disks of which the snapshot has no copy. */
static unsigned int count_uncopied(const struct restore *restore)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < restore->machine.disk_count; i++)
		n += !restore->machine.disks[i].copied;
	return n;
}

/* One -d each for all disks, or for those without a copy, or none. */
static int open_disks(struct restore *restore)
{
	unsigned int given = restore->options.disks.count, next = 0;
	unsigned int want = restore->machine.disk_count;
	unsigned int uncopied = count_uncopied(restore);
	bool all = given == want;
	int r = 0;

	if (given && !all && given != uncopied && uncopied == want)
		return log_fail(EINVAL,
				"--disk: %u disk%s given, the snapshot has %u",
				given, given == 1 ? "" : "s", want);
	if (given && !all && given != uncopied)
		return log_fail(EINVAL,
				"--disk: %u disk%s given, the snapshot has %u, "
				"%u without a copy",
				given, given == 1 ? "" : "s", want, uncopied);
	for (unsigned int i = 0; r >= 0 && i < want; i++) {
		bool takes = all || !restore->machine.disks[i].copied;

		r = open_disk(restore, i, takes ? next : UINT_MAX);
		next += takes;
	}
	return r;
}

/* Reads the working set; a damaged one is reported and not used. */
static void open_workingset(struct restore *restore)
{
	struct vm_paging *paging = &restore->session.paging;
	uint64_t count = 0;

	paging->record = restore->options.workingset == WORKINGSET_RECORD;
	if (restore->options.workingset != WORKINGSET_USE ||
	    snap_workingset_read(&restore->file, &restore->workingset, &count) <
		    0)
		return;
	paging->workingset = restore->workingset;
	paging->workingset_count = count;
}

/* Opens every file that the machine uses, before anything is created. */
static int restore_open(struct restore *restore, const char *path)
{
	int r = session_open(&restore->session, &restore->options.session);

	if (r >= 0)
		r = snap_open(&restore->file, path, arch_name());
	restore->file.sum = arch_crc32c;
	if (r >= 0)
		r = vm_describe(&restore->file, &restore->machine);
	if (r >= 0 && restore->options.verify)
		r = snap_verify(&restore->file, NULL, NULL);
	restore->file.verified = r >= 0 && restore->options.verify;
	if (r >= 0)
		open_workingset(restore);
	if (r >= 0)
		r = open_disks(restore);
	if (r >= 0)
		r = nets_open_for(&restore->nets, path, &restore->machine);
	return r < 0 ? r :
		       shares_from_snapshot(&restore->shares, path,
					    &restore->machine, &restore->given,
					    &restore->options.shares,
					    restore->options.trust_paths);
}

/* The session job: restores the snapshot into a new machine. */
static int load(struct vm *vm, void *ctx)
{
	struct restore *restore = ctx;
	enum pager_mode mode;
	int r = vm_restore(vm);

	if (r >= 0)
		r = nets_await(&restore->nets);
	if (r < 0)
		return r;
	mode = vm_pager_choice(vm)->mode;
	paging_warn_if(restore->options.workingset == WORKINGSET_RECORD &&
			       mode == PAGER_EAGER,
		       "workingset=record", mode);
	if (restore->session.paging.record && mode == PAGER_MAP &&
	    restore->session.paging.prefault_bytes_s)
		log_warn("--workingset=record: with --pager=map it records "
			 "what --prefault loads, too");
	log_info("%s: %s", restore->file.path, vm_integrity(vm));
	return r;
}

/* The session job: writes the recorded working set. */
static void ended(const struct vm *vm, void *ctx)
{
	const struct restore *restore = ctx;
	const uint64_t *pages = NULL;
	size_t count;

	if (restore->options.workingset != WORKINGSET_RECORD)
		return;
	count = vm_workingset(vm, &pages);
	if (pages && snap_workingset_write(&restore->file, pages, count) >= 0)
		log_info("%s: working set of %zu pages written",
			 restore->file.path, count);
}

/* Returns an exit status of exit.h. */
static int run(struct restore *restore)
{
	const struct vm_description *machine = &restore->machine;
	struct vm_config config = {
		.memory_bytes = machine->memory_bytes,
		.backing = restore->options.backing,
		.cpu_count = machine->cpu_count,
		.console = machine->console,
		.disk_queues = machine->disk_queues,
		.shares = restore->shares.list,
		.share_count = restore->shares.count,
		.ports = machine->ports.count ? &machine->ports : NULL,
		.nets = restore->nets.list,
		.net_count = restore->nets.count,
		.snapshot = &restore->file,
		.track = restore->options.track,
	};
	struct session_job job = { .load = load,
				   .ended = ended,
				   .ctx = restore };
	struct vm_end end = { VM_END_NONE, 0 };

	if (session_run(&restore->session, config, &job, &end) < 0)
		return EXIT_HOST;
	if (end.kind == VM_END_SOURCE && restore->file.fsverity)
		log_warn("%s/%s has fs-verity: a corrupt block is an "
			 "input/output error; see the kernel's log",
			 restore->file.path, SNAP_MEMORY_NAME);
	return session_exit_code(&end);
}

int restore_main(int argc, char **argv)
{
	CLEANUP_FREE struct restore *restore = calloc(1, sizeof(*restore));
	struct option_operands operands;
	int status;

	if (!restore) {
		log_errno(ENOMEM, "restore");
		return EXIT_HOST;
	}
	session_options_init(&restore->options.session, PAGER_AUTO);
	status = exit_after_options(
		option_parse(&spec, argc, argv, &restore->options, &operands));
	if (status >= 0)
		return status;
	if (paging_options_parse(&restore->options.session.paging) < 0)
		return EXIT_USAGE;
	if (shares_parse(&restore->given, NULL, &restore->options.shares) < 0 ||
	    nets_parse(&restore->nets, &restore->options.nets) < 0)
		status = EXIT_USAGE;
	else
		status = restore_open(restore, operands.values[0]) < 0 ?
				 EXIT_HOST :
				 run(restore);
	session_close(&restore->session);
	nets_finish(&restore->nets);
	shares_finish(&restore->shares);
	shares_finish(&restore->given);
	snap_close(&restore->file);
	free(restore->workingset);
	return status;
}
