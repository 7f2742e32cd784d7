/* SPDX-License-Identifier: BSD-2-Clause */
/* The saved guests of `thaw exec', in the cache of vmm/exec/cache.h. */
#include "vmm/cli/exec_warm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/snap/save.h"
#include "vmm/vm/snapshot.h"

/* Longer than the description of one processor in /proc/cpuinfo. */
#define CPUINFO_BYTES 16384

/*
 * The lines of the first processor that name its model and features: a guest
 * sees them.  Others, as its clock rate, change all the time.
 */
static void add_processor(struct cache_key *key)
{
	static const char *const names[] = {
		"vendor_id",   "cpu family", "model",	     "stepping",
		"flags",       "bugs",	     "Features",     "CPU implementer",
		"CPU variant", "CPU part",   "CPU revision",
	};
	CLEANUP_FREE char *text = calloc(1, CPUINFO_BYTES + 1);
	CLEANUP_CLOSE int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	char *rest = text, *line;

	if (!text || fd < 0 || read(fd, text, CPUINFO_BYTES) <= 0)
		return;
	while ((line = strsep(&rest, "\n")) && *line)
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (!strncmp(line, names[i], strlen(names[i])))
				cache_key_string(key, "cpu", line);
}

/* The host: its processor, and the kernel whose KVM has saved the guest. */
static void add_host(struct cache_key *key, const char *kvm)
{
	struct utsname host;

	if (uname(&host) == 0) {
		cache_key_string(key, "host release", host.release);
		cache_key_string(key, "host version", host.version);
		cache_key_string(key, "host machine", host.machine);
	}
	add_processor(key);
	cache_key_string(key, "kvm", kvm ? kvm : "/dev/kvm");
}

static void add_modules(struct cache_key *key, const struct module_set *modules)
{
	for (unsigned int i = 0; i < modules->count; i++) {
		const struct guest_module *module = &modules->list[i];

		cache_key_string(key, "module", module->file);
		cache_key_number(key, "compressed", module->compressed);
		cache_key_file(key, "contents", module->fd);
	}
}

/* What a guest has read of its network. */
static void add_net(struct cache_key *key, const struct virtio_net_link *link)
{
	char mac[NET_MAC_TEXT_BYTES];

	net_mac_text(mac, link->mac);
	cache_key_string(key, "network", mac);
	cache_key_number(key, "mtu", link->mtu);
	cache_key_number(key, "offloads", link->net->offloads);
}

/* The parts of the key; the guest's init is in this program's file. */
static int make_key(struct exec_warm *warm)
{
	const struct exec_warm_config *c = &warm->config;
	const struct exec_options *o = c->options;
	struct cache_key *key = &warm->key;

	cache_key_init(key, &warm->cache);
	cache_key_file(key, "thaw", warm->program_fd);
	cache_key_file(key, "kernel", c->kernel->image.fd);
	add_modules(key, c->modules);
	cache_key_string(key, "parameters", c->cmdline);
	cache_key_number(key, "memory", o->memory_bytes);
	cache_key_number(key, "backing", o->backing);
	cache_key_number(key, "cpus", o->cpus);
	for (unsigned int i = 0; i < c->shares->count; i++)
		cache_key_string(key, "share", c->shares->list[i].tag);
	for (unsigned int i = 0; i < c->nets->count; i++)
		add_net(key, &c->nets->list[i]);
	add_host(key, o->session.kvm);
	return cache_key_end(key, warm->key_text);
}

/* Whether the cache is open and the key is known. */
static bool open_cache(struct exec_warm *warm)
{
	if (cache_open(&warm->cache, true, LOG_INFO) < 0)
		return false;
	warm->program_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (warm->program_fd < 0) {
		log_debug("/proc/self/exe: %s", strerror(errno));
		return false;
	}
	return make_key(warm) >= 0;
}

/*
 * The mode of this guest.  By default a saved one is mapped: runs share the page
 * cache, and nothing is copied.
 */
static enum pager_mode mode_of(const struct exec_warm *warm)
{
	const struct exec_options *o = warm->config.options;
	enum pager_mode mode = o->session.paging.mode;

	/* A guest that boots has no file to map. */
	if (!warm->found && (mode == PAGER_AUTO || mode == PAGER_MAP))
		return PAGER_EAGER;
	if (mode != PAGER_AUTO)
		return mode;
	return o->backing == MEMORY_ANON ? PAGER_MAP : PAGER_AUTO;
}

/* Whether there is a saved guest that can be opened. */
static bool find(struct exec_warm *warm)
{
	if (cache_lookup(&warm->cache, warm->key_text, &warm->entry) < 0)
		return false;
	warm->found = true;
	if (snap_open(&warm->file, warm->entry.path, arch_name()) < 0) {
		exec_warm_remove(warm);
		return false;
	}
	warm->file.sum = arch_crc32c;
	snap_workingset_read(&warm->file, &warm->workingset,
			     &warm->workingset_count);
	log_info("snapshot %.12s of the cache is restored, pager %s",
		 warm->key_text, pager_mode_names[mode_of(warm)]);
	return true;
}

/* Prepares to save this run's guest. */
static void begin(struct exec_warm *warm)
{
	const struct exec_options *o = warm->config.options;
	const char *release = warm->config.kernel->release;
	CLEANUP_FREE char *description = NULL;

	/* Its client pauses and saves the guest too. */
	if (o->session.control) {
		log_debug("with --control the guest is not saved");
		return;
	}
	if (asprintf(&description, "kernel %s, %u vCPU%s, %llu MiB",
		     *release ? release : warm->config.kernel->path, o->cpus,
		     o->cpus == 1 ? "" : "s",
		     (unsigned long long)(o->memory_bytes / MIB)) < 0) {
		description = NULL;
		return;
	}
	warm->making = cache_begin(&warm->cache, warm->key_text, description,
				   &warm->entry) >= 0;
}

void exec_warm_open(struct exec_warm *warm,
		    const struct exec_warm_config *config)
{
	enum exec_snapshot wish = config->options->snapshot;

	*warm = (struct exec_warm){ .config = *config, .program_fd = -1 };
	if (wish == EXEC_SNAPSHOT_OFF || !open_cache(warm))
		return;
	if (wish == EXEC_SNAPSHOT_FRESH)
		cache_remove(&warm->cache, warm->key_text);
	else if (find(warm))
		return;
	begin(warm);
}

/* Closes the snapshot and releases its lock. */
static void release(struct exec_warm *warm)
{
	if (!warm->found)
		return;
	snap_close(&warm->file);
	cache_release(&warm->entry);
	free(take_ptr(warm->workingset));
	warm->workingset_count = 0;
	warm->found = false;
}

void exec_warm_choose_paging(const struct exec_warm *warm,
			     struct vm_paging *paging)
{
	paging->mode = mode_of(warm);
	paging->workingset = warm->workingset;
	paging->workingset_count = warm->workingset_count;
	paging->record = warm->found && !warm->workingset;
}

/* Writes the guest, which stands still meanwhile; it runs on then. */
static int write_guest(struct exec_warm *warm, struct snap_save **save)
{
	static const struct vm_save_options options = { 0 };
	int r = vm_pause(warm->vm);

	if (r < 0)
		return r;
	r = vm_save_begin(warm->vm, warm->entry.path, &options, save);
	if (vm_resume(warm->vm) < 0)
		vm_end(warm->vm, VM_END_HOST, 0);
	return r;
}

/* Syncs what was written, and adds it to the cache. */
static int commit(struct exec_warm *warm, struct snap_save *save)
{
	if (!cache_key_holds(&warm->key)) {
		snap_save_abort(save);
		log_info("the kernel, a module or thaw has changed since the "
			 "run began");
		return -ESTALE;
	}
	return snap_save_commit(save);
}

/* The thread `save', whose argument is the struct exec_warm. */
static void *save_main(void *arg)
{
	struct exec_warm *warm = arg;
	uint64_t start_ns = clock_now_ns();
	struct snap_save *save;
	int r = write_guest(warm, &save);

	warm->written(warm->written_ctx);
	sem_post(&warm->vm_unused);
	if (r >= 0)
		r = commit(warm, save);
	if (r >= 0)
		r = cache_commit(&warm->cache, &warm->entry);
	else
		cache_abort(&warm->cache, &warm->entry);
	if (r >= 0)
		log_info("snapshot %.12s saved in %.3f s", warm->key_text,
			 (double)(clock_now_ns() - start_ns) / NS_PER_S);
	else if (r != -ECANCELED)
		log_warn("the guest is not saved for later runs");
	return NULL;
}

bool exec_warm_save(struct exec_warm *warm, struct vm *vm,
		    void (*written)(void *ctx), void *ctx)
{
	if (!warm->making)
		return false;
	warm->vm = vm;
	warm->written = written;
	warm->written_ctx = ctx;
	sem_init(&warm->vm_unused, 0, 0);
	warm->saving =
		thread_start(&warm->thread, "save", save_main, warm) >= 0;
	/* Otherwise exec_warm_close() removes the entry. */
	warm->making = !warm->saving;
	return warm->saving;
}

void exec_warm_leave_vm(struct exec_warm *warm)
{
	if (!warm->saving)
		return;
	while (sem_wait(&warm->vm_unused) < 0)
		;
	sem_post(&warm->vm_unused);
}

/* Waits until the guest is in the cache.  A signal ends this process meanwhile. */
static void join(struct exec_warm *warm)
{
	if (!warm->saving)
		return;
	vm_block_signals(false);
	pthread_join(warm->thread, NULL);
	sem_destroy(&warm->vm_unused);
	warm->saving = false;
}

void exec_warm_close(struct exec_warm *warm)
{
	if (!warm->config.options)
		return;
	join(warm);
	release(warm);
	if (warm->making)
		cache_abort(&warm->cache, &warm->entry);
	warm->making = false;
	cache_key_finish(&warm->key);
	close_fd(&warm->program_fd);
	cache_close(&warm->cache);
}

void exec_warm_keep_workingset(const struct exec_warm *warm,
			       const struct vm *vm)
{
	const uint64_t *pages = NULL;
	size_t count;

	if (!warm->found || warm->workingset)
		return;
	count = vm_workingset(vm, &pages);
	if (pages && count)
		snap_workingset_write(&warm->file, pages, count);
}

void exec_warm_remove(struct exec_warm *warm)
{
	if (!warm->found)
		return;
	release(warm);
	if (cache_remove(&warm->cache, warm->key_text) >= 0)
		log_warn("snapshot %.12s of the cache was not usable and has "
			 "been removed",
			 warm->key_text);
}
