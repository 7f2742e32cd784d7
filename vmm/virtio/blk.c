// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio block (virtio 1.2, 5.2): requests on one queue, done by plain system
 * calls.
 *
 * A request is a header, data, and one status byte that comes last.  It does
 * not matter how the driver split it into descriptors: the header is the front
 * of the readable bytes, the status the end of the writable ones, and the rest
 * is data.
 *
 * Loop thread, one request at a time.  request_do() depends on nothing but the
 * request and the disk, so that a worker thread could run it instead.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/io/disk.h"
#include "vmm/snap/section.h"
#include "vmm/virtio/pci.h"

#define SECTOR_BYTES 512 /* of the protocol, whatever the block size */

#define QUEUE_SIZE 256 /* entries */

/* A header and a status byte leave this many descriptors for data. */
#define SEGMENTS_MAX (QUEUE_SIZE - 2)

/* Limits of discard and write zeroes: what one request may cost the loop. */
#define RANGES_MAX	    16
#define DISCARD_SECTORS_MAX UINT32_C(0x400000) /* 2 GiB */
#define ZEROES_SECTORS_MAX  UINT32_C(0x8000) /* 16 MiB, may be written out */

#define HEADER_BYTES sizeof(struct virtio_blk_outhdr)
#define RANGE_BYTES  sizeof(struct virtio_blk_discard_write_zeroes)

struct blk {
	struct virtio_device *dev;
	struct disk *disk; /* not owned */
};

/* A parsed request. */
struct request {
	uint32_t type;
	uint64_t sector;
	struct iovs out, in; /* data to the disk, data from it */
	uint32_t written; /* bytes of data written into @in */
	uint8_t *status;
};

/* The status byte for an error of the disk. */
static uint8_t status_of(int err)
{
	if (err == 0)
		return VIRTIO_BLK_S_OK;
	return err == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* Whether @bytes of whole sectors from @sector on are on the disk. */
static bool on_disk(const struct disk *disk, uint64_t sector, uint64_t bytes)
{
	return bytes % SECTOR_BYTES == 0 &&
	       range_within(sector, bytes / SECTOR_BYTES,
			    disk->size_bytes / SECTOR_BYTES);
}

static uint8_t do_read(struct disk *disk, struct request *rq)
{
	uint64_t bytes = rq->in.bytes;
	int err;

	if (!on_disk(disk, rq->sector, bytes))
		return VIRTIO_BLK_S_IOERR;
	err = disk_readv(disk, rq->in.iov, (int)rq->in.count,
			 rq->sector * SECTOR_BYTES);
	if (err == 0)
		rq->written = (uint32_t)bytes;
	return status_of(err);
}

static uint8_t do_write(struct disk *disk, struct request *rq)
{
	if (disk->read_only || !on_disk(disk, rq->sector, rq->out.bytes))
		return VIRTIO_BLK_S_IOERR;
	return status_of(disk_writev(disk, rq->out.iov, (int)rq->out.count,
				     rq->sector * SECTOR_BYTES));
}

/* The serial: the last part of the path, 20 bytes (virtio 1.2, 5.2.6). */
static uint8_t do_get_id(struct disk *disk, struct request *rq)
{
	char id[VIRTIO_BLK_ID_BYTES] = { 0 };
	const char *base = strrchr(disk->path, '/');

	base = base ? base + 1 : disk->path;
	memcpy(id, base, strnlen(base, sizeof(id)));
	rq->written = (uint32_t)iovs_put(&rq->in, id, sizeof(id));
	return VIRTIO_BLK_S_OK;
}

/* One range of a discard or write zeroes (virtio 1.2, 5.2.6.2). */
static uint8_t do_range(struct disk *disk, bool zeroes, const uint8_t *range)
{
	uint64_t sector = get_le64(range);
	uint32_t sectors = get_le32(range + 8);
	uint32_t flags = get_le32(range + 12);
	uint32_t most = zeroes ? ZEROES_SECTORS_MAX : DISCARD_SECTORS_MAX;
	uint64_t bytes = (uint64_t)sectors * SECTOR_BYTES;
	bool unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

	if ((flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) || (unmap && !zeroes))
		return VIRTIO_BLK_S_UNSUPP;
	if (sectors > most || !on_disk(disk, sector, bytes))
		return VIRTIO_BLK_S_IOERR;
	if (sectors == 0)
		return VIRTIO_BLK_S_OK;
	if (zeroes)
		return status_of(disk_write_zeroes(disk, sector * SECTOR_BYTES,
						   bytes, unmap));
	return status_of(disk_discard(disk, sector * SECTOR_BYTES, bytes));
}

/* All ranges of a request, until one fails. */
static uint8_t do_ranges(struct disk *disk, struct request *rq)
{
	bool zeroes = rq->type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint8_t range[RANGE_BYTES];
	uint8_t status = VIRTIO_BLK_S_OK;

	if (disk->read_only || rq->out.bytes == 0 ||
	    rq->out.bytes % RANGE_BYTES ||
	    rq->out.bytes / RANGE_BYTES > RANGES_MAX)
		return VIRTIO_BLK_S_IOERR;
	while (status == VIRTIO_BLK_S_OK && rq->out.bytes) {
		iovs_take(&rq->out, range, sizeof(range));
		status = do_range(disk, zeroes, range);
	}
	return status;
}

/* Runs a request; returns its status. */
static uint8_t request_do(struct disk *disk, struct request *rq)
{
	switch (rq->type) {
	case VIRTIO_BLK_T_IN:
		return do_read(disk, rq);
	case VIRTIO_BLK_T_OUT:
		return do_write(disk, rq);
	case VIRTIO_BLK_T_FLUSH:
		return status_of(disk->read_only ? 0 : disk_flush(disk));
	case VIRTIO_BLK_T_GET_ID:
		return do_get_id(disk, rq);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return do_ranges(disk, rq);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* Parses a chain; false if it has no header or no status byte. */
static bool request_parse(struct request *rq, struct virtq_chain *chain)
{
	uint8_t header[HEADER_BYTES];

	*rq = (struct request){ 0 };
	if (iovs_take(&chain->readable, header, sizeof(header)) <
	    sizeof(header))
		return false;
	rq->type = get_le32(header);
	rq->sector =
		get_le64(header + offsetof(struct virtio_blk_outhdr, sector));
	rq->status = iovs_cut_last(&chain->writable);
	rq->out = chain->readable;
	rq->in = chain->writable;
	return rq->status != NULL;
}

/*
 * Without VIRTIO_BLK_F_FLUSH a completed write must be on the disk (virtio 1.2,
 * 5.2.6.2).
 */
static uint8_t write_through(struct blk *blk, const struct request *rq,
			     uint8_t status)
{
	if (status != VIRTIO_BLK_S_OK || rq->type != VIRTIO_BLK_T_OUT ||
	    virtio_has(blk->dev, VIRTIO_BLK_F_FLUSH))
		return status;
	return status_of(disk_flush(blk->disk));
}

static bool blk_handle(void *device, unsigned int queue,
		       struct virtq_chain *chain)
{
	struct blk *blk = device;
	struct request rq;
	uint64_t room;
	uint8_t status;

	if (!request_parse(&rq, chain)) {
		virtio_device_break(blk->dev,
				    "request without header or status");
		return false;
	}
	room = rq.in.bytes;
	status = write_through(blk, &rq, request_do(blk->disk, &rq));
	*rq.status = status;
	/*
	 * The length counts from the first byte without a gap (virtio 1.2,
	 * 2.7.8.2): the status only counts when all before it was written.
	 */
	virtio_queue_complete(blk->dev, queue, chain->head,
			      rq.written + (rq.written == room ? 1 : 0));
	return true;
}

/*
 * A disk has no state of its own.  Size and mode are saved so that load rejects
 * a different disk.
 */
static void blk_save(void *device, struct snap_writer *w)
{
	struct blk *blk = device;

	snap_put_u64(w, blk->disk->size_bytes);
	snap_put_u8(w, blk->disk->read_only);
}

static int blk_load(void *device, struct snap_reader *r)
{
	struct blk *blk = device;
	uint64_t size = snap_get_u64(r);
	bool read_only = snap_get_u8(r) & 1;

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
	return 0;
}

static void blk_destroy(void *device)
{
	free(device);
}

static const struct virtio_ops blk_ops = {
	.kind = "virtio-blk",
	.type = VIRTIO_ID_BLOCK,
	.class_code = 0x018000, /* mass storage, other */
	.queue_size = QUEUE_SIZE,
	.handle = blk_handle,
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
	put_le64(FIELD(capacity), disk->size_bytes / SECTOR_BYTES);
	put_le32(FIELD(seg_max), SEGMENTS_MAX);
	put_le32(FIELD(blk_size), SECTOR_BYTES);
	if (disk->read_only)
		return;
	put_le32(FIELD(max_discard_sectors), DISCARD_SECTORS_MAX);
	put_le32(FIELD(max_discard_seg), RANGES_MAX);
	put_le32(FIELD(discard_sector_alignment), 1);
	put_le32(FIELD(max_write_zeroes_sectors), ZEROES_SECTORS_MAX);
	put_le32(FIELD(max_write_zeroes_seg), RANGES_MAX);
	*FIELD(write_zeroes_may_unmap) = 1;
#undef FIELD
}

int virtio_blk_create(struct device *device, const struct virtio_host *host,
		      const char *name, struct disk *disk)
{
	struct virtio_config config = { .queue_count = 1 };
	struct blk *blk = calloc(1, sizeof(*blk));
	struct virtio_pci_config pci = {
		.ops = &blk_ops,
		.device_ops = &blk_device_ops,
		.impl = blk,
		.host = host,
		.name = name,
		.config = &config,
	};

	if (!blk)
		return log_errno(ENOMEM, "%s", name);
	blk->disk = disk;
	config_fill(&config, disk);
	return virtio_pci_create(device, &pci, &blk->dev);
}
