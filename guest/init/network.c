// SPDX-License-Identifier: BSD-2-Clause
/*
 * Interfaces are configured by the ioctls of netdevice(7), which every kernel with
 * IPv4 has. A root that cannot be written to keeps its /etc/resolv.conf.
 */
#include "guest/init/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/init/failure.h"
#include "guest/init/protocol.h"
#include "vmm/base/cleanup.h"

#define INTERFACE "eth0"

/* How long the link may take to come up: after a restore it goes down first. */
#define LINK_TRIES   5000
#define LINK_WAIT_US 1000

/* Stores @text, an IPv4 address with dots, for the ioctls; 0 or -EINVAL, with @f. */
static int set_address(struct sockaddr *to, const char *text, struct failure *f)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &in.sin_addr) != 1)
		return failure_set(f, EINVAL, "network address %s", text);
	memcpy(to, &in, sizeof(in));
	return 0;
}

static int bring_up(int fd, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_UP };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int add_address(int fd, const struct setup *s, struct failure *f)
{
	struct ifreq request = { .ifr_name = INTERFACE };
	struct sockaddr_in mask = { .sin_family = AF_INET };
	int err = set_address(&request.ifr_addr, s->address, f);

	if (err)
		return err;
	if (s->prefix_bits > 32)
		return failure_set(f, EINVAL, "network prefix");
	if (ioctl(fd, SIOCSIFADDR, &request))
		return failure_set(f, errno, "set address %s of " INTERFACE,
				   s->address);
	if (s->prefix_bits)
		mask.sin_addr.s_addr =
			htonl(UINT32_MAX << (32 - s->prefix_bits));
	memcpy(&request.ifr_netmask, &mask, sizeof(mask));
	if (ioctl(fd, SIOCSIFNETMASK, &request))
		return failure_set(f, errno, "set netmask of " INTERFACE);
	return 0;
}

static int add_router(int fd, const struct setup *s, struct failure *f)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	int err;

	if (!*s->router)
		return 0;
	err = set_address(&route.rt_gateway, s->router, f);
	route.rt_dst.sa_family = AF_INET;
	route.rt_genmask.sa_family = AF_INET;
	if (!err && ioctl(fd, SIOCADDRT, &route) && errno != EEXIST)
		err = failure_set(f, errno, "add router %s", s->router);
	return err;
}

/* Waits for the link; without one, the command sees for itself. */
static void await_link(int fd)
{
	for (int i = 0; i < LINK_TRIES; i++) {
		struct ifreq request = { .ifr_name = INTERFACE };

		if (ioctl(fd, SIOCGIFFLAGS, &request) ||
		    (request.ifr_flags & IFF_RUNNING))
			return;
		usleep(LINK_WAIT_US);
	}
}

/* The file may be a link to one that does not exist in this guest. */
int network_write_resolver(const struct setup *s, struct failure *f)
{
	static const char path[] = "/etc/resolv.conf";
	CLEANUP_CLOSE int fd = -1;

	if (!*s->dns || (s->flags & SETUP_READONLY))
		return 0;
	if (unlink(path) && errno != ENOENT)
		return failure_set(f, errno, "replace %s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || dprintf(fd, "nameserver %s\n", s->dns) < 0)
		return failure_set(f, errno, "write %s", path);
	return 0;
}

int network_configure(const struct setup *s, struct failure *f)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err;

	/* Without IPv4 in the kernel there is no socket. */
	if (fd >= 0)
		bring_up(fd, "lo");
	if (!*s->address)
		return 0;
	if (fd < 0)
		return failure_set(f, errno, "open a socket");
	err = add_address(fd, s, f);
	if (!err && bring_up(fd, INTERFACE))
		err = failure_set(f, errno, "bring " INTERFACE " up");
	if (!err)
		await_link(fd);
	if (!err)
		err = add_router(fd, s, f);
	return err;
}
