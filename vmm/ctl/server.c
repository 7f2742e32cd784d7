/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket's server: one thread with all clients, one verb after
 * another.  It is the VM's control side while it runs.
 *
 * A client that sends nothing or half a line, or does not read its replies, does
 * not delay the others, and is disconnected after CTL_TIMEOUT_MS.  A verb delays
 * the other clients for as long as it runs.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/ctl/ctl.h"
#include "vmm/ctl/private.h"

#define CLIENTS_MAX 16
/* Before accept() is called again after it failed for lack of descriptors. */
#define ACCEPT_PAUSE_MS 200
/* A dot and a process id: the suffix of the socket's temporary name. */
#define NAME_SUFFIX_BYTES 12

struct ctl {
	struct vm *vm;
	char *path;
	int listen_fd, wake_fd;
	bool bound; /* the socket exists, with this device and inode: */
	dev_t dev;
	ino_t ino;
	pthread_t thread;
	bool runs;
	struct connection connections[CLIENTS_MAX];
	uint64_t accept_again_ms;
	struct log_budget log; /* clients that could not be accepted */
};

/* Whether a connection slot is free, and the pause after a failure is over. */
static bool may_accept(const struct ctl *ctl, uint64_t now_ms)
{
	if (now_ms < ctl->accept_again_ms)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ctl->connections); i++)
		if (ctl->connections[i].fd < 0)
			return true;
	return false;
}

/* Accepts one client that has connected. */
static void accept_one(struct ctl *ctl)
{
	struct connection *connection = ctl->connections;
	int fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)
			return;
		/* No descriptors, no memory: the client stays in the backlog. */
		log_guest(&ctl->log, "control socket %s: accept: %s", ctl->path,
			  strerror(errno));
		ctl->accept_again_ms = clock_now_ms() + ACCEPT_PAUSE_MS;
		return;
	}
	while (connection->fd >= 0)
		connection++;
	if (connection_open(connection, fd) < 0)
		close(fd);
}

/* Fills the descriptors of poll() and its timeout, -1: none. */
static void fill_poll(const struct ctl *ctl, struct pollfd *fds,
		      int *timeout_ms)
{
	uint64_t now = clock_now_ms(), until = UINT64_MAX;

	fds[0] = (struct pollfd){ .fd = ctl->wake_fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (may_accept(ctl, now))
		fds[1].fd = ctl->listen_fd;
	else if (now < ctl->accept_again_ms)
		until = ctl->accept_again_ms;
	for (size_t i = 0; i < ARRAY_SIZE(ctl->connections); i++) {
		const struct connection *connection = &ctl->connections[i];

		fds[2 + i] = (struct pollfd){
			.fd = connection->fd,
			.events = connection_has_unsent(connection) ? POLLOUT :
								      POLLIN,
		};
		if (connection->fd >= 0)
			until = min_u64(until, connection->deadline_ms);
	}
	*timeout_ms = until == UINT64_MAX ? -1 :
		      until <= now	  ? 0 :
					    (int)min_u64(until - now, INT_MAX);
}

/*
 * Serves the clients that poll() reported, and disconnects those whose deadline
 * has passed.  Input that arrives meanwhile is served in the next round.
 */
static void serve_connections(struct ctl *ctl, const struct pollfd *fds)
{
	uint64_t now = clock_now_ms();

	for (size_t i = 0; i < ARRAY_SIZE(ctl->connections); i++) {
		struct connection *connection = &ctl->connections[i];

		if (connection->fd < 0)
			continue;
		if (fds[i].revents ? !connection_serve(connection, ctl->vm) :
				     connection->deadline_ms <= now)
			connection_close(connection);
	}
}

/* The server thread, until wake_fd is readable. */
static void *ctl_main(void *arg)
{
	struct pollfd fds[2 + CLIENTS_MAX];
	struct ctl *ctl = arg;
	int timeout_ms;

	for (;;) {
		fill_poll(ctl, fds, &timeout_ms);
		if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		serve_connections(ctl, fds + 2);
		if (fds[1].revents)
			accept_one(ctl);
	}
}

/* Whether a server listens at @address. */
static bool is_in_use(const struct sockaddr_un *address)
{
	CLEANUP_CLOSE int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return true;
	/* A server with a full backlog, or without permission, is in use too. */
	return connect(fd, (const struct sockaddr *)address,
		       sizeof(*address)) == 0 ||
	       (errno != ECONNREFUSED && errno != ENOENT);
}

/* 0 if the name is free or a stale socket; otherwise -errno, logged. */
static int check_name(const struct ctl *ctl, const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(ctl->path, &st) < 0)
		return errno == ENOENT ?
			       0 :
			       log_errno(errno, "--control %s", ctl->path);
	if (!S_ISSOCK(st.st_mode))
		return log_fail(EADDRINUSE,
				"--control %s: exists and is not a socket",
				ctl->path);
	return is_in_use(address) ?
		       log_fail(EADDRINUSE,
				"--control %s: in use by another process",
				ctl->path) :
		       0;
}

/*
 * Binds to a temporary name, listens, and renames, so that a socket at the path
 * always has a listener.  -errno, silent.
 */
static int bind_to(struct ctl *ctl, const struct sockaddr_un *address)
{
	struct sockaddr_un beside = *address;
	size_t len = strlen(beside.sun_path);
	struct stat st;
	mode_t before;
	int r;

	stale_socket_remove(ctl->path);
	snprintf(beside.sun_path + len, sizeof(beside.sun_path) - len, ".%d",
		 (int)getpid());
	before = umask(0177);
	r = bind(ctl->listen_fd, (const struct sockaddr *)&beside,
		 sizeof(beside)) < 0 ?
		    -errno :
		    0;
	umask(before);
	if (r < 0)
		return r;
	if (listen(ctl->listen_fd, SOMAXCONN) < 0 ||
	    lstat(beside.sun_path, &st) < 0 ||
	    rename(beside.sun_path, ctl->path) < 0) {
		r = -errno;
		unlink(beside.sun_path);
		return r;
	}
	ctl->bound = true;
	ctl->dev = st.st_dev;
	ctl->ino = st.st_ino;
	return 0;
}

/* Creates the listening socket and the eventfd; -errno, logged. */
static int open_socket(struct ctl *ctl)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (strlen(ctl->path) + NAME_SUFFIX_BYTES >= sizeof(address.sun_path))
		return log_errno(ENAMETOOLONG, "--control %s", ctl->path);
	memcpy(address.sun_path, ctl->path, strlen(ctl->path));
	ctl->listen_fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ctl->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ctl->listen_fd < 0 || ctl->wake_fd < 0)
		return log_errno(errno, "--control %s", ctl->path);
	r = check_name(ctl, &address);
	if (r < 0)
		return r;
	r = bind_to(ctl, &address);
	return r < 0 ? log_errno(-r, "--control %s", ctl->path) : 0;
}

int ctl_serve(struct ctl *ctl)
{
	int r = thread_start(&ctl->thread, "control", ctl_main, ctl);

	ctl->runs = r == 0;
	return r < 0 ? log_errno(-r, "control thread") : 0;
}

int ctl_listen(struct ctl **out, const char *path, struct vm *vm)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	if (!ctl)
		return log_errno(ENOMEM, "--control %s", path);
	*ctl = (struct ctl){ .vm = vm, .listen_fd = -1, .wake_fd = -1 };
	for (size_t i = 0; i < ARRAY_SIZE(ctl->connections); i++)
		ctl->connections[i].fd = -1;
	ctl->path = strdup(path);
	r = ctl->path ? open_socket(ctl) : log_errno(ENOMEM, "--control");
	if (r < 0) {
		ctl_stop(ctl);
		return r;
	}
	*out = ctl;
	return 0;
}

/* Removes the socket, unless another has taken its name. */
void ctl_hide(struct ctl *ctl)
{
	struct stat st;

	if (!ctl)
		return;
	if (ctl->bound && lstat(ctl->path, &st) == 0 && st.st_dev == ctl->dev &&
	    st.st_ino == ctl->ino)
		unlink(ctl->path);
	ctl->bound = false;
}

void ctl_stop(struct ctl *ctl)
{
	uint64_t one = 1;

	if (!ctl)
		return;
	if (ctl->runs && write(ctl->wake_fd, &one, sizeof(one)) > 0)
		pthread_join(ctl->thread, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ctl->connections); i++)
		connection_close(&ctl->connections[i]);
	ctl_hide(ctl);
	if (ctl->listen_fd >= 0)
		close(ctl->listen_fd);
	if (ctl->wake_fd >= 0)
		close(ctl->wake_fd);
	free(ctl->path);
	free(ctl);
}
