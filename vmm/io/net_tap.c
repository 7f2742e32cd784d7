// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tap devices (Documentation/networking/tuntap.rst in the kernel's tree): all that
 * needs ioctl(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/io/net_private.h"

/* The MTU of interface @name; the usual one if it cannot be asked. */
static uint16_t interface_mtu(const char *name)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request) < 0 ||
	    request.ifr_mtu < NET_MTU_MIN)
		return NET_MTU_USUAL;
	return (uint16_t)min_u64((uint64_t)request.ifr_mtu, NET_MTU_MAX);
}

/* Whether the device has all the offloads that a guest may accept. */
static bool has_offloads(int fd)
{
	return ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) ==
		       0 &&
	       ioctl(fd, TUNSETOFFLOAD, 0) == 0;
}

bool net_is_tap(int fd)
{
	struct ifreq request = { 0 };

	return ioctl(fd, TUNGETIFF, &request) == 0;
}

/* Prepares a tap device whose interface is @request's. */
static int prepare(struct net *net, int fd, const struct ifreq *request)
{
	int header = NET_HEADER_BYTES;

	snprintf(net->name, sizeof(net->name), "tap %.*s", IFNAMSIZ,
		 request->ifr_name);
	if (!(request->ifr_flags & IFF_TAP) ||
	    !(request->ifr_flags & IFF_NO_PI))
		return log_fail(EINVAL,
				"network %s: not a tap device with "
				"IFF_NO_PI",
				net->name);
	if (!(request->ifr_flags & IFF_VNET_HDR))
		return log_fail(EINVAL,
				"network %s: opened without "
				"IFF_VNET_HDR",
				net->name);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return log_errno(errno, "network %s: TUNSETVNETHDRSZ",
				 net->name);
	net->offloads = has_offloads(fd);
	net->mtu = interface_mtu(request->ifr_name);
	return 0;
}

int net_take_tap(struct net *net, int fd)
{
	CLEANUP_CLOSE int owned = fd;
	struct ifreq request = { 0 };
	int r;

	if (ioctl(fd, TUNGETIFF, &request) < 0)
		return log_errno(errno, "network fd %d", fd);
	r = prepare(net, fd, &request);
	return r < 0 ? r : net_begin(net, NET_TAP, take_fd(&owned));
}

/* What to say of an error to attach to @name. */
static int attach_failed(const char *name, int err)
{
	if (err == EPERM)
		return log_fail(err,
				"tap %s: not permitted; make it for this user: "
				"ip tuntap add %s mode tap user %u",
				name, name, (unsigned int)geteuid());
	if (err == EBUSY)
		return log_fail(err, "tap %s: in use by another process", name);
	if (err == EINVAL)
		return log_fail(err,
				"tap %s: no tap device (a tun device, or "
				"one of several queues)",
				name);
	return log_errno(err, "tap %s", name);
}

int net_open_tap(struct net *net, const char *name)
{
	struct ifreq request = { .ifr_flags =
					 IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	CLEANUP_CLOSE int fd = -1;

	*net = (struct net){ .framing = NET_NONE };
	if (!*name || strlen(name) >= sizeof(request.ifr_name))
		return log_fail(EINVAL, "tap %s: a name has 1 to %zu bytes",
				name, sizeof(request.ifr_name) - 1);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	/* Attaching to a name that does not exist would make a device. */
	if (if_nametoindex(name) == 0)
		return log_fail(ENODEV,
				"tap %s: no such network device; make "
				"it with ip tuntap add %s mode tap",
				name, name);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return log_errno(errno, "tap %s: open /dev/net/tun", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return attach_failed(name, errno);
	return net_take_tap(net, take_fd(&fd));
}

void net_accept(struct net *net, uint64_t features)
{
	unsigned int flags = 0;

	if (!net->offloads || net->framing != NET_TAP)
		return;
	/* The others require it (5.1.3.1), and the kernel as well. */
	if (features & BIT(VIRTIO_NET_F_GUEST_CSUM)) {
		flags |= TUN_F_CSUM;
		if (features & BIT(VIRTIO_NET_F_GUEST_TSO4))
			flags |= TUN_F_TSO4;
		if (features & BIT(VIRTIO_NET_F_GUEST_TSO6))
			flags |= TUN_F_TSO6;
	}
	/* It fails only for a device that was removed: the next read says so. */
	ioctl(net->fd, TUNSETOFFLOAD, flags);
}
