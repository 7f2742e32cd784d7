/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The values of --net.  Main thread.
 */
#ifndef VMM_CLI_NET_H
#define VMM_CLI_NET_H

#include "vmm/base/option.h"
#include "vmm/virtio/virtio.h"
#include "vmm/vm/snapshot.h"
#include "vmm/vm/vm.h"

/* The kinds of host sides. */
enum net_kind { NET_KIND_USER, NET_KIND_TAP, NET_KIND_FD, NET_KIND_NONE };

/* Of one family, as text; NULL: not given. */
struct net_addresses {
	const char *address, *router;
	unsigned int prefix_bits;
};

/* One value, parsed. */
struct net_choice {
	enum net_kind kind;
	char *text; /* owned; what the strings below point into */
	const char *tap;
	unsigned int fd;
	struct net_passt passt; /* its strings are owned */
	bool has_mac;
	uint8_t mac[NET_MAC_BYTES];
	unsigned int mtu; /* 0: not given */
	/* What the init of `thaw exec' configures; NULL: not given. */
	struct net_addresses ipv4, ipv6;
	const char *dns;
};

struct nets {
	struct net_choice choices[VM_NETS_MAX];
	struct net hosts[VM_NETS_MAX];
	struct virtio_net_link list[VM_NETS_MAX];
	unsigned int count, open_count;
};

/* The row of --net at offset @o, a struct option_list. */
#define NET_OPTION_ROW(o)                                                   \
	{                                                                   \
		.kind = OPTION_LIST, .name = "net", .offset = (o),          \
		.metavar = "KIND[,...]",                                    \
		.help = "virtio network: user (passt), tap=NAME, fd=N or\n" \
			"none; options: mac=ADDRESS, mtu=N, and of user\n"  \
			"tcp=[ADDRESS/]PORT[:PORT], udp=..., loopback;\n"   \
			"repeatable"                                        \
	}

/* The same for `thaw exec', whose init configures the interface. */
#define NET_EXEC_OPTION_ROW(o)                                              \
	{                                                                   \
		.kind = OPTION_LIST, .name = "net", .offset = (o),          \
		.metavar = "KIND[,...]",                                    \
		.help = "network: user (passt), or tap=NAME or fd=N with\n" \
			"ip=ADDRESS/BITS, gateway=ADDRESS, dns=ADDRESS,\n"  \
			"the first two once for IPv4 and once for IPv6;\n"  \
			"other options as for thaw run"                     \
	}

/*
 * Parses the values.  -errno, logged: a usage error.  nets_finish() follows in any
 * case.
 */
int nets_parse(struct nets *nets, const struct option_list *values);
/* The same for `thaw exec': at most one, whose addresses are given or known. */
int nets_parse_exec(struct nets *nets, const struct option_list *values);

/*
 * Opens the host sides of a guest that is booted; of one that is restored from
 * @path, which has the networks of @machine in the same order.  Logged.
 */
int nets_open(struct nets *nets);
int nets_open_for(struct nets *nets, const char *path,
		  const struct vm_description *machine);

/* Waits until they serve; see net_await(). */
int nets_await(struct nets *nets);

void nets_finish(struct nets *nets);

#endif
