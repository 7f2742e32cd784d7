/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/init/end.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/init/failure.h"
#include "guest/init/link.h"
#include "guest/init/setup.h"

/* Ends every process, but does not wait for one that the kernel holds. */
static void kill_all(void)
{
	kill(-1, SIGKILL);
	for (int ms = 0; ms < 1000; ms++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return;
		if (pid == 0)
			poll(NULL, 0, 1);
	}
}

void end_guest(const struct setup *s)
{
	kill_all();
	if (s) {
		setup_sync(s);
		setup_unmount(s);
	}
	reboot(RB_POWER_OFF);
	/* The end of process 1 would be a panic. */
	for (;;)
		pause();
}

void end_failed(struct link *link, const struct setup *s,
		const struct failure *f)
{
	const struct message m = {
		.type = MESSAGE_FAILED,
		.failed = { (char *)f->what, (uint32_t)f->error },
	};

	failure_log(f);
	if (link)
		link_send(link, &m);
	for (int ms = 0; link && link->out.end && ms < 2000; ms++) {
		poll(NULL, 0, 1);
		link_flush(link);
	}
	end_guest(s);
}
