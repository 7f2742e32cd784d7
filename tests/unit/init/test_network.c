// SPDX-License-Identifier: BSD-2-Clause
/*
 * The init's network, in a network namespace of the test's own with a tap device named
 * as the guest's interface.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/failure.h"
#include "guest/init/network.h"
#include "guest/init/protocol.h"
#include "vmm/base/bytes.h"

#define SKIPPED 77 /* exit status of a skipped test */

static int tap_fd, socket_fd;

static struct setup setup_of(const char *address, unsigned int bits,
			     const char *router)
{
	return (struct setup){
		.ipv4 = { (char *)address, (char *)router, bits },
		.ipv6 = { (char *)"", (char *)"", 0 },
		.dns = (char *)"",
	};
}

/* The same with IPv6 and no IPv4. */
static struct setup setup6_of(const char *address, unsigned int bits,
			      const char *router)
{
	struct setup s = setup_of("", 0, "");

	s.ipv6 = (struct setup_addresses){ (char *)address, (char *)router,
					   bits };
	return s;
}

/* Makes the interface, which goes with the descriptor; -1: not possible. */
static int make_interface(void)
{
	struct ifreq request = { .ifr_name = "eth0",
				 .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0)
		return fd;
	close(fd);
	return -1;
}

static int setup(void **state)
{
	(void)state;
	tap_fd = make_interface();
	socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(tap_fd >= 0 && socket_fd >= 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(tap_fd);
	close(socket_fd);
	return 0;
}

/* What an ioctl says of an interface's address, as text. */
static void check_address(unsigned long request, const char *want)
{
	struct ifreq r = { .ifr_name = "eth0" };
	struct sockaddr_in in;
	char text[INET_ADDRSTRLEN];

	assert_int_equal(ioctl(socket_fd, request, &r), 0);
	memcpy(&in, &r.ifr_addr, sizeof(in));
	assert_string_equal(inet_ntop(AF_INET, &in.sin_addr, text,
				      sizeof(text)),
			    want);
}

static bool is_up(const char *name)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	assert_int_equal(ioctl(socket_fd, SIOCGIFFLAGS, &r), 0);
	return r.ifr_flags & IFF_UP;
}

/* The router of the default route, as /proc/net/route has it; 0: none. */
static uint32_t default_router(void)
{
	unsigned int to, router, found = 0;
	char line[256];
	FILE *f = fopen("/proc/thread-self/net/route", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "eth0 %x %x", &to, &router) == 2 && to == 0)
			found = router;
	fclose(f);
	return found;
}

static void test_none(void **state)
{
	const struct setup s = setup_of("", 0, "");
	struct failure f;

	(void)state;
	assert_int_equal(network_configure(&s, &f), 0);
	assert_true(is_up("lo"));
	assert_false(is_up("eth0"));
}

static void test_addresses(void **state)
{
	static const struct {
		unsigned int bits;
		const char *mask;
	} rows[] = { { 8, "255.0.0.0" },
		     { 24, "255.255.255.0" },
		     { 27, "255.255.255.224" } };
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct setup s =
			setup_of("10.0.2.15", rows[i].bits, "10.0.2.2");

		assert_int_equal(network_configure(&s, &f), 0);
		check_address(SIOCGIFADDR, "10.0.2.15");
		check_address(SIOCGIFNETMASK, rows[i].mask);
		assert_true(is_up("eth0"));
		assert_int_equal(default_router(), inet_addr("10.0.2.2"));
	}
}

static void test_no_router(void **state)
{
	const struct setup s = setup_of("192.0.2.7", 24, "");
	struct failure f;

	(void)state;
	assert_int_equal(network_configure(&s, &f), 0);
	check_address(SIOCGIFADDR, "192.0.2.7");
	assert_int_equal(default_router(), 0);
}

/*
 * Whether a line of a file about IPv6 starts with @start, and has the interface at
 * its end.
 */
static bool has_line(const char *path, const char *start)
{
	char line[256];
	bool found = false;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		found |= !strncmp(line, start, strlen(start)) &&
			 strstr(line, " eth0\n");
	fclose(f);
	return found;
}

/*
 * Whether there is IPv6, and its routes reach the kernel: qemu-user takes each for a
 * longer one of IPv4, and answers EFAULT for the name of an interface in it.
 */
static bool has_ipv6(void)
{
	struct {
		struct in6_rtmsg route;
		uint8_t after[128];
	} none;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has;

	memset(&none, 0, sizeof(none.route));
	memset(none.after, 0xff, sizeof(none.after));
	has = fd >= 0 && access("/proc/net/if_inet6", R_OK) == 0 &&
	      ioctl(fd, SIOCDELRT, &none) != 0 && errno != EFAULT;
	if (fd >= 0)
		close(fd);
	return has;
}

/* proc_net(5): the address, 32 digits, index, prefix, scope, flags, interface. */
static void test_addresses6(void **state)
{
	struct setup s = setup6_of("fd00:1::15", 64, "fd00:1::2");
	struct failure f;
	char line[128];

	(void)state;
	if (!has_ipv6())
		skip();
	assert_int_equal(network_configure(&s, &f), 0);
	assert_true(is_up("eth0"));
	/* Scope 0 is global; 0x80, permanent, and not tentative (0x40). */
	snprintf(line, sizeof(line),
		 "fd000001000000000000000000000015 %02x 40 00 80",
		 if_nametoindex("eth0"));
	assert_true(has_line("/proc/thread-self/net/if_inet6", line));
	assert_true(has_line("/proc/thread-self/net/ipv6_route",
			     "00000000000000000000000000000000 00 "
			     "00000000000000000000000000000000 00 "
			     "fd000001000000000000000000000002 "));
	/* Again, and with IPv4. */
	s.ipv4 = setup_of("10.0.2.15", 24, "10.0.2.2").ipv4;
	assert_int_equal(network_configure(&s, &f), 0);
	check_address(SIOCGIFADDR, "10.0.2.15");
	assert_int_equal(default_router(), inet_addr("10.0.2.2"));
}

static void refused(const struct setup s, int err, const char *what)
{
	struct failure f = { .what = "" };

	assert_int_equal(network_configure(&s, &f), err);
	assert_int_equal(f.error, -err);
	assert_non_null(strstr(f.what, what));
}

static void test_refused(void **state)
{
	(void)state;
	refused(setup_of("10.0.2", 24, ""), -EINVAL, "network address 10.0.2");
	refused(setup_of("10.0.2.15", 33, ""), -EINVAL, "network prefix");
	refused(setup_of("10.0.2.15", 24, "somewhere"), -EINVAL, "somewhere");
	refused(setup_of("10.0.2.15", 24, "192.0.2.1"), -ENETUNREACH,
		"add router 192.0.2.1");
	refused(setup6_of("fd00:1:15", 64, ""), -EINVAL,
		"network address fd00:1:15");
	refused(setup6_of("fd00:1::15", 129, ""), -EINVAL, "network prefix");
	if (has_ipv6()) {
		refused(setup6_of("fd00:1::15", 64, "somewhere"), -EINVAL,
			"somewhere");
		refused(setup6_of("fd00:1::15", 64, "fd00:2::1"), -EHOSTUNREACH,
			"add router fd00:2::1");
	}
	close(tap_fd);
	refused(setup_of("10.0.2.15", 24, ""), -ENODEV,
		"set address 10.0.2.15 of eth0");
}

#define TEST(name, function)                          \
	{                                             \
		name, function, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST("network-none", test_none),
		TEST("network-addresses", test_addresses),
		TEST("network-no-router", test_no_router),
		TEST("network-addresses6", test_addresses6),
		TEST("network-refused", test_refused),
	};

	if (unshare(CLONE_NEWNET) != 0 || (tap_fd = make_interface()) < 0) {
		puts("skipped: no network namespace, or no tap device");
		return SKIPPED;
	}
	close(tap_fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
