// SPDX-License-Identifier: BSD-2-Clause
/*
 * xfer - moves bytes over IPv4 and IPv6, in the rig and in its guests.
 *
 *	xfer listen PORT	one connection: what comes in, to standard output
 *	xfer send HOST PORT	standard input; ends when the other end has taken all
 *	xfer udp-listen PORT	the first datagram, to standard output
 *	xfer udp-send HOST PORT	the first line of standard input, as three datagrams
 *				with the same contents: any of them may be lost
 *	xfer dns ADDRESS	a name server: every name has this IPv4 address
 *	xfer resolve NAME SERVER	the IPv4 address of a name; guests have no C library
 *				that could ask
 *	xfer pair CMD CMD	runs two shell commands, each with an end of a pair of
 *				sockets as descriptor 3; fails if one of them fails
 *
 * The end that listens says a byte first, for which the other does not wait.  Without
 * any, the passt of Debian 12 (March 2023) goes on waiting for an acknowledgement of its
 * SYN, and resets the connection when that has not come in eight pauses of two seconds.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

/* An address and a port, of either family. */
struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} is;
	socklen_t bytes;
};

static struct address address(const char *host, const char *port)
{
	struct address a = { .bytes = sizeof(a.is.in) };
	void *to = &a.is.in.sin_addr;

	a.is.in.sin_family = AF_INET;
	a.is.in.sin_port = htons((uint16_t)atoi(port));
	if (strchr(host, ':')) {
		a.bytes = sizeof(a.is.in6);
		to = &a.is.in6.sin6_addr;
		a.is.in6.sin6_family = AF_INET6;
	}
	if (inet_pton(a.is.any.sa_family, host, to) != 1) {
		fprintf(stderr, "xfer: bad address %s\n", host);
		exit(64);
	}
	return a;
}

/* Copies until the end of @from. */
static void copy(int from, int to)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0, m; done < n; done += m) {
			m = write(to, bytes + done, (size_t)(n - done));
			must(m, "write");
		}
	must(n, "read");
}

/* A socket bound to the port, for both families where the kernel has both. */
static int bound(int type, const char *port)
{
	int fd = socket(AF_INET6, type, 0), on = 1;
	struct address a = address(fd < 0 ? "0.0.0.0" : "::", port);

	if (fd < 0)
		fd = socket(AF_INET, type, 0);
	must(fd, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	must(bind(fd, &a.is.any, a.bytes), "bind");
	return fd;
}

static int connected(int type, const char *host, const char *port)
{
	struct address a = address(host, port);
	int fd = socket(a.is.any.sa_family, type, 0);

	must(fd, "socket");
	must(connect(fd, &a.is.any, a.bytes), "connect");
	return fd;
}

static void listen_once(const char *port)
{
	int fd = bound(SOCK_STREAM, port), client;

	must(listen(fd, 1), "listen");
	client = accept(fd, NULL, NULL);
	must(client, "accept");
	must(write(client, "!", 1), "greet");
	copy(client, STDOUT_FILENO);
}

static void send_all(const char *host, const char *port)
{
	int fd = connected(SOCK_STREAM, host, port);
	ssize_t n;
	char byte;

	copy(STDIN_FILENO, fd);
	must(shutdown(fd, SHUT_WR), "shutdown");
	/* The other end closes when it has everything. */
	while ((n = read(fd, &byte, 1)) > 0)
		;
	must(n, "wait for the end");
}

static void udp_listen(const char *port)
{
	int fd = bound(SOCK_DGRAM, port);
	char bytes[2048];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	must(n, "receive");
	must(write(STDOUT_FILENO, bytes, (size_t)n), "write");
}

static void udp_send(const char *host, const char *port)
{
	int fd = connected(SOCK_DGRAM, host, port);
	char line[1024] = "";

	if (!fgets(line, sizeof(line), stdin))
		exit(1);
	for (int i = 0; i < 3; i++) {
		/* A refusal is that of the one before, which was taken. */
		(void)!write(fd, line, strlen(line));
		usleep(300000);
	}
}

/*
 * The answer to a query of @len bytes, in place (RFC 1035, 4.1): its header and
 * question, and for type A one address.  Its length; 0: not a query.
 */
static size_t answer(uint8_t *query, size_t len, const struct in_addr *addr)
{
	/* A pointer to the name, type A, class IN, one minute, 4 bytes. */
	static const uint8_t record[] = { 0xc0, 12, 0, 1,  0, 1,
					  0,	0,  0, 60, 0, 4 };
	size_t at = 12;

	while (at < len && query[at])
		at += query[at] + 1U;
	at += 5;
	if (len < 12 || at > len || at + sizeof(record) + 4 > 512)
		return 0;
	query[2] = 0x81;
	query[3] = 0x80;
	memset(query + 6, 0, 6);
	if (query[at - 4] != 0 || query[at - 3] != 1)
		return at;
	query[7] = 1;
	memcpy(query + at, record, sizeof(record));
	memcpy(query + at + sizeof(record), addr, 4);
	return at + sizeof(record) + 4;
}

static void serve_names(const char *host)
{
	struct address is = address(host, "0");
	int fd = bound(SOCK_DGRAM, "53");

	for (;;) {
		struct sockaddr_storage from;
		socklen_t from_bytes = sizeof(from);
		uint8_t bytes[512];
		ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0,
				     (struct sockaddr *)&from, &from_bytes);
		size_t len =
			n < 0 ? 0 :
				answer(bytes, (size_t)n, &is.is.in.sin_addr);

		if (len)
			(void)!sendto(fd, bytes, len, 0,
				      (struct sockaddr *)&from, from_bytes);
	}
}

/* The query for the address of a name (RFC 1035, 4.1); its length. */
static size_t query_for(const char *name, uint8_t query[512])
{
	/* Recursion desired, one question. */
	static const uint8_t header[12] = { 0x12, 0x34, 1, 0, 0, 1 };
	size_t at = sizeof(header);

	memcpy(query, header, sizeof(header));
	while (*name && at < 400) {
		size_t len = strcspn(name, ".");

		if (len == 0 || len > 63)
			exit(64);
		query[at++] = (uint8_t)len;
		memcpy(query + at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	/* The end of the name, type A, class IN. */
	memcpy(query + at, "\0\0\1\0\1", 5);
	return at + 5;
}

static void resolve(const char *name, const char *server)
{
	int fd = connected(SOCK_DGRAM, server, "53");
	struct timeval limit = { .tv_sec = 2 };
	uint8_t bytes[512], reply[512];
	size_t len = query_for(name, bytes);
	char text[INET_ADDRSTRLEN];
	ssize_t n = -1;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	for (int i = 0; n < 0 && i < 5; i++) {
		(void)!write(fd, bytes, len);
		n = recv(fd, reply, sizeof(reply), 0);
	}
	must(n, "no answer");
	if ((size_t)n < len + 16 || reply[7] == 0)
		exit(1);
	puts(inet_ntop(AF_INET, reply + n - 4, text, sizeof(text)));
}

/* Starts a shell command that has the socket as descriptor 3. */
static pid_t start(const char *command, int fd, int other)
{
	pid_t pid = fork();

	must(pid, "fork");
	if (pid)
		return pid;
	close(other);
	must(dup2(fd, 3), "dup2");
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	perror("/bin/sh");
	_exit(127);
}

static int run_pair(const char *first, const char *second)
{
	int ends[2], status = 0, failed = 0;

	/* Out of the way of descriptor 3. */
	must(dup2(STDIN_FILENO, 3), "dup2");
	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), "socketpair");
	start(first, ends[0], ends[1]);
	start(second, ends[1], ends[0]);
	close(ends[0]);
	close(ends[1]);
	close(3);
	while (wait(&status) > 0)
		failed |= status != 0;
	return failed;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "listen"))
		listen_once(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "send"))
		send_all(argv[2], argv[3]);
	else if (argc == 3 && !strcmp(argv[1], "udp-listen"))
		udp_listen(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "udp-send"))
		udp_send(argv[2], argv[3]);
	else if (argc == 3 && !strcmp(argv[1], "dns"))
		serve_names(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "resolve"))
		resolve(argv[2], argv[3]);
	else if (argc == 4 && !strcmp(argv[1], "pair"))
		return run_pair(argv[2], argv[3]);
	else
		return 64;
	return 0;
}
