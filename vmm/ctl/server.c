/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket's server: one thread, one client at a time, one line after
 * another.  It is the machine's control side while it runs.
 *
 * A client that sends nothing does not hold up another for longer than the
 * patience below.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/ctl/ctl.h"

#define CLIENT_PATIENCE_MS 2000
/* A dot and a process id, while the socket has its first name. */
#define NAME_SUFFIX_BYTES 12

struct ctl {
	struct vm *vm;
	char *path;
	int listen_fd, wake_fd;
	bool bound; /* the socket's name is ours to remove */
	pthread_t thread;
	bool runs;
};

/* Waits until @fd can be read; false at the end, or when patience is over. */
static bool wait_for(const struct ctl *ctl, int fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = ctl->wake_fd, .events = POLLIN },
	};
	int r;

	do {
		r = poll(fds, 2, timeout_ms);
	} while (r < 0 && errno == EINTR);
	return r > 0 && !fds[1].revents;
}

/* Reads one line without its end; false when there is none. */
static bool read_line(const struct ctl *ctl, int fd, char *line, size_t room)
{
	size_t at = 0;

	while (at + 1 < room && wait_for(ctl, fd, CLIENT_PATIENCE_MS)) {
		ssize_t n = read(fd, line + at, 1);

		if (n <= 0)
			return false;
		if (line[at] == '\n') {
			line[at] = '\0';
			return true;
		}
		at++;
	}
	return false;
}

/* Serves one client until it goes. */
static void serve(const struct ctl *ctl, int fd)
{
	char line[CTL_LINE_BYTES];

	while (read_line(ctl, fd, line, sizeof(line))) {
		CLEANUP_FREE char *text = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&text, &len);

		if (!out)
			return;
		ctl_execute(ctl->vm, line, out);
		fclose(out);
		if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
			return;
	}
}

/* The thread. */
static void *ctl_main(void *arg)
{
	const struct ctl *ctl = arg;
	const struct timeval patience = { .tv_sec = CLIENT_PATIENCE_MS / 1000 };

	while (wait_for(ctl, ctl->listen_fd, -1)) {
		CLEANUP_CLOSE int fd =
			accept4(ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		/* Nor may one that does not read its answers hold us up. */
		if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO,
					  &patience, sizeof(patience)) == 0)
			serve(ctl, fd);
	}
	return NULL;
}

/* Whether somebody listens at an address. */
static bool is_in_use(const struct sockaddr_un *address)
{
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address,
				  sizeof(*address)) == 0;
}

/* Whether the name is free for us, or left by a dead server; else -errno. */
static int check_name(const struct ctl *ctl, const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(ctl->path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	/* Only a socket is ours to replace. */
	return S_ISSOCK(st.st_mode) && !is_in_use(address) ? 0 : -EADDRINUSE;
}

/*
 * Binds to a name beside the path, listens, and renames: who finds the socket
 * finds somebody who listens.
 */
static int bind_to(struct ctl *ctl, const struct sockaddr_un *address)
{
	struct sockaddr_un beside = *address;
	size_t len = strlen(beside.sun_path);
	mode_t before;
	int r = check_name(ctl, address);

	if (r < 0)
		return r;
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
	if (listen(ctl->listen_fd, 8) < 0 ||
	    rename(beside.sun_path, ctl->path) < 0) {
		r = -errno;
		unlink(beside.sun_path);
		return r;
	}
	ctl->bound = true;
	return 0;
}

/* Listens. */
static int open_socket(struct ctl *ctl)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (strlen(ctl->path) + NAME_SUFFIX_BYTES >= sizeof(address.sun_path))
		return log_errno(ENAMETOOLONG, "--control %s", ctl->path);
	memcpy(address.sun_path, ctl->path, strlen(ctl->path));
	ctl->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ctl->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ctl->listen_fd < 0 || ctl->wake_fd < 0)
		return log_errno(errno, "--control %s", ctl->path);
	r = bind_to(ctl, &address);
	return r < 0 ? log_errno(-r, "--control %s", ctl->path) : 0;
}

/* Serves: starts the thread, with all signals blocked but those of our own crash. */
int ctl_serve(struct ctl *ctl)
{
	sigset_t mask, before;
	int r;

	sigfillset(&mask);
	sigdelset(&mask, SIGSEGV);
	sigdelset(&mask, SIGBUS);
	sigdelset(&mask, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	r = pthread_create(&ctl->thread, NULL, ctl_main, ctl);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	ctl->runs = r == 0;
	return r ? log_errno(r, "control thread") : 0;
}

/* Listens. */
int ctl_listen(struct ctl **out, const char *path, struct vm *vm)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	if (!ctl)
		return log_errno(ENOMEM, "--control %s", path);
	*ctl = (struct ctl){ .vm = vm, .listen_fd = -1, .wake_fd = -1 };
	ctl->path = strdup(path);
	r = ctl->path ? open_socket(ctl) : log_errno(ENOMEM, "--control");
	if (r < 0) {
		ctl_stop(ctl);
		return r;
	}
	*out = ctl;
	return 0;
}

/* Stops it. */
void ctl_stop(struct ctl *ctl)
{
	uint64_t one = 1;

	if (!ctl)
		return;
	if (ctl->runs && write(ctl->wake_fd, &one, sizeof(one)) > 0)
		pthread_join(ctl->thread, NULL);
	if (ctl->bound)
		unlink(ctl->path);
	if (ctl->listen_fd >= 0)
		close(ctl->listen_fd);
	if (ctl->wake_fd >= 0)
		close(ctl->wake_fd);
	free(ctl->path);
	free(ctl);
}
