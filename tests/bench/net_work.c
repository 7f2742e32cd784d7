// SPDX-License-Identifier: BSD-2-Clause
/*
 * net_work - uses a network and prints how long it takes; as process 1 of a guest, or
 * as the server that it talks to.
 *
 *	net_work			the guest: HOST is the server's address, ADDRESS
 *					its own; mib, requests and conns the sizes
 *	net_work server			on the host, until it is killed
 *
 * A phase prints `net: begin NAME' and `net: NAME us=TIME n=COUNT frames=F irqs=I',
 * where F is the frames of eth0 in both directions and I its interrupts.  The kernel
 * makes its unknown parameters (mib=64) the environment of process 1.
 *
 * TCP sends about a millisecond's worth of data in one segment to be split.  Under
 * emulation that is less the busier the machine is, and a guest that sends shorter
 * segments is slower, so they become shorter still: one round has four times as many
 * frames as the next.  So both ends are given the longest segments.
 *
 *	send		MiB from the guest to the host, one TCP connection
 *	receive		MiB from the host
 *	request		a byte each way, and waits for it
 *	connect		a connection, and a byte each way
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SINK_PORT   5001
#define SOURCE_PORT 5002
#define ECHO_PORT   5003
#define PIECE_BYTES (256 * 1024)

static uint8_t piece[PIECE_BYTES];
static const char *host;
static long mib, requests, conns;

static _Noreturn void fail(const char *what)
{
	printf("net: failed: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	exit(1);
}

static void must(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

static long setting(const char *name)
{
	const char *text = getenv(name);

	return text ? atol(text) : 1;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	must(fd, "socket");
	inet_pton(AF_INET, host, &to.sin_addr);
	must(connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void send_all(int fd, uint64_t len)
{
	while (len) {
		size_t want = len < PIECE_BYTES ? (size_t)len : PIECE_BYTES;
		ssize_t n = send(fd, piece, want, MSG_NOSIGNAL);

		if (n <= 0)
			fail("send");
		len -= (uint64_t)n;
	}
}

static void receive_all(int fd, uint64_t len)
{
	while (len) {
		size_t want = len < PIECE_BYTES ? (size_t)len : PIECE_BYTES;
		ssize_t n = recv(fd, piece, want, 0);

		if (n <= 0)
			fail("receive");
		len -= (uint64_t)n;
	}
}

/* The sink says with a byte that it has everything. */
static long do_send(void)
{
	uint64_t len = (uint64_t)mib << 20;
	int fd = dial(SINK_PORT);

	must((int)send(fd, &len, sizeof(len), MSG_NOSIGNAL), "send");
	send_all(fd, len);
	receive_all(fd, 1);
	close(fd);
	return mib;
}

static long do_receive(void)
{
	uint64_t len = (uint64_t)mib << 20;
	int fd = dial(SOURCE_PORT);

	must((int)send(fd, &len, sizeof(len), MSG_NOSIGNAL), "send");
	receive_all(fd, len);
	close(fd);
	return mib;
}

static long do_request(void)
{
	int fd = dial(ECHO_PORT);

	for (long i = 0; i < requests; i++) {
		send_all(fd, 1);
		receive_all(fd, 1);
	}
	close(fd);
	return requests;
}

static long do_connect(void)
{
	for (long i = 0; i < conns; i++) {
		int fd = dial(ECHO_PORT);

		send_all(fd, 1);
		receive_all(fd, 1);
		close(fd);
	}
	return conns;
}

static void serve_sink(int fd)
{
	uint64_t len;

	if (recv(fd, &len, sizeof(len), MSG_WAITALL) != sizeof(len))
		return;
	receive_all(fd, len);
	send_all(fd, 1);
}

static void serve_source(int fd)
{
	uint64_t len;

	if (recv(fd, &len, sizeof(len), MSG_WAITALL) == sizeof(len))
		send_all(fd, len);
}

static void serve_echo(int fd)
{
	while (recv(fd, piece, 1, 0) == 1)
		send_all(fd, 1);
}

/* Serves one port, a connection at a time; does not return. */
static void serve(int port, void (*answer)(int fd))
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	must(bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind");
	must(listen(fd, 64), "listen");
	for (;;) {
		int client = accept(fd, NULL, NULL);

		must(client, "accept");
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		answer(client);
		close(client);
	}
}

static int server(void)
{
	if (fork() == 0)
		serve(SINK_PORT, serve_sink);
	if (fork() == 0)
		serve(SOURCE_PORT, serve_source);
	serve(ECHO_PORT, serve_echo);
	return 0;
}

/* Segments of 44 packets of 1448 bytes, or else of 64 KiB; see above. */
static void set_segments(void)
{
	int fd = open("/proc/sys/net/ipv4/tcp_min_tso_segs",
		      O_WRONLY | O_CLOEXEC);

	must(fd, "tcp_min_tso_segs");
	must((int)write(fd, "44", 2), "tcp_min_tso_segs");
	close(fd);
}

/* The number in a file. */
static uint64_t number_in(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "r");

	if (!f || fscanf(f, "%llu", &n) != 1)
		fail(path);
	fclose(f);
	return n;
}

/* The frames of eth0 so far. */
static uint64_t frames(void)
{
	return number_in("/sys/class/net/eth0/statistics/tx_packets") +
	       number_in("/sys/class/net/eth0/statistics/rx_packets");
}

/* The interrupts of virtio devices on one processor so far: only the network's. */
static uint64_t interrupts(void)
{
	FILE *f = fopen("/proc/interrupts", "r");
	unsigned long long n;
	uint64_t sum = 0;
	char line[512];

	if (!f)
		fail("/proc/interrupts");
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "virtio") &&
		    sscanf(line, "%*[^:]: %llu", &n) == 1)
			sum += n;
	fclose(f);
	return sum;
}

/* Inserts the modules of the initramfs. */
static void load_modules(void)
{
	FILE *list = fopen("/modules.list", "r");
	char path[256];

	while (list && fscanf(list, "%255s", path) == 1) {
		int fd = open(path, O_RDONLY);

		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
			printf("net: %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

/* Gives eth0 the address, in a network of 256. */
static void configure(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct ifreq request = { .ifr_name = "eth0" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, getenv("ADDRESS"), &in.sin_addr);
	memcpy(&request.ifr_addr, &in, sizeof(in));
	must(ioctl(fd, SIOCSIFADDR, &request), "address");
	inet_pton(AF_INET, "255.255.255.0", &in.sin_addr);
	memcpy(&request.ifr_netmask, &in, sizeof(in));
	must(ioctl(fd, SIOCSIFNETMASK, &request), "netmask");
	request.ifr_flags = IFF_UP;
	must(ioctl(fd, SIOCSIFFLAGS, &request), "up");
	for (int i = 0; i < 5000; i++) {
		if (ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
		    (request.ifr_flags & IFF_RUNNING))
			break;
		usleep(1000);
	}
	close(fd);
}

static const struct phase {
	const char *name;
	long (*work)(void);
} phases[] = {
	{ "send", do_send },
	{ "receive", do_receive },
	{ "request", do_request },
	{ "connect", do_connect },
};

static void run_phase(const struct phase *phase)
{
	uint64_t start, took, frames_before, irqs_before;
	long n;

	printf("net: begin %s\n", phase->name);
	frames_before = frames();
	irqs_before = interrupts();
	start = now_us();
	n = phase->work();
	took = now_us() - start;
	printf("net: %s us=%llu n=%ld frames=%llu irqs=%llu\n", phase->name,
	       (unsigned long long)took, n,
	       (unsigned long long)(frames() - frames_before),
	       (unsigned long long)(interrupts() - irqs_before));
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "server")) {
		set_segments();
		return server();
	}
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	must(mount("proc", "/proc", "proc", 0, NULL), "mount /proc");
	must(mount("sysfs", "/sys", "sysfs", 0, NULL), "mount /sys");
	set_segments();
	load_modules();
	configure();
	host = getenv("HOST");
	mib = setting("mib");
	requests = setting("requests");
	conns = setting("conns");
	/* The first packets ask for addresses. */
	close(dial(ECHO_PORT));
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		run_phase(&phases[i]);
	}
	puts("net: end");
	reboot(RB_POWER_OFF);
}
