// SPDX-License-Identifier: BSD-2-Clause
/*
 * agent: process 1 of the test host.  Sets the host up, runs one job, hands its
 * output and exit status to the outside, powers off.
 *
 * Theory of operation.  The rig packs this program, static, as /init of the
 * host's initramfs, with two more files: /rig/conf, the set-up as lines
 *
 *	time   SECONDS			set the clock
 *	modules LIST			load the kernel modules a file names
 *	mount  TAG DIR ro|rw		mount a virtio-9p share
 *	stdin				the job reads the rig's standard input
 *	tty    ROWS COLS		the job runs on a terminal
 *
 * and /rig/job, the shell script to run.  Output does not go through the kernel
 * console: QEMU offers virtio-serial ports by name (rig.out, rig.err, rig.in,
 * rig.ctl), so that a job's bytes arrive unmixed and unchanged.  On rig.ctl the
 * agent writes "up", and at the end "exit N", N as a shell counts it (128 plus
 * the signal).  The rig runs QEMU with ioeventfd=off on these ports: a write
 * that has returned here has been delivered there, so powering off loses none.
 * A job on a terminal has rig.out for both directions.
 *
 * One thread.  The job has pipes (or a pty), never the ports themselves, since
 * a port can be opened only once and /dev/stdout must work in the job.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	PORT_WAIT_MS = 20000, /* for the ports to appear */
	DRAIN_MS = 300, /* for output of children the job left behind */
	STATUS_RIG = 125, /* the rig itself failed */
};

/* What /rig/conf asked for. */
struct conf {
	bool use_stdin;
	bool use_tty;
	struct winsize size;
};

/* The job's streams: our ends of its pipes, and the ports they belong to. */
struct streams {
	int from_job[2]; /* its stdout and stderr; the pty's master */
	int to_job; /* its stdin, -1 when closed */
	int port_out[2]; /* rig.out and rig.err */
	int port_in; /* rig.in, -1 when not used */
};

/* Says something on the kernel console, where the rig keeps a log. */
__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	char text[512];
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (fd >= 0) {
		dprintf(fd, "<3>rig: %s\n", text);
		close(fd);
	}
}

/* Writes all n bytes, however the port splits them. */
static void write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		}
	}
}

/* Mounts a file system, making the directory; says so when it fails. */
static int mount_at(const char *what, const char *dir, const char *type,
		    unsigned long flags, const char *options)
{
	mkdir(dir, 0755);
	if (!mount(what, dir, type, flags, options) || errno == EBUSY)
		return 0;
	say("mount %s on %s: %s", what, dir, strerror(errno));
	return -1;
}

/* Mounts what every Linux program expects to find. */
static void mount_basics(void)
{
	mount_at("proc", "/proc", "proc", 0, NULL);
	mount_at("sysfs", "/sys", "sysfs", 0, NULL);
	mount_at("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount_at("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666");
	mount_at("tmpfs", "/dev/shm", "tmpfs", 0, NULL);
	mount_at("tmpfs", "/tmp", "tmpfs", 0, "mode=1777");
	mount_at("tmpfs", "/run", "tmpfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

/*
 * Puts together the parameters of a module that are on the kernel's command
 * line as MODULE.NAME=VALUE, as modprobe does.
 */
static void find_parameters(const char *path, char *to, size_t bytes)
{
	const char *name = strrchr(path, '/');
	size_t len = strcspn(name ? ++name : (name = path), "."), at = 0;
	char line[4096], *rest = NULL;
	FILE *f = fopen("/proc/cmdline", "re");

	to[0] = 0;
	if (f && fgets(line, sizeof(line), f)) {
		for (char *w = strtok_r(line, " \n", &rest); w;
		     w = strtok_r(NULL, " \n", &rest)) {
			if (!strncmp(w, name, len) && w[len] == '.' &&
			    at + strlen(w) - len < bytes)
				at += (size_t)sprintf(to + at, "%s ",
						      w + len + 1);
		}
	}
	if (f)
		fclose(f);
}

/* Loads one kernel module; one that is there already is fine. */
static void load_module(const char *path)
{
	char parameters[512];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	find_parameters(path, parameters, sizeof(parameters));
	if (fd < 0 ||
	    (syscall(SYS_finit_module, fd, parameters, 0) && errno != EEXIST))
		say("module %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Loads the modules whose paths are the lines of list, in order. */
static void load_modules(const char *list)
{
	FILE *f = fopen(list, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		load_module(line);
	}
	if (f)
		fclose(f);
}

/*
 * Mounts a 9p share.  A read-only one is cached freely, since nothing changes
 * it from inside; a writable one keeps data only while it is mapped, so that
 * the outside sees each write.
 */
static void mount_share(const char *tag, const char *dir, bool read_only)
{
	const char *options =
		read_only ?
			"trans=virtio,version=9p2000.L,msize=524288,cache=loose" :
			"trans=virtio,version=9p2000.L,msize=524288,cache=mmap";

	mount_at(tag, dir, "9p", read_only ? MS_RDONLY : 0, options);
}

/* Does what one line of /rig/conf says. */
static void apply_line(struct conf *conf, char *line)
{
	char *word[4] = { NULL }, *rest = NULL;
	int n = 0;

	for (char *w = strtok_r(line, " \n", &rest); w && n < 4;
	     w = strtok_r(NULL, " \n", &rest))
		word[n++] = w;
	if (n == 2 && !strcmp(word[0], "time"))
		clock_settime(CLOCK_REALTIME,
			      &(struct timespec){ .tv_sec = atoll(word[1]) });
	else if (n == 2 && !strcmp(word[0], "modules"))
		load_modules(word[1]);
	else if (n == 4 && !strcmp(word[0], "mount"))
		mount_share(word[1], word[2], !strcmp(word[3], "ro"));
	else if (n == 1 && !strcmp(word[0], "stdin"))
		conf->use_stdin = true;
	else if (n == 3 && !strcmp(word[0], "tty")) {
		conf->use_tty = true;
		conf->size.ws_row = (unsigned short)atoi(word[1]);
		conf->size.ws_col = (unsigned short)atoi(word[2]);
	} else if (n)
		say("conf: cannot read: %s", word[0]);
}

/* Does all of /rig/conf, in its order. */
static void apply_conf(struct conf *conf)
{
	FILE *f = fopen("/rig/conf", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		apply_line(conf, line);
	if (f)
		fclose(f);
}

/* Opens the port called name if it has appeared; -1 if not. */
static int open_port_once(const char *name)
{
	static const char class[] = "/sys/class/virtio-ports";
	DIR *dir = opendir(class);
	struct dirent *d;
	int fd = -1;

	while (dir && fd < 0 && (d = readdir(dir))) {
		char path[600], got[64] = "";
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s/name", class, d->d_name);
		f = d->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (!f)
			continue;
		if (fgets(got, sizeof(got), f))
			got[strcspn(got, "\n")] = 0;
		fclose(f);
		snprintf(path, sizeof(path), "/dev/%s", d->d_name);
		if (!strcmp(got, name))
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

/* Opens the port called name, waiting for the device to be set up. */
static int open_port(const char *name)
{
	for (int ms = 0; ms < PORT_WAIT_MS; ms += 2) {
		int fd = open_port_once(name);

		if (fd >= 0)
			return fd;
		usleep(2000);
	}
	say("no virtio-serial port %s: does the kernel have virtio-console?",
	    name);
	return -1;
}

/*
 * Waits a moment for the outside end of a port to be open: its name comes before
 * that, and a port whose other end is shut reads as ended.
 */
static void wait_for_peer(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (int ms = 0; ms < 500; ms += 5) {
		if (poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP))
			return;
		usleep(5000);
	}
}

/* In the child: becomes the job, on the descriptors given. */
static void become_job(int in, int out, int err, bool tty)
{
	setsid();
	if (tty)
		ioctl(in, TIOCSCTTY, 0);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	chdir("/");
	execl("/bin/sh", "sh", "/rig/job", (char *)NULL);
	dprintf(2, "rig: /bin/sh: %s\n", strerror(errno));
	_exit(STATUS_RIG);
}

/* Starts the job on a new pty.  Returns its pid, or -1. */
static pid_t start_on_tty(struct streams *s, const struct conf *conf)
{
	int master, slave;
	pid_t pid;

	if (openpty(&master, &slave, NULL, NULL, &conf->size) < 0) {
		say("openpty: %s", strerror(errno));
		return -1;
	}
	fcntl(master, F_SETFD, FD_CLOEXEC);
	pid = fork();
	if (!pid)
		become_job(slave, slave, slave, true);
	close(slave);
	s->from_job[0] = master;
	s->to_job = dup(master);
	return pid;
}

/* Starts the job on pipes.  Returns its pid, or -1. */
static pid_t start_on_pipes(struct streams *s, const struct conf *conf)
{
	int in[2], out[2], err[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
	    pipe2(err, O_CLOEXEC)) {
		say("pipe: %s", strerror(errno));
		return -1;
	}
	pid = fork();
	if (!pid)
		become_job(conf->use_stdin ? in[0] :
					     open("/dev/null", O_RDONLY),
			   out[1], err[1], false);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	s->from_job[0] = out[0];
	s->from_job[1] = err[0];
	s->to_job = in[1];
	return pid;
}

/* Moves what there is from one descriptor to another.  Returns false at EOF. */
static bool move_bytes(int from, int to)
{
	static char buf[32768];
	ssize_t n = read(from, buf, sizeof(buf));

	if (n > 0)
		write_all(to, buf, (size_t)n);
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

/*
 * Reaps what has ended.  Returns true, with the status as a shell counts it,
 * when the job was among it.
 */
static bool reap(pid_t job, int *status)
{
	bool ended = false;
	int st;

	for (pid_t pid; (pid = waitpid(-1, &st, WNOHANG)) > 0;) {
		if (pid != job)
			continue;
		ended = true;
		*status =
			WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
	}
	return ended;
}

/* Handles SIGCHLD by being there, so that poll() is interrupted. */
static void on_child(int sig)
{
	(void)sig;
}

/* Moves bytes once for each stream that is ready; closes what has ended. */
static void pump_ready(struct streams *s, const struct pollfd *p)
{
	for (int i = 0; i < 2; i++)
		if (p[i].revents &&
		    !move_bytes(s->from_job[i], s->port_out[i])) {
			close(s->from_job[i]);
			s->from_job[i] = -1;
		}
	if (!p[2].revents)
		return;
	if (s->to_job >= 0 && move_bytes(s->port_in, s->to_job))
		return;
	if (s->to_job >= 0)
		close(s->to_job);
	s->to_job = s->port_in = -1;
}

/* Carries the job's bytes until it has ended and its output has been drained. */
static int pump(struct streams *s, pid_t job)
{
	sigset_t mask, old;
	int status = STATUS_RIG;
	bool ended = false;

	signal(SIGCHLD, on_child);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &old);
	for (;;) {
		struct timespec wait = { .tv_nsec = DRAIN_MS * 1000000L };
		struct pollfd p[3] = {
			{ .fd = s->from_job[0], .events = POLLIN },
			{ .fd = s->from_job[1], .events = POLLIN },
			{ .fd = s->port_in, .events = POLLIN },
		};
		int n;

		ended = reap(job, &status) || ended;
		if (ended && s->from_job[0] < 0 && s->from_job[1] < 0)
			break;
		n = ppoll(p, 3, ended ? &wait : NULL, &old);
		if (ended && !n)
			break;
		if (n > 0)
			pump_ready(s, p);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

/* Runs the job and returns its status. */
static int run_job(const struct conf *conf)
{
	struct streams s = { .from_job = { -1, -1 },
			     .to_job = -1,
			     .port_in = -1 };
	pid_t job;

	s.port_out[0] = open_port("rig.out");
	s.port_out[1] = open_port("rig.err");
	if (conf->use_tty) {
		s.port_in = s.port_out[0];
	} else if (conf->use_stdin) {
		s.port_in = open_port("rig.in");
		wait_for_peer(s.port_in);
	}
	if (s.port_out[0] < 0 || s.port_out[1] < 0)
		return STATUS_RIG;
	job = conf->use_tty ? start_on_tty(&s, conf) : start_on_pipes(&s, conf);
	return job < 0 ? STATUS_RIG : pump(&s, job);
}

/* Sets up, runs the job, reports, powers off. */
int main(void)
{
	struct conf conf = { .use_stdin = false };
	int ctl, status;

	mount_basics();
	apply_conf(&conf);
	ctl = open_port("rig.ctl");
	dprintf(ctl, "up\n");
	status = run_job(&conf);
	sync();
	dprintf(ctl, "exit %d\n", status);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
