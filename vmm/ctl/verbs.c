/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of verbs of the control socket.  The server's thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/ctl/ctl.h"
#include "vmm/ctl/private.h"
#include "vmm/io/disk.h"
#include "vmm/vm/snapshot.h"
#include "vmm/vm/vm.h"

/* Begins a reply; the verb adds its members and calls reply_end(). */
static void reply_begin(struct json *json, FILE *out, bool ok)
{
	json_init(json, out, false);
	json_object_begin(json, NULL);
	json_bool(json, "ok", ok);
}

static void reply_end(struct json *json)
{
	json_object_end(json);
	json_finish(json);
}

/* The message for an error of a verb. */
static const char *reason(int err)
{
	switch (err) {
	case ECANCELED:
		return "the VM is ending";
	case ETIMEDOUT:
		return "timed out waiting for guest memory";
	case EBUSY:
		return "a device is waiting for the host; try again";
	default:
		return strerror(err);
	}
}

/* The same for a save; the VM's standard error has the details. */
static const char *save_reason(int err)
{
	switch (err) {
	case EEXIST:
		return "exists and is not a snapshot; not replaced";
	case ENOTEMPTY:
		return "its directory contains files that are not part of a "
		       "snapshot; remove it first";
	case ETXTBSY:
		return "a VM uses the copy of a disk in it as its own disk; save "
		       "to another directory";
	case EINVAL:
		return "not a valid directory name or base";
	case EOPNOTSUPP:
		return "this file system does not support atomic exchange; "
		       "remove the old snapshot first";
	case ESTALE:
		return "a file of a share is open in the guest, and was deleted "
		       "or moved; see the standard error of the VM process, or "
		       "save with --accept-stale";
	case ENOTTY:
		return "no fs-verity: not supported by the kernel or this file "
		       "system, or not enabled on it: use ext4 with 'tune2fs "
		       "-O verity DEVICE' or 'mke2fs -O verity DEVICE', f2fs, or "
		       "btrfs, or save without --fsverity";
	case ENOMEDIUM:
		return "a disk is private to this VM and ends with it; use "
		       "--disks=copy";
	case EIO:
		return "Input/output error; see the standard error of the VM "
		       "process";
	default:
		return reason(err);
	}
}

void ctl_refuse(FILE *out, const char *why)
{
	struct json json;

	reply_begin(&json, out, false);
	json_string(&json, "error", why);
	reply_end(&json);
}

/* A reply: ok, or "WHAT OBJECT: WHY"; @object may be "", @why NULL: ok. */
static void reply_result(FILE *out, const char *what, const char *object,
			 const char *why)
{
	CLEANUP_FREE char *words = NULL;
	struct json json;

	if (!why) {
		reply_begin(&json, out, true);
		reply_end(&json);
		return;
	}
	if (asprintf(&words, "%s%s%s: %s", what, *object ? " " : "", object,
		     why) < 0)
		words = NULL;
	ctl_refuse(out, words ? words : why);
}

/* The same for a verb without an object; @result is 0 or -errno. */
static void reply_errno(FILE *out, const char *what, int result)
{
	reply_result(out, what, "", result < 0 ? reason(-result) : NULL);
}

static void do_status(struct vm *vm, char *args,
		      const struct ctl_listener *listener, FILE *out)
{
	const struct vm_config *config = vm_get_config(vm);
	struct json json;

	(void)args;
	(void)listener;
	reply_begin(&json, out, true);
	json_string(&json, "thaw", THAW_VERSION);
	json_string(&json, "state", vm_is_paused(vm) ? "paused" : "running");
	json_bool(&json, "waits_for_memory", vm_is_stalled(vm));
	json_uint(&json, "cpus", config->cpu_count);
	json_uint(&json, "memory_bytes", config->memory_bytes);
	json_string(&json, "pager",
		    pager_mode_names[vm_pager_choice(vm)->mode]);
	reply_end(&json);
}

/* Adds the error counts of each disk. */
static void add_disks(struct json *json, const struct vm_config *config)
{
	json_array_begin(json, "disks");
	for (unsigned int i = 0; i < config->disk_count; i++) {
		const struct disk *disk = &config->disks[i];

		json_object_begin(json, NULL);
		json_string(json, "path", disk->path);
		json_object_begin(json, "errors");
		for (enum disk_op op = 0; op < DISK_OPS; op++)
			json_uint(json, disk_op_names[op],
				  disk_errors(disk, op));
		json_object_end(json);
		json_object_end(json);
	}
	json_array_end(json);
}

/* Adds the figures of each share. */
static void add_shares(struct json *json, const struct vm *vm)
{
	const struct vm_config *config = vm_get_config(vm);

	json_array_begin(json, "shares");
	for (unsigned int i = 0; i < config->share_count; i++) {
		const struct virtio_fs_share *share = &config->shares[i];
		struct fs_usage usage = { 0 };

		vm_share_usage(vm, i, &usage);
		json_object_begin(json, NULL);
		json_string(json, "tag", share->tag);
		json_string(json, "path", share->fs.path);
		json_uint(json, "requests", usage.requests);
		json_uint(json, "errors", usage.errors);
		json_uint(json, "inodes", usage.inodes);
		json_uint(json, "handles", usage.handles);
		json_uint(json, "descriptors", usage.fds);
		json_object_end(json);
	}
	json_array_end(json);
}

/* Adds the figures of each network. */
static void add_networks(struct json *json, const struct vm *vm)
{
	const struct vm_config *config = vm_get_config(vm);

	json_array_begin(json, "networks");
	for (unsigned int i = 0; i < config->net_count; i++) {
		const struct net *net = config->nets[i].net;

		json_object_begin(json, NULL);
		json_string(json, "host", net->name);
		json_bool(json, "up", net->up);
		json_uint(json, "received", net->rx_frames);
		json_uint(json, "received_dropped", net->rx_dropped);
		json_uint(json, "sent", net->tx_frames);
		json_uint(json, "sent_dropped", net->tx_dropped);
		json_object_end(json);
	}
	json_array_end(json);
}

static void do_stats(struct vm *vm, char *args,
		     const struct ctl_listener *listener, FILE *out)
{
	struct pager_stats s = { 0 };
	struct json json;

	(void)args;
	(void)listener;
	vm_pager_stats(vm, &s);
	reply_begin(&json, out, true);
	json_string(&json, "pager",
		    pager_mode_names[vm_pager_choice(vm)->mode]);
	if (vm_integrity(vm))
		json_string(&json, "integrity", vm_integrity(vm));
	json_uint(&json, "source_bytes", s.source_pages * PAGE_BYTES);
	json_uint(&json, "absent_bytes", s.absent_pages * PAGE_BYTES);
	json_uint(&json, "failures", s.failures);
	json_uint(&json, "retries", s.retries);
	json_object_begin(&json, "faults");
	for (unsigned int i = 0; i < PAGER_CAUSES; i++)
		json_uint(&json, pager_cause_names[i], s.faults[i]);
	json_object_end(&json);
	add_disks(&json, vm_get_config(vm));
	add_shares(&json, vm);
	add_networks(&json, vm);
	reply_end(&json);
}

static void do_pause(struct vm *vm, char *args,
		     const struct ctl_listener *listener, FILE *out)
{
	(void)args;
	(void)listener;
	reply_errno(out, "pause", vm_pause(vm));
}

static void do_resume(struct vm *vm, char *args,
		      const struct ctl_listener *listener, FILE *out)
{
	(void)args;
	(void)listener;
	reply_errno(out, "resume", vm_resume(vm));
}

/* The shortest time between two progress lines. */
#define PROGRESS_MS 100

/* The recipient of progress lines. */
struct progress {
	const struct ctl_listener *listener;
	bool wanted;
	uint64_t next_ms; /* not before */
	bool complete; /* all pages were reported; some are saved again */
};

static void send_progress(struct progress *progress, uint64_t done, uint64_t of)
{
	CLEANUP_FREE char *text = NULL;
	struct json json;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	json_init(&json, out, false);
	json_object_begin(&json, NULL);
	json_object_begin(&json, "progress");
	json_uint(&json, "pages", done);
	json_uint(&json, "of", of);
	json_object_end(&json);
	json_object_end(&json);
	json_finish(&json);
	if (fclose(out) == 0)
		progress->listener->tell(progress->listener->ctx, text, len);
}

/* See struct vm_progress: a client that has gone has cancelled its save. */
static bool tell_progress(void *ctx, uint64_t done, uint64_t of)
{
	struct progress *progress = ctx;
	uint64_t now = clock_now_ms();

	bool complete = done == of && !progress->complete;

	if (now < progress->next_ms && done < of)
		return true;
	if (now >= progress->next_ms || complete) {
		progress->next_ms = now + PROGRESS_MS;
		progress->complete = progress->complete || complete;
		if (progress->wanted)
			send_progress(progress, done, of);
	}
	return !progress->listener->is_gone(progress->listener->ctx);
}

/* Consumes the word @option at the start of *@args; false: not there. */
static bool take_option(char **args, const char *option)
{
	size_t len = strlen(option);

	if (strncmp(*args, option, len) != 0 ||
	    ((*args)[len] != ' ' && (*args)[len] != '\0'))
		return false;
	*args += len;
	*args += strspn(*args, " ");
	return true;
}

/* Takes "--base=VALUE" from the front of *@args; VALUE has no space. */
static bool take_value(char **args, const char *option, const char **value)
{
	char *word = *args + strlen(option);
	size_t len;

	if (strncmp(*args, option, strlen(option)) != 0)
		return false;
	len = strcspn(word, " ");
	*args = word + len + strspn(word + len, " ");
	word[len] = '\0';
	*value = word;
	return true;
}

/* Saves a VM that is paused, or that is to be. */
static int save_paused(struct vm *vm, const char *path,
		       const struct vm_save_options *options, bool stop,
		       struct vm_save_live *cost)
{
	bool was_paused = vm_is_paused(vm);
	uint64_t since = clock_now_ns();
	int r = vm_pause(vm);

	if (r >= 0)
		r = vm_save_paused(vm, path, options);
	if (r >= 0 && stop)
		vm_end(vm, VM_END_STOPPED, 0);
	else if (!was_paused && vm_resume(vm) < 0 && r >= 0)
		r = -EIO;
	if (!was_paused)
		cost->pause_ns = clock_now_ns() - since;
	return r;
}

/* The reply to a save: how long the guest stood still for it. */
static void reply_saved(FILE *out, const struct vm_save_live *cost)
{
	struct json json;

	reply_begin(&json, out, true);
	json_uint(&json, "pause_us", cost->pause_ns / 1000);
	json_uint(&json, "paused_pages", cost->paused_pages);
	json_uint(&json, "held_pages", cost->held_pages);
	json_uint(&json, "held_waits", cost->held_waits);
	json_uint(&json, "passes", cost->passes);
	reply_end(&json);
}

/* Whether the number of an error alone does not tell why a save failed. */
static bool has_own_line(int err)
{
	return err == EINVAL || err == EIO || err == ELOOP || err == EMLINK ||
	       err == EPROTONOSUPPORT || err == EMFILE || err == ENFILE;
}

/* The reply to a save that failed with @err: what was logged, @line, where it tells. */
static void reply_unsaved(FILE *out, const char *dir, int err, const char *line)
{
	static const char who[] = "snapshot: ";
	size_t len = sizeof(who) - 1;

	if (!has_own_line(err) || !*line)
		reply_result(out, "snapshot", dir, save_reason(err));
	else if (strncmp(line, who, len) == 0)
		reply_result(out, "snapshot", dir, line + len);
	else if (strncmp(line, who, len - 2) == 0)
		ctl_refuse(out, line);
	else
		reply_result(out, "snapshot", dir, line);
}

/*
 * "snapshot [--stop] [--pause] [--base=NAME] [--disks=copy] [--rate=SIZE]
 * [--accept-stale] [--fsverity] [--progress] DIR"; DIR is the rest of the line.
 */
static void do_snapshot(struct vm *vm, char *args,
			const struct ctl_listener *listener, FILE *out)
{
	struct progress progress = { .listener = listener,
				     .next_ms = clock_now_ms() + PROGRESS_MS };
	const struct vm_progress report = { tell_progress, &progress };
	struct vm_save_options options = { .progress = &report };
	struct vm_save_live cost = { 0 };
	bool stop = false, pause = vm_is_paused(vm) || !vm_is_trackable(vm);
	const char *rate = NULL;
	char line[LOG_KEPT_BYTES];
	int r;

	for (;;) {
		if (take_option(&args, "--stop"))
			stop = true;
		else if (take_option(&args, "--pause"))
			pause = true;
		else if (take_value(&args, "--base=", &options.base) ||
			 take_value(&args, "--rate=", &rate))
			;
		else if (take_option(&args, "--disks=copy"))
			options.copy_disks = true;
		else if (take_option(&args, "--accept-stale"))
			options.accept_stale = true;
		else if (take_option(&args, "--fsverity"))
			options.fsverity = true;
		else if (take_option(&args, "--progress"))
			progress.wanted = true;
		else
			break;
	}
	if (rate && (size_parse(rate, &options.rate_bytes_s) < 0 ||
		     options.rate_bytes_s < CTL_RATE_MIN_BYTES)) {
		reply_result(out, "snapshot: --rate", rate,
			     "not a size of at least 1M");
		return;
	}
	if (rate && (stop || pause)) {
		ctl_refuse(out,
			   "snapshot: --rate is for a guest that runs during "
			   "the save");
		return;
	}
	if (*args == '-') {
		args[strcspn(args, " ")] = '\0';
		reply_result(out, "snapshot", args, "unknown option");
		return;
	}
	if (!*args) {
		ctl_refuse(out, "snapshot: no directory given");
		return;
	}
	log_keep(line);
	r = stop || pause ? save_paused(vm, args, &options, stop, &cost) :
			    vm_save_while_running(vm, args, &options, &cost);
	log_keep(NULL);
	if (r < 0)
		reply_unsaved(out, args, -r, line);
	else
		reply_saved(out, &cost);
}

static void do_power_button(struct vm *vm, char *args,
			    const struct ctl_listener *listener, FILE *out)
{
	(void)args;
	(void)listener;
	reply_errno(out, "power-button", vm_power_button(vm));
}

static void do_retry(struct vm *vm, char *args,
		     const struct ctl_listener *listener, FILE *out)
{
	(void)args;
	(void)listener;
	vm_retry_pages(vm);
	reply_errno(out, "retry", 0);
}

static void do_quit(struct vm *vm, char *args,
		    const struct ctl_listener *listener, FILE *out)
{
	(void)args;
	(void)listener;
	vm_end_asked(vm, VM_END_STOPPED, 0);
	reply_errno(out, "quit", 0);
}

/* Without takes_args, a request with arguments is refused. */
static const struct verb {
	const char *name;
	bool takes_args;
	void (*run)(struct vm *vm, char *args,
		    const struct ctl_listener *listener, FILE *out);
} verbs[] = {
	{ "status", false, do_status },
	{ "stats", false, do_stats },
	{ "pause", false, do_pause },
	{ "resume", false, do_resume },
	{ "snapshot", true, do_snapshot },
	{ "power-button", false, do_power_button },
	{ "retry", false, do_retry },
	{ "quit", false, do_quit },
};

/* A reply that @verb is unknown, with the list of verbs. */
static void refuse_verb(FILE *out, const char *verb)
{
	CLEANUP_FREE char *why = NULL;
	size_t len = 0;
	FILE *words = open_memstream(&why, &len);

	if (words) {
		fprintf(words, "%.80s: unknown verb; use",
			*verb ? verb : "\"\"");
		for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
			fprintf(words, "%s %s",
				i == 0			   ? "" :
				i + 1 == ARRAY_SIZE(verbs) ? " or" :
							     ",",
				verbs[i].name);
		fclose(words);
	}
	ctl_refuse(out, why ? why : "unknown verb");
}

void ctl_execute(struct vm *vm, char *line, const struct ctl_listener *listener,
		 FILE *out)
{
	char *args = line + strcspn(line, " ");

	if (*args)
		*args++ = '\0';
	args += strspn(args, " ");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, line) != 0)
			continue;
		if (*args && !verbs[i].takes_args)
			reply_result(out, line, "", "takes no arguments");
		else
			verbs[i].run(vm, args, listener, out);
		return;
	}
	refuse_verb(out, line);
}
