// SPDX-License-Identifier: BSD-2-Clause
/*
 * xfer - moves bytes over IPv4, in the rig and in its guests.
 *
 *	xfer listen PORT	one connection: what comes in, to standard output
 *	xfer send HOST PORT	standard input; ends when the other end has taken all
 *	xfer udp-listen PORT	the first datagram, to standard output
 *	xfer udp-send HOST PORT	the first line of standard input, as three datagrams
 *				with the same contents: any of them may be lost
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)atoi(port)) };

	if (host && inet_pton(AF_INET, host, &in.sin_addr) != 1) {
		fprintf(stderr, "xfer: bad address %s\n", host);
		exit(64);
	}
	return in;
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

/* A socket bound to the port. */
static int bound(int type, const char *port)
{
	struct sockaddr_in in = address(NULL, port);
	int fd = socket(AF_INET, type, 0), on = 1;

	must(fd, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	must(bind(fd, (struct sockaddr *)&in, sizeof(in)), "bind");
	return fd;
}

static int connected(int type, const char *host, const char *port)
{
	struct sockaddr_in in = address(host, port);
	int fd = socket(AF_INET, type, 0);

	must(fd, "socket");
	must(connect(fd, (struct sockaddr *)&in, sizeof(in)), "connect");
	return fd;
}

static void listen_once(const char *port)
{
	int fd = bound(SOCK_STREAM, port), client;

	must(listen(fd, 1), "listen");
	client = accept(fd, NULL, NULL);
	must(client, "accept");
	copy(client, STDOUT_FILENO);
}

static void send_all(const char *host, const char *port)
{
	int fd = connected(SOCK_STREAM, host, port);
	char byte;

	copy(STDIN_FILENO, fd);
	must(shutdown(fd, SHUT_WR), "shutdown");
	/* The other end closes when it has everything. */
	must(read(fd, &byte, 1), "wait for the end");
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
	else
		return 64;
	return 0;
}
