// SPDX-License-Identifier: BSD-2-Clause
/*
 * The values of --net, "KIND[=VALUE][,OPTION...]".
 *
 * A guest's address is made from this host's identity and the host side's name:
 * the same each time, and another one on another host or tap device, so that
 * guests on a bridge have different ones (locally administered; IEEE 802, 8.4).  A
 * socket has no name but its number.
 */
#include "vmm/cli/net.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/sha256.h"
#include "vmm/cli/id.h"

/* Decimal, between @min and @max. */
static bool parse_number(const char *text, unsigned int min, unsigned int max,
			 unsigned int *value)
{
	return text && id_parse(text, '\0', value) && *value >= min &&
	       *value <= max;
}

/* The value of a hexadecimal digit; -1: it is none. */
static int digit_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* An address of one station, as six pairs of digits between colons. */
static bool set_mac(struct net_choice *c, const char *value)
{
	if (!value || strlen(value) != 3 * NET_MAC_BYTES - 1)
		return false;
	for (unsigned int i = 0; i < NET_MAC_BYTES; i++) {
		int high = digit_value(value[3 * i]);
		int low = digit_value(value[3 * i + 1]);
		char end = value[3 * i + 2];

		if (high < 0 || low < 0 ||
		    end != (i + 1 == NET_MAC_BYTES ? '\0' : ':'))
			return false;
		c->mac[i] = (uint8_t)(high << 4 | low);
	}
	c->has_mac = true;
	return net_mac_is_station(c->mac);
}

/* The family of an address: AF_INET, AF_INET6; AF_UNSPEC: it is none. */
static int family_of(const char *text)
{
	struct in6_addr address;

	if (text && inet_pton(AF_INET, text, &address) == 1)
		return AF_INET;
	return text && inet_pton(AF_INET6, text, &address) == 1 ? AF_INET6 :
								  AF_UNSPEC;
}

static bool set_mtu(struct net_choice *c, const char *value)
{
	return parse_number(value, NET_MTU_MIN, NET_MTU_MAX, &c->mtu);
}

/* Adds a port forward for passt: without an address, of the loopback interface. */
static bool add_forward(struct net_choice *c, const char *value,
			const char **list, unsigned int *count,
			unsigned int max)
{
	char *text;

	if (c->kind != NET_KIND_USER || !value || !*value || *count == max)
		return false;
	if (asprintf(&text, "%s%s", strchr(value, '/') ? "" : "127.0.0.1/",
		     value) < 0)
		return false;
	list[(*count)++] = text;
	return true;
}

static bool set_tcp(struct net_choice *c, const char *value)
{
	return add_forward(c, value, c->passt.tcp, &c->passt.tcp_count,
			   ARRAY_SIZE(c->passt.tcp));
}

static bool set_udp(struct net_choice *c, const char *value)
{
	return add_forward(c, value, c->passt.udp, &c->passt.udp_count,
			   ARRAY_SIZE(c->passt.udp));
}

static bool set_loopback(struct net_choice *c, const char *value)
{
	c->passt.loopback = true;
	return c->kind == NET_KIND_USER && !value;
}

/* "ADDRESS/BITS", which becomes two strings; once for a family. */
static bool set_ip(struct net_choice *c, const char *value)
{
	char *bits = value ? strchr((char *)value, '/') : NULL;
	bool six = value && strchr(value, ':');
	struct net_addresses *a = six ? &c->ipv6 : &c->ipv4;

	if (!bits || a->address)
		return false;
	*bits++ = '\0';
	a->address = value;
	return family_of(value) == (six ? AF_INET6 : AF_INET) &&
	       parse_number(bits, 0, six ? 128 : 32, &a->prefix_bits);
}

static bool set_router(struct net_choice *c, const char *value)
{
	int family = family_of(value);
	struct net_addresses *a = family == AF_INET6 ? &c->ipv6 : &c->ipv4;

	if (family == AF_UNSPEC || a->router)
		return false;
	a->router = value;
	return true;
}

static bool set_dns(struct net_choice *c, const char *value)
{
	c->dns = value;
	return family_of(value) != AF_UNSPEC;
}

/* Each stores a value (NULL: none given); false if it is bad. */
static const struct net_option {
	const char *name;
	bool (*set)(struct net_choice *c, const char *value);
} net_options[] = {
	{ "mac", set_mac },	      { "mtu", set_mtu },
	{ "tcp", set_tcp },	      { "udp", set_udp },
	{ "loopback", set_loopback }, { "ip", set_ip },
	{ "gateway", set_router },    { "dns", set_dns },
};

/* Splits "NAME=VALUE"; the value, or NULL. */
static char *value_of(char *text)
{
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	return value;
}

static bool parse_option(struct net_choice *c, char *text)
{
	const char *value = value_of(text);

	for (size_t i = 0; i < ARRAY_SIZE(net_options); i++)
		if (!strcmp(text, net_options[i].name))
			return net_options[i].set(c, value);
	return false;
}

static bool parse_kind(struct net_choice *c, char *text)
{
	const char *value = value_of(text);

	if (!strcmp(text, "user") || !strcmp(text, "none")) {
		c->kind = *text == 'u' ? NET_KIND_USER : NET_KIND_NONE;
		return !value;
	}
	if (!strcmp(text, "tap")) {
		c->kind = NET_KIND_TAP;
		c->tap = value;
		return value && *value;
	}
	c->kind = NET_KIND_FD;
	return !strcmp(text, "fd") && parse_number(value, 0, 1 << 20, &c->fd);
}

static int parse(struct net_choice *c, const char *arg)
{
	char *rest, *text;

	c->text = strdup(arg);
	if (!c->text)
		return log_errno(ENOMEM, "--net %s", arg);
	rest = c->text;
	if (!parse_kind(c, strsep(&rest, ",")))
		return log_fail(EINVAL,
				"--net %s: kinds are user, tap=NAME, "
				"fd=N and none",
				arg);
	while ((text = strsep(&rest, ",")) != NULL)
		if (!parse_option(c, text))
			return log_fail(
				EINVAL,
				"--net %s: bad option %s or value of it", arg,
				text);
	return 0;
}

/*
 * Whether the descriptor of network @n is the caller's, before this process opens its
 * own; it is kept from passt.
 */
static int check_fd(const struct nets *nets, unsigned int n)
{
	unsigned int fd = nets->choices[n].fd;

	if (nets->choices[n].kind != NET_KIND_FD)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		if (nets->choices[i].kind == NET_KIND_FD &&
		    nets->choices[i].fd == fd)
			return log_fail(EINVAL, "--net fd=%u: given twice", fd);
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return log_errno(errno, "--net fd=%u", fd);
	return 0;
}

static int parse_all(struct nets *nets, const struct option_list *values)
{
	for (unsigned int i = 0; i < values->count; i++) {
		int r;

		if (i == VM_NETS_MAX)
			return log_fail(EINVAL, "--net: more than %d networks",
					VM_NETS_MAX);
		nets->count++;
		r = parse(&nets->choices[i], values->values[i]);
		if (r >= 0)
			r = check_fd(nets, i);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool has_addresses(const struct net_choice *c)
{
	return c->ipv4.address || c->ipv4.router || c->ipv6.address ||
	       c->ipv6.router || c->dns;
}

int nets_parse(struct nets *nets, const struct option_list *values)
{
	int r = parse_all(nets, values);

	for (unsigned int i = 0; r >= 0 && i < nets->count; i++) {
		const struct net_choice *c = &nets->choices[i];

		if (has_addresses(c))
			r = log_fail(EINVAL,
				     "--net %s: ip=, gateway= and dns= are for "
				     "thaw exec; other guests configure "
				     "themselves",
				     values->values[i]);
	}
	return r;
}

/* Linux has no IPv6 on an interface with a smaller MTU (RFC 8200, 5). */
#define IPV6_MTU_MIN 1280

static bool mtu_has_ipv6(const struct net_choice *c)
{
	return !c->mtu || c->mtu >= IPV6_MTU_MIN;
}

/* Whether there is an address, and one for each router and the name server. */
static bool is_complete(const struct net_choice *c)
{
	int dns = c->dns ? family_of(c->dns) : AF_UNSPEC;

	return (c->ipv4.address || c->ipv6.address) &&
	       (c->ipv4.address || (!c->ipv4.router && dns != AF_INET)) &&
	       (c->ipv6.address || (!c->ipv6.router && dns != AF_INET6));
}

/* Checks, or fills in, the addresses that the init configures. */
static int set_addresses(struct net_choice *c, const char *arg)
{
	if (c->ipv6.address && !mtu_has_ipv6(c))
		return log_fail(EINVAL, "--net %s: IPv6 needs an MTU of %d",
				arg, IPV6_MTU_MIN);
	if (c->kind != NET_KIND_USER)
		return is_complete(c) ?
			       0 :
			       log_fail(EINVAL,
					"--net %s: needs ip=ADDRESS/BITS, and "
					"gateway= and dns= an address of their "
					"family",
					arg);
	if (has_addresses(c))
		return log_fail(EINVAL,
				"--net %s: user has addresses of its own", arg);
	c->ipv4 = (struct net_addresses){ NET_PASST_GUEST, NET_PASST_GATEWAY,
					  NET_PASST_PREFIX };
	/* A host without IPv6 has a passt without it: a name's IPv4 is used. */
	if (net_host_has_ipv6() && mtu_has_ipv6(c))
		c->ipv6 = (struct net_addresses){ NET_PASST_GUEST6,
						  NET_PASST_GATEWAY6,
						  NET_PASST_PREFIX6 };
	c->dns = NET_PASST_DNS;
	return 0;
}

int nets_parse_exec(struct nets *nets, const struct option_list *values)
{
	int r = parse_all(nets, values);

	if (r < 0 || !nets->count)
		return r;
	if (nets->count > 1)
		return log_fail(EINVAL, "--net: thaw exec has one network");
	return set_addresses(&nets->choices[0], values->values[0]);
}

/* What tells this host from others: machine-id(5), or its name. */
static size_t host_identity(char *text, size_t size)
{
	CLEANUP_CLOSE int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size);

	if (n > 0)
		return (size_t)n;
	text[0] = '\0';
	return gethostname(text, size) < 0 ? 0 : strnlen(text, size);
}

/* The guest's address of network @n, unless one is given. */
static void choose_mac(struct net_choice *c, const char *name, unsigned int n)
{
	uint8_t hash[SHA256_BYTES];
	char text[256];
	struct sha256 sum;

	if (c->has_mac)
		return;
	sha256_init(&sum);
	sha256_update(&sum, text, host_identity(text, sizeof(text)));
	snprintf(text, sizeof(text), "thaw %u %s", n, name);
	sha256_update(&sum, text, strlen(text));
	sha256_finish(&sum, hash);
	memcpy(c->mac, hash, sizeof(c->mac));
	c->mac[0] = (uint8_t)((c->mac[0] & ~1u) | 2);
	c->has_mac = true;
}

/* Opens the host side of network @n; passt needs the guest's address and MTU. */
static int open_host(struct nets *nets, unsigned int n)
{
	struct net_choice *c = &nets->choices[n];
	struct net *net = &nets->hosts[n];

	nets->open_count = n + 1;
	switch (c->kind) {
	case NET_KIND_USER:
		c->passt.mtu = nets->list[n].mtu;
		return net_open_passt(net, &c->passt, nets->list[n].mac);
	case NET_KIND_TAP:
		return net_open_tap(net, c->tap);
	case NET_KIND_FD:
		return net_open_fd(net, (int)c->fd);
	case NET_KIND_NONE:
		break;
	}
	return net_open_none(net);
}

int nets_open(struct nets *nets)
{
	for (unsigned int i = 0; i < nets->count; i++) {
		struct net_choice *c = &nets->choices[i];
		struct virtio_net_link *link = &nets->list[i];
		int r;

		if (c->kind == NET_KIND_USER)
			choose_mac(c, "", i);
		memcpy(link->mac, c->mac, sizeof(link->mac));
		link->mtu = (uint16_t)c->mtu;
		r = open_host(nets, i);
		if (r < 0)
			return r;
		/* Of a tap device the name counts, even if it came open. */
		choose_mac(c, nets->hosts[i].name, i);
		memcpy(link->mac, c->mac, sizeof(link->mac));
		link->net = &nets->hosts[i];
		if (!link->mtu)
			link->mtu = link->net->mtu;
	}
	return 0;
}

/* Gives the host side of network @n to the guest that had @was. */
static int adopt(struct nets *nets, unsigned int n, const struct vm_net *was)
{
	struct virtio_net_link *link = &nets->list[n];
	struct net *net = &nets->hosts[n];
	int r;

	memcpy(link->mac, was->mac, sizeof(link->mac));
	link->mtu = was->mtu;
	link->net = net;
	r = open_host(nets, n);
	if (r < 0)
		return r;
	if (was->offloads && !net->offloads && net->framing != NET_NONE &&
	    !net->child)
		return log_fail(EOPNOTSUPP,
				"--net: network %u of the snapshot uses the "
				"offloads of %s, which %s does not have; use "
				"a tap device or user",
				n, was->host, net->name);
	if ((net->framing == NET_TAP || net->child) && net->mtu < was->mtu)
		log_warn(
			"network %s: its MTU is %u, that of the guest %u: longer "
			"packets may be lost",
			net->name, net->mtu, was->mtu);
	/* What the guest was offered does not change; see net_send(). */
	net->offloads = was->offloads;
	return 0;
}

int nets_open_for(struct nets *nets, const char *path,
		  const struct vm_description *machine)
{
	unsigned int want = machine->net_count;
	int r = 0;

	if (nets->count != want && !nets->count)
		return log_fail(EINVAL,
				"%s: has %u network%s: pass --net for each, "
				"such as --net user or --net none; the first "
				"was %s",
				path, want, want == 1 ? "" : "s",
				machine->nets[0].host);
	if (nets->count != want)
		return log_fail(EINVAL,
				"--net: %u network%s given, the snapshot has "
				"%u",
				nets->count, nets->count == 1 ? "" : "s", want);
	for (unsigned int i = 0; r >= 0 && i < want; i++) {
		const struct net_choice *c = &nets->choices[i];

		if (c->has_mac || c->mtu)
			return log_fail(EINVAL, "--net: mac= and mtu= are "
						"those of the snapshot");
		r = adopt(nets, i, &machine->nets[i]);
	}
	return r;
}

int nets_await(struct nets *nets)
{
	for (unsigned int i = 0; i < nets->count; i++) {
		int r = net_await(&nets->hosts[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static void choice_finish(struct net_choice *c)
{
	for (unsigned int i = 0; i < c->passt.tcp_count; i++)
		free((char *)c->passt.tcp[i]);
	for (unsigned int i = 0; i < c->passt.udp_count; i++)
		free((char *)c->passt.udp[i]);
	free(c->text);
}

void nets_finish(struct nets *nets)
{
	for (unsigned int i = 0; i < nets->open_count; i++)
		net_close(&nets->hosts[i]);
	for (unsigned int i = 0; i < nets->count; i++)
		choice_finish(&nets->choices[i]);
	nets->count = nets->open_count = 0;
}
