// SPDX-License-Identifier: BSD-2-Clause
/*
 * passt(1) as a child: an unprivileged network for one guest.  It has one end of a
 * socket pair and ends when the other is closed, so that it does not outlive this
 * process.
 *
 * It opens its ports before it answers frames.  So an ARP request (RFC 826) for the
 * gateway, in the guest's name, is sent at once, and the answer says that all is
 * well; passt also learns the guest's address from it, which forwarded ports need
 * before the guest has said anything.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/io/net_private.h"

#define STRING2(n) #n
#define STRING(n)  STRING2(n)

/* How long passt may take to start on a busy host, and to end. */
#define AWAIT_NS (15 * NS_PER_S)
#define END_NS	 (1 * NS_PER_S)
#define POLL_MS	 1

/* The descriptor of the socket in passt. */
#define PASST_FD 3

/* An argument vector. */
struct args {
	const char *list[64];
	unsigned int count;
	char mtu[8];
};

static void add(struct args *args, const char *option, const char *value)
{
	args->list[args->count++] = option;
	if (value)
		args->list[args->count++] = value;
}

/* Options that Debian 12's passt (March 2023) and later ones have. */
static void make_args(struct args *args, const struct net_passt *passt)
{
	*args = (struct args){ .count = 0 };
	add(args, passt->program ? passt->program : "passt", NULL);
	add(args, "--foreground", NULL);
	add(args, "--quiet", NULL);
	add(args, "--fd", STRING(PASST_FD));
	add(args, "--address", NET_PASST_GUEST);
	add(args, "--netmask", STRING(NET_PASST_PREFIX));
	add(args, "--gateway", NET_PASST_GATEWAY);
	/* Ignored where the host has no route for IPv6. */
	add(args, "--address", NET_PASST_GUEST6);
	add(args, "--gateway", NET_PASST_GATEWAY6);
	/* No --dns: Debian 12's passt forwards to nothing then. */
	add(args, "--dns-forward", NET_PASST_DNS);
	add(args, "--dns-forward", NET_PASST_DNS6);
	if (!passt->loopback)
		add(args, "--no-map-gw", NULL);
	snprintf(args->mtu, sizeof(args->mtu), "%u",
		 passt->mtu && passt->mtu < NET_PASST_MTU ? passt->mtu :
							    NET_PASST_MTU);
	add(args, "--mtu", args->mtu);
	for (unsigned int i = 0; i < passt->tcp_count; i++)
		add(args, "--tcp-ports", passt->tcp[i]);
	for (unsigned int i = 0; i < passt->udp_count; i++)
		add(args, "--udp-ports", passt->udp[i]);
}

bool net_host_has_ipv6(void)
{
	CLEANUP_CLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
				   .sin6_port = htons(9) };

	/* Any global address (RFC 4291, 2.4); nothing is sent. */
	inet_pton(AF_INET6, "2000::1", &to.sin6_addr);
	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

/*
 * Prepares what the child inherits: its end of the socket, standard error to
 * @said_fd, no other streams.  A group of its own: Ctrl-C is not for it.
 */
static int prepare(posix_spawn_file_actions_t *files, posix_spawnattr_t *attr,
		   int fd, int said_fd)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP |
						   POSIX_SPAWN_SETSIGMASK |
						   POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnattr_setpgroup(attr, 0);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(files, 0, "/dev/null",
						     O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, 0, 1);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, said_fd, 2);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, fd, PASST_FD);
	return r;
}

/* Starts the program; 0 or an error number. */
static int spawn(pid_t *child, const struct args *args, int fd, int said_fd)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	r = prepare(&files, &attr, fd, said_fd);
	if (r == 0)
		r = posix_spawnp(child, args->list[0], &files, &attr,
				 (char **)args->list, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

/* Asks for the gateway's address in the guest's name. */
static void send_request(struct net *net, const uint8_t mac[NET_MAC_BYTES])
{
	static const struct virtio_net_hdr_v1 header;
	struct ether_header ether = { .ether_type = htons(ETHERTYPE_ARP) };
	struct ether_arp arp = {
		.ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
			    .ar_pro = htons(ETHERTYPE_IP),
			    .ar_hln = NET_MAC_BYTES,
			    .ar_pln = 4,
			    .ar_op = htons(ARPOP_REQUEST) },
	};
	const struct iovec iov[2] = { { &ether, sizeof(ether) },
				      { &arp, sizeof(arp) } };

	memset(ether.ether_dhost, 0xff, NET_MAC_BYTES);
	memcpy(ether.ether_shost, mac, NET_MAC_BYTES);
	memcpy(arp.arp_sha, mac, NET_MAC_BYTES);
	inet_pton(AF_INET, NET_PASST_GUEST, arp.arp_spa);
	inet_pton(AF_INET, NET_PASST_GATEWAY, arp.arp_tpa);
	/* If it cannot be sent, there is no answer either. */
	net_send(net, &header, iov, 2);
}

/* Moves @fd above those that the child has; -1: neither is open. */
static int above_streams(int fd)
{
	int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, PASST_FD + 1);

	close_fd(&fd);
	return moved;
}

int net_open_passt(struct net *net, const struct net_passt *passt,
		   const uint8_t mac[NET_MAC_BYTES])
{
	struct args args;
	int ends[2], r;
	CLEANUP_CLOSE int theirs = -1;

	*net = (struct net){ .name = "user", .mtu = NET_PASST_MTU };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return log_errno(errno, "network user: socketpair");
	theirs = above_streams(ends[1]);
	r = net_begin(net, NET_STREAM, ends[0]);
	if (r < 0)
		return r;
	net->said_fd = above_streams(
		memfd_create("passt", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (theirs < 0 || net->said_fd < 0) {
		r = log_errno(errno, "network user: descriptors of passt");
		close_fd(&net->said_fd);
		return r;
	}
	make_args(&args, passt);
	r = spawn(&net->child, &args, theirs, net->said_fd);
	if (r != 0) {
		net->child = 0;
		close_fd(&net->said_fd);
	}
	if (r == ENOENT)
		return log_fail(r,
				"network user: %s is not installed; install "
				"the package passt",
				args.list[0]);
	if (r != 0)
		return log_errno(r, "network user: start %s", args.list[0]);
	send_request(net, mac);
	return 0;
}

/* The last line of what passt has said that is about this. */
static void last_words(const struct net *net, char *line, size_t size)
{
	char text[4096];
	off_t end = lseek(net->said_fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(text) - 1 ?
			     end - (off_t)sizeof(text) + 1 :
			     0;
	ssize_t n = pread(net->said_fd, text, sizeof(text) - 1, from);
	char *rest = text, *at;

	snprintf(line, size, "no reason given");
	text[n > 0 ? n : 0] = '\0';
	while ((at = strsep(&rest, "\n")) != NULL)
		/* It has no syslog where there is none. */
		if (*at && strncmp(at, "Failed to send ", 15) != 0)
			snprintf(line, size, "%s", at);
}

/* Waits until the socket has bytes or an end; false after some seconds. */
static bool wait_readable(const struct net *net)
{
	uint64_t since = clock_now_ns();
	struct pollfd p = { .fd = net->fd, .events = POLLIN };

	while (clock_now_ns() - since < AWAIT_NS)
		if (poll(&p, 1, 100) > 0)
			return true;
	return false;
}

int net_passt_await(struct net *net)
{
	char why[256];
	uint8_t byte;

	bool answers = wait_readable(net);

	/* Whatever comes: the frames are the guest's. */
	if (answers && recv(net->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		/* What it says later is not read, and must not fill memory. */
		fcntl(net->said_fd, F_ADD_SEALS, F_SEAL_GROW);
		return 0;
	}
	last_words(net, why, sizeof(why));
	if (!answers)
		return log_fail(ETIMEDOUT,
				"network user: passt does not answer: %s", why);
	return log_fail(ECONNREFUSED, "network user: passt: %s", why);
}

/* Whether the child has ended, waiting at most that long. */
static bool child_ended(pid_t child, uint64_t ns)
{
	uint64_t since = clock_now_ns();
	int status;

	do {
		if (waitpid(child, &status, WNOHANG) != 0)
			return true;
		poll(NULL, 0, POLL_MS);
	} while (clock_now_ns() - since < ns);
	return false;
}

void net_passt_end(struct net *net)
{
	int status;

	/* The socket is closed, which ends it. */
	if (!child_ended(net->child, END_NS)) {
		kill(net->child, SIGKILL);
		while (waitpid(net->child, &status, 0) < 0 && errno == EINTR)
			;
	}
	net->child = 0;
	close_fd(&net->said_fd);
}
