// SPDX-License-Identifier: BSD-2-Clause
/*
 * See the header.  A request is a header, data, and one status byte that comes last.
 * It does not matter how the driver split it into descriptors: the header is the
 * front of the readable bytes, the status the end of the writable ones, and the
 * rest is data.
 *
 * call_*() run on a thread of the disk: requests other than plain transfers.
 */
#include "vmm/virtio/blk_request.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/io/disk.h"

#define HEADER_BYTES sizeof(struct virtio_blk_outhdr)
#define RANGE_BYTES  sizeof(struct virtio_blk_discard_write_zeroes)

/* The status byte for an error of the disk. */
static uint8_t status_of(int err)
{
	if (err == 0)
		return VIRTIO_BLK_S_OK;
	return err == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* Whether @bytes of whole blocks from @sector on are on the disk. */
static bool on_disk(const struct disk *disk, uint64_t sector, uint64_t bytes)
{
	/* No overflow: the size of the block is a power of two. */
	return ((sector * BLK_SECTOR_BYTES | bytes) &
		(disk->block_bytes - 1)) == 0 &&
	       range_within(sector, bytes / BLK_SECTOR_BYTES,
			    disk->size_bytes / BLK_SECTOR_BYTES);
}

/* The serial: the last part of the name, 20 bytes (virtio 1.2, 5.2.6). */
static uint8_t get_id(const struct disk *disk, struct blk_request *rq)
{
	char id[VIRTIO_BLK_ID_BYTES] = { 0 };
	const char *name = disk_name(disk);
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
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
	uint32_t most =
		zeroes ? BLK_ZEROES_SECTORS_MAX : BLK_DISCARD_SECTORS_MAX;
	uint64_t bytes = (uint64_t)sectors * BLK_SECTOR_BYTES;
	bool unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

	if ((flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) || (unmap && !zeroes))
		return VIRTIO_BLK_S_UNSUPP;
	if (sectors > most || !on_disk(disk, sector, bytes))
		return VIRTIO_BLK_S_IOERR;
	if (sectors == 0)
		return VIRTIO_BLK_S_OK;
	if (zeroes)
		return status_of(disk_write_zeroes(disk,
						   sector * BLK_SECTOR_BYTES,
						   bytes, unmap));
	return status_of(disk_discard(disk, sector * BLK_SECTOR_BYTES, bytes));
}

/* All ranges of a request, until one fails. */
static uint8_t do_ranges(struct disk *disk, struct blk_request *rq)
{
	bool zeroes = rq->type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint8_t range[RANGE_BYTES];
	uint8_t status = VIRTIO_BLK_S_OK;

	if (disk->read_only || rq->out.bytes == 0 ||
	    rq->out.bytes % RANGE_BYTES ||
	    rq->out.bytes / RANGE_BYTES > BLK_RANGES_MAX)
		return VIRTIO_BLK_S_IOERR;
	while (status == VIRTIO_BLK_S_OK && rq->out.bytes) {
		iovs_take(&rq->out, range, sizeof(range));
		status = do_range(disk, zeroes, range);
	}
	return status;
}

/* A discard or write zeroes. */
static int call_ranges(struct disk *disk, struct disk_request *request)
{
	struct blk_request *rq =
		container_of(request, struct blk_request, disk);

	return do_ranges(disk, rq);
}

static int call_flush(struct disk *disk, struct disk_request *request)
{
	const struct blk_request *rq =
		container_of(request, struct blk_request, disk);

	return status_of(disk_flush(disk, rq->failed_syncs));
}

/* A write that is complete when it is on the disk. */
static int call_write_through(struct disk *disk, struct disk_request *request)
{
	return status_of(disk_write_through(disk, request->iov, request->count,
					    request->offset));
}

bool blk_request_parse(struct blk_request *rq, struct virtq_chain *chain)
{
	uint8_t header[HEADER_BYTES];

	*rq = (struct blk_request){ 0 };
	if (iovs_take(&chain->readable, header, sizeof(header)) <
	    sizeof(header))
		return false;
	rq->type = get_le32(header);
	rq->sector =
		get_le64(header + offsetof(struct virtio_blk_outhdr, sector));
	rq->status = iovs_cut_last(&chain->writable);
	rq->out = chain->readable;
	rq->in = chain->writable;
	rq->room = rq->in.bytes;
	return rq->status != NULL;
}

/* Prepares a call on a thread of the disk. */
static int prepare_call(struct blk_request *rq,
			int (*call)(struct disk *disk,
				    struct disk_request *request))
{
	rq->disk.kind = DISK_REQUEST_CALL;
	rq->disk.call = call;
	return BLK_SUBMIT;
}

/* Prepares a transfer of @data. */
static int prepare_transfer(const struct disk *disk, struct blk_request *rq,
			    enum disk_request_kind kind,
			    const struct iovs *data)
{
	if (!on_disk(disk, rq->sector, data->bytes))
		return VIRTIO_BLK_S_IOERR;
	rq->disk = (struct disk_request){
		.kind = kind,
		.iov = data->iov,
		.count = (int)data->count,
		.offset = rq->sector * BLK_SECTOR_BYTES,
		.bytes = data->bytes,
	};
	return BLK_SUBMIT;
}

/* As prepare_transfer(), or a call where the write ends with a flush. */
static int prepare_write(const struct disk *disk, struct blk_request *rq,
			 bool write_through)
{
	int status = VIRTIO_BLK_S_IOERR;

	if (!disk->read_only)
		status = prepare_transfer(disk, rq, DISK_REQUEST_WRITE,
					  &rq->out);
	if (status == BLK_SUBMIT && write_through)
		return prepare_call(rq, call_write_through);
	return status;
}

int blk_request_prepare(struct blk_request *rq, const struct disk *disk,
			bool write_through)
{
	switch (rq->type) {
	case VIRTIO_BLK_T_IN:
		return prepare_transfer(disk, rq, DISK_REQUEST_READ, &rq->in);
	case VIRTIO_BLK_T_OUT:
		return prepare_write(disk, rq, write_through);
	case VIRTIO_BLK_T_FLUSH:
		rq->failed_syncs = disk_failed_syncs(disk);
		return disk->read_only ? VIRTIO_BLK_S_OK :
					 prepare_call(rq, call_flush);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(disk, rq);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return prepare_call(rq, call_ranges);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

uint8_t blk_request_result(struct blk_request *rq)
{
	if (rq->disk.kind == DISK_REQUEST_CALL)
		return (uint8_t)rq->disk.result;
	if (rq->disk.kind == DISK_REQUEST_READ && rq->disk.result == 0)
		rq->written = (uint32_t)rq->room;
	return status_of(rq->disk.result);
}
