/* SPDX-License-Identifier: BSD-2-Clause */
/* The section that lists the copies of disks in a snapshot, with their sizes. */
#include <stdio.h>
#include <string.h>

#include "vmm/snap/file.h"
#include "vmm/snap/parse.h"
#include "vmm/snap/section.h"
#include "vmm/snap/write.h"

bool snap_disks_put(const uint64_t *disk_bytes, struct snap_writer *w)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < SNAP_DISKS_MAX; i++)
		count += disk_bytes[i] != 0;
	if (!count)
		return false;
	snap_put_u32(w, count);
	for (uint32_t i = 0; i < SNAP_DISKS_MAX; i++)
		if (disk_bytes[i]) {
			snap_put_u32(w, i);
			snap_put_u64(w, disk_bytes[i]);
		}
	return true;
}

int snap_disks_parse(struct snap_file *f)
{
	uint32_t count, next = 0;
	struct snap_reader r;
	int err;

	if (!snap_find(f, SNAP_DISK_TAG))
		return 0;
	err = snap_read_section(f, SNAP_DISK_TAG, 1, &r);
	if (err < 0)
		return err;
	count = snap_get_u32(&r);
	if (!count || count > SNAP_DISKS_MAX)
		snap_reader_fail(&r);
	for (uint32_t i = 0; !r.error && i < count; i++) {
		uint32_t n = snap_get_u32(&r);
		uint64_t bytes = snap_get_u64(&r);

		if (n < next || n >= SNAP_DISKS_MAX || !bytes ||
		    bytes % SNAP_SECTOR_BYTES)
			snap_reader_fail(&r);
		else
			f->disk_bytes[n] = bytes;
		next = n + 1;
	}
	return snap_reader_error(&r) < 0 ? snap_section_bad(f, SNAP_DISK_TAG) :
					   0;
}

const char *snap_disk_name(char name[SNAP_DISK_NAME_BYTES], unsigned int n)
{
	/* Below the limit for a compiler, too, which looks at the size. */
	snprintf(name, SNAP_DISK_NAME_BYTES, SNAP_DISK_NAME,
		 n % SNAP_DISKS_MAX);
	return name;
}

int snap_disk_number(const struct snap_file *f, const char *name)
{
	char disk[SNAP_DISK_NAME_BYTES];

	for (unsigned int i = 0; i < SNAP_DISKS_MAX; i++)
		if (f->disk_bytes[i] && !strcmp(name, snap_disk_name(disk, i)))
			return (int)i;
	return -1;
}
