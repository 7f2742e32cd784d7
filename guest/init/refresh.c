/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/refresh.h"

#include <fcntl.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "guest/init/protocol.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"

static void set_clock(uint64_t ns)
{
	const struct timespec now = clock_timespec(ns);

	if (ns)
		clock_settime(CLOCK_REALTIME, &now);
}

/* All bits count, and the generator takes them up at once. */
static void add_entropy(const uint8_t *bytes, uint32_t size)
{
	CLEANUP_CLOSE int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	CLEANUP_FREE struct rand_pool_info *info = malloc(sizeof(*info) + size);

	if (!info || fd < 0 || !size || size > 4096)
		return;
	info->entropy_count = (int)(size * 8);
	info->buf_size = (int)size;
	memcpy(info->buf, bytes, size);
	ioctl(fd, RNDADDENTROPY, info);
	ioctl(fd, RNDRESEEDCRNG);
}

void refresh(const struct request *r)
{
	set_clock(r->realtime_ns);
	add_entropy(r->entropy, r->entropy_bytes);
}
