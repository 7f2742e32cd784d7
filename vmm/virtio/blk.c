// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio block (virtio 1.2, 5.2): requests (blk_request.c) to a disk image, which
 * run in the background (io/disk_aio.h) and complete in any order.
 *
 *	blk_take()	a chain becomes a request; invalid ones end here
 *	blk_handled()	the requests of a batch are started
 *	complete_all()	the status is written, the chain is completed
 *
 * Loop thread.  A chain is popped on it, which makes the buffers present.  While
 * chains are held, guest memory is in use, so nothing is in flight after a quiesce
 * and after a drain.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/base/bytes.h"
#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/bus/loop.h"
#include "vmm/io/disk.h"
#include "vmm/snap/section.h"
#include "vmm/virtio/blk_request.h"
#include "vmm/virtio/pci.h"

#define QUEUE_SIZE 256 /* entries */
#define QUEUE_HELD 128 /* chains of a queue that are held at a time */

/* A header and a status byte leave this many descriptors for data. */
#define SEGMENTS_MAX (QUEUE_SIZE - 2)

/* How long a reset waits for the host in silence. */
#define REPORT_NS (3 * NS_PER_S)

/* A chain that is held. */
struct held {
	struct blk_request rq;
	unsigned int queue;
	struct held *next; /* in the free list */
	struct virtq_chain chain;
};

/* The chains of one queue. */
struct blk_queue {
	struct held *free;
	unsigned int used; /* chains that were ever in the free list */
	bool refused; /* a chain found no room */
	bool completed; /* one was completed, and is not signalled yet */
};

struct blk {
	struct virtio_device *dev;
	struct disk *disk; /* not owned */
	struct disk_aio *aio;
	struct loop_source *source;
	bool serves_all; /* queues with completions are served next */
	struct held *held; /* QUEUE_HELD for each queue */
	unsigned int queue_count;
	uint32_t block_bytes; /* in the device's configuration */
	struct blk_queue queues[VIRTIO_BLK_QUEUES_MAX];
};

/* Writes the status, completes the chain, and returns it to the free list. */
static void complete(struct blk *blk, struct held *held, uint8_t status)
{
	struct blk_queue *q = &blk->queues[held->queue];
	const struct blk_request *rq = &held->rq;

	*rq->status = status;
	/*
	 * The length counts from the first byte without a gap (virtio 1.2,
	 * 2.7.8.2): the status only counts when all before it was written.
	 */
	virtio_queue_complete(blk->dev, held->queue, held->chain.head,
			      rq->written + (rq->written == rq->room ? 1 : 0));
	held->next = q->free;
	q->free = held;
	q->completed = true;
}

static struct virtq_chain *blk_room(void *device, unsigned int queue)
{
	struct blk *blk = device;
	struct blk_queue *q = &blk->queues[queue];

	/* The memory of one that was never needed is not touched. */
	if (!q->free && q->used < QUEUE_HELD) {
		q->free = &blk->held[queue * QUEUE_HELD + q->used++];
		q->free->queue = queue;
	}
	q->refused = !q->free;
	return q->free ? &q->free->chain : NULL;
}

/* Takes a chain, which was popped into the first free one. */
static bool blk_take(void *device, unsigned int queue,
		     struct virtq_chain *chain)
{
	struct blk *blk = device;
	struct blk_queue *q = &blk->queues[queue];
	struct held *held = q->free;
	int status;

	if (!blk_request_parse(&held->rq, chain)) {
		virtio_device_break(blk->dev,
				    "request without header or status");
		return false;
	}
	q->free = held->next;
	status = blk_request_prepare(&held->rq, blk->disk,
				     !virtio_has(blk->dev, VIRTIO_BLK_F_FLUSH));
	if (status == BLK_SUBMIT)
		disk_aio_submit(blk->aio, &held->rq.disk);
	else
		complete(blk, held, (uint8_t)status);
	return true;
}

/* Completes the chains whose requests are complete. */
static void complete_all(struct blk *blk)
{
	struct disk_request *request, *next;

	for (request = disk_aio_collect(blk->aio); request; request = next) {
		struct held *held = container_of(request, struct held, rq.disk);

		next = request->next;
		complete(blk, held, blk_request_result(&held->rq));
	}
}

/* Has the queues served whose completions are not signalled yet. */
static void kick_completed(struct blk *blk)
{
	for (unsigned int i = 0; i < blk->queue_count; i++)
		if (blk->queues[i].completed)
			virtio_queue_kick(blk->dev, i);
}

/*
 * Completions of this queue are signalled next; chains that found no room are popped
 * when it is served again.
 */
static void blk_handled(void *device, unsigned int queue)
{
	struct blk *blk = device;
	struct blk_queue *q = &blk->queues[queue];

	disk_aio_start(blk->aio);
	complete_all(blk);
	if (q->completed && q->refused)
		virtio_queue_kick(blk->dev, queue);
	q->completed = false;
	if (!blk->serves_all)
		kick_completed(blk);
}

/* The descriptor of the engine is readable. */
static void aio_ready(void *ctx, uint32_t events)
{
	struct blk *blk = ctx;

	(void)events;
	event_clear(disk_aio_fd(blk->aio));
	complete_all(blk);
	blk->serves_all = true;
	for (unsigned int i = 0; i < blk->queue_count; i++)
		if (blk->queues[i].completed)
			virtio_queue_serve(blk->dev, i);
	blk->serves_all = false;
	kick_completed(blk);
}

/*
 * Without a bound, as a chain must not be written to once it is given up; most
 * file systems cannot be interrupted.
 */
static unsigned int blk_drain(void *device, unsigned int queue)
{
	struct blk *blk = device;

	(void)queue;
	if (disk_aio_wait(blk->aio, REPORT_NS) < 0) {
		log_warn("disk %s: reset: the host has been busy for %.0f s",
			 blk->disk->path, (double)REPORT_NS / NS_PER_S);
		while (disk_aio_wait(blk->aio, REPORT_NS) < 0)
			;
	}
	complete_all(blk);
	return 0;
}

/* The drain that follows completes the chains. */
static int blk_quiesce(void *device, uint64_t deadline_ns)
{
	struct blk *blk = device;
	uint64_t since_ns = clock_now_ns();

	if (disk_aio_wait(blk->aio, clock_left_ns(deadline_ns)) == 0)
		return 0;
	return log_fail(EBUSY,
			"pause: disk %s: the host has been busy for %.0f s",
			blk->disk->path,
			(double)(clock_now_ns() - since_ns) / NS_PER_S);
}

/* The mode of a saved disk: whether it is read-only, and the size of its blocks. */
#define MODE_READ_ONLY	 0x01
#define MODE_BLOCK_SHIFT 1 /* the logarithm of sectors in a block */
#define BLOCK_LOG_MAX	 3 /* 4096 bytes */

/*
 * A disk has no state of its own.  Size and mode are saved so that load rejects
 * a different disk.
 */
static void blk_save(void *device, struct snap_writer *w)
{
	struct blk *blk = device;
	unsigned int mode = blk->disk->read_only ? MODE_READ_ONLY : 0;

	for (uint32_t n = blk->block_bytes; n > BLK_SECTOR_BYTES; n /= 2)
		mode += 1 << MODE_BLOCK_SHIFT;
	snap_put_u64(w, blk->disk->size_bytes);
	snap_put_u8(w, (uint8_t)mode);
}

/*
 * The guest goes on to access blocks of the saved size; larger ones than the host's
 * do no harm.
 */
static int load_blocks(struct blk *blk, unsigned int log)
{
	uint8_t field[4];
	uint32_t saved;

	if (log > BLOCK_LOG_MAX)
		return log_fail(EBADMSG, "%s: invalid block size",
				blk->dev->name);
	saved = (uint32_t)BLK_SECTOR_BYTES << log;
	if (blk->disk->block_bytes > saved)
		return log_fail(
			EINVAL,
			"%s: disk %s has blocks of %u bytes with direct, the "
			"guest accesses %u; omit direct",
			blk->dev->name, blk->disk->path, blk->disk->block_bytes,
			saved);
	blk->block_bytes = saved;
	put_le32(field, blk->block_bytes);
	virtio_config_put(blk->dev,
			  offsetof(struct virtio_blk_config, blk_size), field,
			  sizeof(field));
	return 0;
}

static int blk_load(void *device, struct snap_reader *r)
{
	struct blk *blk = device;
	uint64_t size = snap_get_u64(r);
	unsigned int mode = snap_get_u8(r);
	bool read_only = mode & MODE_READ_ONLY;

	if (r->error)
		return 0; /* the caller checks it */
	if (size != blk->disk->size_bytes)
		return log_fail(
			EINVAL,
			"%s: disk %s has %llu bytes, the saved one %llu",
			blk->dev->name, blk->disk->path,
			(unsigned long long)blk->disk->size_bytes,
			(unsigned long long)size);
	if (read_only != blk->disk->read_only)
		return log_fail(EINVAL, "%s: disk %s is %s, the saved one %s",
				blk->dev->name, blk->disk->path,
				read_only ? "writable" : "read-only",
				read_only ? "read-only" : "writable");
	return load_blocks(blk, mode >> MODE_BLOCK_SHIFT);
}

static void blk_destroy(void *device)
{
	struct blk *blk = device;

	loop_remove(blk->source);
	disk_aio_destroy(blk->aio);
	free(blk->held);
	free(blk);
}

static const struct virtio_ops blk_ops = {
	.kind = "virtio-blk",
	.type = VIRTIO_ID_BLOCK,
	.class_code = 0x018000, /* mass storage, other */
	.queue_size = QUEUE_SIZE,
	.room = blk_room,
	.handle = blk_take,
	.handled = blk_handled,
	.drain = blk_drain,
	.quiesce = blk_quiesce,
	.save = blk_save,
	.load = blk_load,
	.destroy = blk_destroy,
};

static const struct device_ops blk_device_ops =
	VIRTIO_PCI_DEVICE_OPS("virtio-blk");

/* Features and config space (virtio 1.2, 5.2.3 and 5.2.4). */
static void config_fill(struct virtio_config *c, const struct disk *disk)
{
	uint8_t *s = c->space;

	c->features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
		      BIT(VIRTIO_BLK_F_FLUSH);
	c->features |= disk->read_only ? BIT(VIRTIO_BLK_F_RO) :
					 BIT(VIRTIO_BLK_F_DISCARD) |
						 BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	c->space_bytes =
		offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 1;
#define FIELD(name) (s + offsetof(struct virtio_blk_config, name))
	put_le64(FIELD(capacity), disk->size_bytes / BLK_SECTOR_BYTES);
	put_le32(FIELD(seg_max), SEGMENTS_MAX);
	put_le32(FIELD(blk_size), disk->block_bytes);
	if (disk->read_only)
		return;
	put_le32(FIELD(max_discard_sectors), BLK_DISCARD_SECTORS_MAX);
	put_le32(FIELD(max_discard_seg), BLK_RANGES_MAX);
	put_le32(FIELD(discard_sector_alignment),
		 (disk->discard_bytes > disk->block_bytes ?
			  disk->discard_bytes :
			  disk->block_bytes) /
			 BLK_SECTOR_BYTES);
	put_le32(FIELD(max_write_zeroes_sectors), BLK_ZEROES_SECTORS_MAX);
	put_le32(FIELD(max_write_zeroes_seg), BLK_RANGES_MAX);
	*FIELD(write_zeroes_may_unmap) = 1;
#undef FIELD
}

/* An argument of loop_call(). */
struct watch_call {
	struct blk *blk;
	struct loop *loop;
	int result;
};

static void watch_on_loop(void *ctx)
{
	struct watch_call *call = ctx;
	struct blk *blk = call->blk;

	call->result = loop_add(call->loop, &blk->source, disk_aio_fd(blk->aio),
				EPOLLIN, aio_ready, blk);
}

/* Creates the engine and the chains. */
static int blk_start(struct blk *blk, struct loop *loop)
{
	struct watch_call watch = { .blk = blk, .loop = loop };
	int err;

	blk->held = calloc((size_t)blk->queue_count * QUEUE_HELD,
			   sizeof(*blk->held));
	if (!blk->held)
		return log_errno(ENOMEM, "disk %s", blk->disk->path);
	err = disk_aio_create(&blk->aio, blk->disk);
	if (err < 0)
		return err;
	loop_call(loop, watch_on_loop, &watch);
	return watch.result < 0 ?
		       log_errno(-watch.result, "disk %s: watch eventfd",
				 blk->disk->path) :
		       0;
}

int virtio_blk_create(struct device *device, const struct virtio_host *host,
		      const char *name, struct disk *disk, unsigned int queues)
{
	struct virtio_config config = { .queue_count = (uint16_t)queues };
	struct blk *blk = calloc(1, sizeof(*blk));
	struct virtio_pci_config pci = {
		.ops = &blk_ops,
		.device_ops = &blk_device_ops,
		.impl = blk,
		.host = host,
		.name = name,
		.config = &config,
	};
	int err;

	if (!blk)
		return log_errno(ENOMEM, "%s", name);
	blk->disk = disk;
	blk->queue_count = queues;
	blk->block_bytes = disk->block_bytes;
	err = blk_start(blk, host->loop);
	if (err < 0) {
		blk_destroy(blk);
		return err;
	}
	config_fill(&config, disk);
	if (queues > 1)
		config.features |= BIT(VIRTIO_BLK_F_MQ);
	put_le16(config.space + offsetof(struct virtio_blk_config, num_queues),
		 (uint16_t)queues);
	return virtio_pci_create(device, &pci, &blk->dev);
}
