/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's client: one question, one answer.  One thread. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/ctl/ctl.h"

/* Connects; the descriptor, or -errno, logged. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return log_errno(ENAMETOOLONG, "%s", path);
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return log_errno(errno, "control socket %s", path);
	return take_fd(&fd);
}

/* Logs the reason in an answer that is not ok. */
static void log_reason(const char *answer)
{
	static const char member[] = "\"error\":";
	const char *at = strstr(answer, member);
	const char *begin = at ? strchr(at + strlen(member), '"') : NULL;
	const char *end = begin ? strchr(begin + 1, '"') : NULL;

	if (end)
		log_error("%.*s", (int)(end - begin - 1), begin + 1);
	else
		log_error("the machine says no");
}

/* Asks. */
int ctl_ask(const char *path, const char *line, FILE *out)
{
	CLEANUP_CLOSE int fd = connect_to(path);
	CLEANUP_FREE char *answer = NULL;
	size_t room = 0;
	bool ok;
	FILE *stream;

	if (fd < 0)
		return fd;
	if (strlen(line) + 1 >= CTL_LINE_BYTES || strchr(line, '\n'))
		return log_fail(EINVAL, "control socket %s: too long a line",
				path);
	stream = fdopen(dup(fd), "r");
	if (!stream)
		return log_errno(errno, "control socket %s", path);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 ||
	    send(fd, "\n", 1, MSG_NOSIGNAL) < 0 ||
	    getline(&answer, &room, stream) <= 0) {
		fclose(stream);
		return log_fail(EPIPE, "control socket %s: no answer", path);
	}
	fclose(stream);
	fputs(answer, out);
	ok = strstr(answer, "\"ok\":true") != NULL;
	if (!ok)
		log_reason(answer);
	return ok ? 0 : -EREMOTEIO;
}
