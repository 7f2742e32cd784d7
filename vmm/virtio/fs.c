// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio file system (virtio 1.2, 5.11): requests of a FUSE client, handled by a
 * file server (vmm/fs) on the threads of its pool.  One queue of high priority,
 * one of requests; no notification queue, no shared memory.
 *
 *	fs_take()	loop thread: a chain becomes a job of the pool
 *	job_done()	a thread of the pool: the reply is written
 *	collect()	loop thread: the chain is completed
 *
 * A chain is popped on the loop thread, which makes its buffers present; the
 * pool's threads access them.  While chains are held, the guest's memory and the
 * session are in use, so the pool is idle before a quiesce and before a reset.
 *
 * The lock guards the list of jobs that are done; all else is the loop thread's.
 */
#include <errno.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/bus/loop.h"
#include "vmm/fs/pool.h"
#include "vmm/snap/section.h"
#include "vmm/virtio/pci.h"

enum { QUEUE_HIPRIO = 0, QUEUE_REQUEST = 1, QUEUES = 2 };

#define THREADS 16 /* of the pool, at most */

/*
 * Chains held at a time.  FORGETs have some of their own, so that the driver can
 * queue them behind slow requests; the threads are the same.
 */
#define HIPRIO_HELD  16
#define REQUEST_HELD 112
#define HELD	     (HIPRIO_HELD + REQUEST_HELD)

static const unsigned int held_first[QUEUES + 1] = { 0, HIPRIO_HELD, HELD };

/* A chain that is held. */
struct held {
	struct fs_job job;
	unsigned int queue;
	struct held *next; /* in a free list, or in the list of done ones */
	struct virtq_chain chain;
};

struct fs {
	struct virtio_device *dev;
	char *path; /* of the directory; for messages */
	bool relocated;
	struct fs_server *server;
	struct fs_pool *pool;
	struct held *held; /* HELD; those of queue n from held_first[n] on */
	struct held *free[QUEUES];
	unsigned int used[QUEUES]; /* that were ever in the free list */
	int done_fd; /* an eventfd: the list below is not empty */
	struct loop_source *source;
	pthread_mutex_t lock;
	struct held *done;
};

static struct virtq_chain *fs_room(void *device, unsigned int queue)
{
	struct fs *fs = device;
	unsigned int next = held_first[queue] + fs->used[queue];

	/* The memory of one that was never needed is not touched. */
	if (!fs->free[queue] && next < held_first[queue + 1]) {
		fs->free[queue] = &fs->held[next];
		fs->free[queue]->queue = queue;
		fs->used[queue]++;
	}
	return fs->free[queue] ? &fs->free[queue]->chain : NULL;
}

/* Submits a chain, which was popped into the first free one. */
static bool fs_take(void *device, unsigned int queue, struct virtq_chain *chain)
{
	struct fs *fs = device;
	struct held *held = fs->free[queue];

	fs->free[queue] = held->next;
	held->job = (struct fs_job){ .in = chain->readable.iov,
				     .in_count = chain->readable.count,
				     .out = chain->writable.iov,
				     .out_count = chain->writable.count };
	fs_pool_submit(fs->pool, &held->job);
	return true;
}

/* A thread of the pool. */
static void job_done(void *ctx, struct fs_job *job)
{
	struct held *held = container_of(job, struct held, job);
	struct fs *fs = ctx;

	pthread_mutex_lock(&fs->lock);
	held->next = fs->done;
	fs->done = held;
	pthread_mutex_unlock(&fs->lock);
	event_signal(fs->done_fd);
}

/* Completes the chains whose jobs are done. */
static void collect(struct fs *fs)
{
	struct held *held, *next;

	pthread_mutex_lock(&fs->lock);
	held = fs->done;
	fs->done = NULL;
	pthread_mutex_unlock(&fs->lock);
	for (; held; held = next) {
		next = held->next;
		virtio_queue_complete(fs->dev, held->queue, held->chain.head,
				      (uint32_t)held->job.written);
		held->next = fs->free[held->queue];
		fs->free[held->queue] = held;
	}
}

static void done_ready(void *ctx, uint32_t events)
{
	struct fs *fs = ctx;

	(void)events;
	event_clear(fs->done_fd);
	collect(fs);
	for (unsigned int i = 0; i < QUEUES; i++)
		virtio_queue_serve(fs->dev, i);
}

/*
 * Without a bound, as a chain must not be written to once it is given up: where
 * requests are in flight, for a reset, they are interrupted.
 */
static unsigned int fs_drain(void *device, unsigned int queue)
{
	struct fs *fs = device;

	(void)queue;
	fs_pool_interrupt(fs->pool);
	collect(fs);
	fs_pool_resume(fs->pool);
	return 0;
}

/* The drain that follows collects what is done. */
static int fs_quiesce(void *device, uint64_t deadline_ns)
{
	struct fs *fs = device;
	uint64_t since_ns = clock_now_ns();

	if (fs_pool_quiesce(fs->pool, clock_left_ns(deadline_ns)) == 0)
		return 0;
	return log_fail(EBUSY,
			"pause: share %s: the host's file system has been busy "
			"for %.0f s",
			fs->path,
			(double)(clock_now_ns() - since_ns) / NS_PER_S);
}

static void fs_session_reset(void *device)
{
	struct fs *fs = device;

	fs_reset(fs->server);
}

static void fs_session_save(void *device, struct snap_writer *w)
{
	struct fs *fs = device;
	int r = fs_save(fs->server, w, w->accept_stale);

	if (r < 0 && w->error == 0)
		w->error = r;
}

static int fs_session_load(void *device, struct snap_reader *r)
{
	struct fs *fs = device;

	return fs_restore(fs->server, r, fs->relocated);
}

static void fs_destroy_device(void *device)
{
	struct fs *fs = device;

	fs_pool_destroy(fs->pool);
	fs_destroy(fs->server);
	loop_remove(fs->source);
	if (fs->done_fd >= 0)
		close(fs->done_fd);
	pthread_mutex_destroy(&fs->lock);
	free(fs->held);
	free(fs->path);
	free(fs);
}

static const struct virtio_ops fs_ops = {
	.kind = "virtio-fs",
	.type = VIRTIO_ID_FS,
	.class_code = 0x018000, /* mass storage, other */
	.queue_size = VIRTQ_SIZE_MAX,
	.room = fs_room,
	.handle = fs_take,
	.drain = fs_drain,
	.reset = fs_session_reset,
	.quiesce = fs_quiesce,
	.save = fs_session_save,
	.load = fs_session_load,
	.destroy = fs_destroy_device,
};

static const struct device_ops fs_device_ops =
	VIRTIO_PCI_DEVICE_OPS("virtio-fs");

/* An argument of loop_call(). */
struct watch_call {
	struct fs *fs;
	struct loop *loop;
	int result;
};

static void watch_on_loop(void *ctx)
{
	struct watch_call *call = ctx;
	struct fs *fs = call->fs;

	call->result = loop_add(call->loop, &fs->source, fs->done_fd, EPOLLIN,
				done_ready, fs);
}

/* Opens the directory and starts the pool. */
static int fs_start(struct fs *fs, const struct virtio_fs_share *share,
		    struct loop *loop)
{
	struct watch_call watch = { .fs = fs, .loop = loop };
	struct fs_config config = share->fs;
	int r;

	fs->done_fd = -1;
	fs->relocated = share->relocated;
	fs->path = strdup(share->fs.path);
	fs->held = calloc(HELD, sizeof(*fs->held));
	if (!fs->path || !fs->held)
		return log_errno(ENOMEM, "share %s", share->fs.path);
	fs->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fs->done_fd < 0)
		return log_errno(errno, "share %s: eventfd", fs->path);
	loop_call(loop, watch_on_loop, &watch);
	if (watch.result < 0)
		return log_errno(-watch.result, "share %s: watch eventfd",
				 fs->path);
	config.tag = share->tag;
	r = fs_create(&fs->server, &config);
	return r < 0 ? r :
		       fs_pool_create(&fs->pool, fs->server, THREADS, job_done,
				      fs);
}

/* The driver reads the tag without a zero at its end (virtio 1.2, 5.11.4). */
static void config_fill(struct virtio_config *c, const char *tag)
{
	c->space_bytes = sizeof(struct virtio_fs_config);
	memcpy(c->space, tag, strnlen(tag, VIRTIO_FS_TAG_BYTES));
	put_le32(c->space +
			 offsetof(struct virtio_fs_config, num_request_queues),
		 1);
}

int virtio_fs_create(struct device *device, const struct virtio_host *host,
		     const char *name, const struct virtio_fs_share *share)
{
	struct virtio_config config = { .queue_count = QUEUES };
	struct fs *fs = calloc(1, sizeof(*fs));
	struct virtio_pci_config pci = {
		.ops = &fs_ops,
		.device_ops = &fs_device_ops,
		.impl = fs,
		.host = host,
		.name = name,
		.config = &config,
	};
	int r;

	if (!fs)
		return log_errno(ENOMEM, "%s", name);
	pthread_mutex_init(&fs->lock, NULL);
	r = fs_start(fs, share, host->loop);
	if (r < 0) {
		fs_destroy_device(fs);
		return r;
	}
	config_fill(&config, share->tag);
	return virtio_pci_create(device, &pci, &fs->dev);
}

void virtio_fs_usage(const struct device *device, struct fs_usage *usage)
{
	const struct fs *fs = virtio_pci_impl(device);

	fs_usage(fs->server, usage);
}
