/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's client: one request, one reply.  One thread. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/ctl/reply_parse.h"
#include "vmm/ctl/ctl.h"

/* Why nothing listens at @path. */
static const char *refusal(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISSOCK(st.st_mode) ?
		       "not a socket" :
		       "stale socket: no VM listens on it";
}

/* Connects; the descriptor, or -errno, logged. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return log_errno(ENAMETOOLONG, "%s", path);
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0)
		return log_errno(errno, "control socket %s", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == ECONNREFUSED ?
			       log_fail(ECONNREFUSED, "control socket %s: %s",
					path, refusal(path)) :
			       log_errno(errno, "control socket %s", path);
	return take_fd(&fd);
}

/* Sends @line and a newline. */
static int send_line(int fd, const char *line)
{
	CLEANUP_FREE char *whole = NULL;
	int len = asprintf(&whole, "%s\n", line);

	if (len < 0) {
		whole = NULL;
		return -ENOMEM;
	}
	for (int at = 0; at < len;) {
		ssize_t n =
			send(fd, whole + at, (size_t)(len - at), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += (int)n;
	}
	return 0;
}

/* The result that the reply reports; errors are logged. */
static int judge(const char *path, const struct ctl_reply *reply)
{
	if (!reply->has_ok)
		return log_fail(EPROTO, "control socket %s: malformed reply",
				path);
	if (reply->ok)
		return 0;
	log_error("%s", reply->error ? reply->error :
				       "request refused without a reason");
	return -EREMOTEIO;
}

/*
 * Reads lines up to the reply.  A line that is not JSON ends it as well, so that
 * the client does not wait for a server of another protocol.
 */
static int read_reply(const char *path, FILE *from,
		      const struct ctl_progress *progress, FILE *out)
{
	CLEANUP_FREE char *line = NULL;
	size_t room = 0;
	ssize_t len;

	while ((len = getline(&line, &room, from)) > 0) {
		struct ctl_reply reply;
		int r = ctl_reply_parse(&reply, line);
		bool more = r == 0 && reply.has_progress && !reply.has_ok &&
			    line[len - 1] == '\n';

		if (!more && progress)
			progress->tell(progress->ctx, 0, 0);
		if (more && progress)
			progress->tell(progress->ctx, reply.pages, reply.of);
		else
			fputs(line, out);
		fflush(out);
		if (r < 0)
			reply.has_ok = false;
		r = more ? 0 : judge(path, &reply);
		ctl_reply_free(&reply);
		if (!more)
			return r;
	}
	if (progress)
		progress->tell(progress->ctx, 0, 0);
	return log_fail(EPIPE,
			"control socket %s: connection closed before a reply; "
			"the VM ended or the request timed out",
			path);
}

int ctl_ask(const char *path, const char *line,
	    const struct ctl_progress *progress, FILE *out)
{
	CLEANUP_CLOSE int fd = connect_to(path);
	FILE *from;
	int r;

	if (fd < 0)
		return fd;
	if (strlen(line) + 1 >= CTL_LINE_BYTES || strchr(line, '\n'))
		return log_fail(EINVAL,
				"control socket %s: request too long, or more "
				"than one line",
				path);
	r = send_line(fd, line);
	if (r < 0)
		return log_errno(-r, "control socket %s", path);
	from = fdopen(fd, "r");
	if (!from)
		return log_errno(errno, "control socket %s", path);
	(void)take_fd(&fd); /* owned by the stream */
	r = read_reply(path, from, progress, out);
	fclose(from);
	return r;
}
