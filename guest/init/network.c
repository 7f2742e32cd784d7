// SPDX-License-Identifier: BSD-2-Clause
/*
 * Interfaces are configured by the ioctls of netdevice(7), which every kernel with
 * IPv4 has, and those of ipv6(7). A root that cannot be written to keeps its
 * /etc/resolv.conf.
 */
#include "guest/init/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6.h>
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

static int add_address(int fd, const struct setup_addresses *a,
		       struct failure *f)
{
	struct ifreq request = { .ifr_name = INTERFACE };
	struct sockaddr_in mask = { .sin_family = AF_INET };
	int err = set_address(&request.ifr_addr, a->address, f);

	if (err)
		return err;
	if (a->prefix_bits > 32)
		return failure_set(f, EINVAL, "network prefix");
	if (ioctl(fd, SIOCSIFADDR, &request))
		return failure_set(f, errno, "set address %s of " INTERFACE,
				   a->address);
	if (a->prefix_bits)
		mask.sin_addr.s_addr =
			htonl(UINT32_MAX << (32 - a->prefix_bits));
	memcpy(&request.ifr_netmask, &mask, sizeof(mask));
	if (ioctl(fd, SIOCSIFNETMASK, &request))
		return failure_set(f, errno, "set netmask of " INTERFACE);
	return 0;
}

static int add_router(int fd, const struct setup_addresses *a,
		      struct failure *f)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	int err;

	if (!*a->router)
		return 0;
	err = set_address(&route.rt_gateway, a->router, f);
	route.rt_dst.sa_family = AF_INET;
	route.rt_genmask.sa_family = AF_INET;
	if (!err && ioctl(fd, SIOCADDRT, &route) && errno != EEXIST)
		err = failure_set(f, errno, "add router %s", a->router);
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

/* Sets a parameter of the interface's IPv6; one that is missing stays so. */
static void set_parameter(const char *name, const char *value)
{
	CLEANUP_CLOSE int fd = -1;
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/" INTERFACE "/%s",
		 name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, value, strlen(value));
}

/* Stores @text, an IPv6 address; 0 or -EINVAL, with @f. */
static int set_address6(struct in6_addr *to, const char *text,
			struct failure *f)
{
	return inet_pton(AF_INET6, text, to) == 1 ?
		       0 :
		       failure_set(f, EINVAL, "network address %s", text);
}

static int add_router6(int fd, const struct setup_addresses *a, int index,
		       struct failure *f)
{
	struct in6_rtmsg route = { .rtmsg_flags = RTF_UP | RTF_GATEWAY,
				   .rtmsg_metric = 1,
				   .rtmsg_ifindex = index };
	int err;

	if (!*a->router)
		return 0;
	err = set_address6(&route.rtmsg_gateway, a->router, f);
	if (!err && ioctl(fd, SIOCADDRT, &route) && errno != EEXIST)
		err = failure_set(f, errno, "add router %s", a->router);
	return err;
}

/*
 * Waits until the address can be used: the kernel has a worker of its own see that
 * there is no test for duplicates.
 */
static void await_address6(int fd, const struct in6_addr *address)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
				   .sin6_addr = *address };

	for (int i = 0; i < LINK_TRIES; i++) {
		if (!bind(fd, (struct sockaddr *)&to, sizeof(to)) ||
		    errno != EADDRNOTAVAIL)
			return;
		usleep(LINK_WAIT_US);
	}
}

/* The addresses of IPv6, once the link is up. */
static int configure6(const struct setup_addresses *a, struct failure *f)
{
	CLEANUP_CLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct in6_ifreq request = { .ifr6_prefixlen = a->prefix_bits };
	int err = set_address6(&request.ifr6_addr, a->address, f);

	if (err)
		return err;
	if (a->prefix_bits > 128)
		return failure_set(f, EINVAL, "network prefix");
	/* Without IPv6 in the kernel there is no socket. */
	if (fd < 0)
		return errno == EAFNOSUPPORT ?
			       0 :
			       failure_set(f, errno, "IPv6 socket");
	request.ifr6_ifindex = (int)if_nametoindex(INTERFACE);
	if (ioctl(fd, SIOCSIFADDR, &request) && errno != EEXIST) {
		/* Turned off by a kernel parameter. */
		if (errno == EACCES || errno == EPERM)
			return 0;
		return failure_set(f, errno, "set address %s of " INTERFACE,
				   a->address);
	}
	await_address6(fd, &request.ifr6_addr);
	return add_router6(fd, a, request.ifr6_ifindex, f);
}

/* Brings eth0 up with the addresses. */
static int configure(int fd, const struct setup *s, struct failure *f)
{
	int err = *s->ipv4.address ? add_address(fd, &s->ipv4, f) : 0;

	/* These addresses, and at once, without a test for duplicates. */
	if (*s->ipv6.address) {
		set_parameter("accept_ra", "0");
		set_parameter("accept_dad", "0");
	}
	if (!err && bring_up(fd, INTERFACE))
		err = failure_set(f, errno, "bring " INTERFACE " up");
	if (!err)
		await_link(fd);
	if (!err && *s->ipv4.address)
		err = add_router(fd, &s->ipv4, f);
	if (!err && *s->ipv6.address)
		err = configure6(&s->ipv6, f);
	return err;
}

int network_configure(const struct setup *s, struct failure *f)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* Without IPv4 in the kernel there is no socket. */
	if (fd >= 0)
		bring_up(fd, "lo");
	if (!*s->ipv4.address && !*s->ipv6.address)
		return 0;
	return fd < 0 ? failure_set(f, errno, "open a socket") :
			configure(fd, s, f);
}
