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
	return (struct setup){ .address = (char *)address,
			       .prefix_bits = bits,
			       .router = (char *)router,
			       .dns = (char *)"" };
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

static void refused(const char *address, unsigned int bits, const char *router,
		    int err, const char *what)
{
	const struct setup s = setup_of(address, bits, router);
	struct failure f = { .what = "" };

	assert_int_equal(network_configure(&s, &f), err);
	assert_int_equal(f.error, -err);
	assert_non_null(strstr(f.what, what));
}

static void test_refused(void **state)
{
	(void)state;
	refused("10.0.2", 24, "", -EINVAL, "network address 10.0.2");
	refused("10.0.2.15", 33, "", -EINVAL, "network prefix");
	refused("10.0.2.15", 24, "somewhere", -EINVAL, "somewhere");
	refused("10.0.2.15", 24, "192.0.2.1", -ENETUNREACH,
		"add router 192.0.2.1");
	close(tap_fd);
	refused("10.0.2.15", 24, "", -ENODEV, "set address 10.0.2.15 of eth0");
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
		TEST("network-refused", test_refused),
	};

	if (unshare(CLONE_NEWNET) != 0 || (tap_fd = make_interface()) < 0) {
		puts("skipped: no network namespace, or no tap device");
		return SKIPPED;
	}
	close(tap_fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
