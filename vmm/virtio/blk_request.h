/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request of virtio block (virtio 1.2, 5.2.6): from a chain to what the disk is
 * to do, and to the status.  Loop thread, except that what is submitted may use the
 * request on a thread of the disk until it is complete.
 */
#ifndef VMM_VIRTIO_BLK_REQUEST_H
#define VMM_VIRTIO_BLK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/io/disk_aio.h"
#include "vmm/virtio/queue.h"

#define BLK_SECTOR_BYTES 512 /* of the protocol, whatever the block size */

/* Limits of discard and write zeroes: what one request may cost. */
#define BLK_RANGES_MAX		16
#define BLK_DISCARD_SECTORS_MAX UINT32_C(0x400000) /* 2 GiB */
#define BLK_ZEROES_SECTORS_MAX	UINT32_C(0x8000) /* 16 MiB, may be written out */

struct blk_request {
	struct disk_request disk; /* to be submitted */
	uint32_t type;
	uint64_t sector;
	struct iovs out, in; /* data to the disk, data from it */
	uint64_t room; /* bytes of @in, before any was used */
	uint64_t failed_syncs; /* FLUSH: of the disk, when it was requested */
	uint32_t written; /* bytes of data written into @in */
	uint8_t *status; /* in guest memory */
};

/* Parses a chain; false if it has no header or no status byte. */
bool blk_request_parse(struct blk_request *rq, struct virtq_chain *chain);

/* Returned where the disk must do something. */
#define BLK_SUBMIT (-1)

/*
 * Checks the request and prepares @rq->disk: BLK_SUBMIT, or the status where that is
 * known at once.  With @write_through a write is complete when it is on the disk.
 */
int blk_request_prepare(struct blk_request *rq, const struct disk *disk,
			bool write_through);

/* The status, once @rq->disk is complete; sets @rq->written. */
uint8_t blk_request_result(struct blk_request *rq);

#endif
