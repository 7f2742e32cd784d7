/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl-connection: one client of the control socket, good or bad, at a pair of
 * sockets.  The verbs are this file's: "echo X" answers X, "tell" tells a
 * hundred times before it answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/clock.h"
#include "vmm/ctl/private.h"

#define REPORT "{\"progress\":{\"pages\":1,\"of\":100}}\n"

void ctl_refuse(FILE *out, const char *why)
{
	fprintf(out, "no: %s\n", why);
}

void ctl_execute(struct vm *vm, char *line, const struct ctl_listener *listener,
		 FILE *out)
{
	assert_null(vm);
	if (strncmp(line, "echo ", 5) == 0) {
		fprintf(out, "%s\n", line + 5);
		return;
	}
	if (strcmp(line, "tell") != 0) {
		ctl_refuse(out, "what?");
		return;
	}
	for (int i = 0; i < 100; i++)
		listener->tell(listener->ctx, REPORT, strlen(REPORT));
	fprintf(out, "told\n");
}

struct fixture {
	struct connection connection;
	int fd; /* the client's end */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	if (!f || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return -1;
	f->fd = fds[1];
	fcntl(f->fd, F_SETFL, O_NONBLOCK);
	*state = f;
	return connection_open(&f->connection, fds[0]);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	connection_close(&f->connection);
	connection_close(&f->connection); /* closed already: fine */
	close(f->fd);
	free(f);
	return 0;
}

/* Sends text and has it served. */
static bool say(struct fixture *f, const char *text, size_t len)
{
	assert_int_equal(send(f->fd, text, len, 0), len);
	return connection_serve(&f->connection, NULL);
}

/* What there is to read. */
static void expect(struct fixture *f, const char *text)
{
	char buf[512];
	ssize_t n = recv(f->fd, buf, sizeof(buf) - 1, 0);

	buf[n < 0 ? 0 : n] = '\0';
	assert_string_equal(buf, text);
}

/* A line may come in pieces, and several in one. */
static void test_lines(void **state)
{
	struct fixture *f = *state;

	assert_true(say(f, "ec", 2));
	expect(f, "");
	assert_true(say(f, "ho a\necho b\nec", 14));
	expect(f, "a\nb\n");
	assert_true(say(f, "ho \n\nfrob\n", 10));
	expect(f, "\nno: what?\nno: what?\n");
	assert_true(say(f, "echo x\0y\n", 9));
	expect(f, "no: request contains a NUL byte\n");
	assert_true(say(f, "echo y\n", 7));
	expect(f, "y\n");
}

/* The longest line is accepted; a longer one is refused and closes the connection. */
static void test_long(void **state)
{
	struct fixture *f = *state;
	char line[CTL_LINE_BYTES];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	assert_true(say(f, line, sizeof(line)));
	expect(f, "no: what?\n");
	line[sizeof(line) - 1] = 'x';
	assert_true(say(f, line, 100));
	assert_false(say(f, line, sizeof(line) - 100));
	expect(f, "no: request too long\n");
}

/* A client may close at any moment, in the middle of a line as well. */
static void test_gone(void **state)
{
	struct fixture *f = *state;

	assert_true(say(f, "ec", 2));
	shutdown(f->fd, SHUT_WR);
	assert_false(connection_serve(&f->connection, NULL));
}

/* Has the client read all that the connection holds; how often REPORT is in it. */
static unsigned int read_all(struct fixture *f, char *end, size_t room)
{
	size_t len = strlen(REPORT), have = 0;
	char *all = malloc(1 << 20);
	unsigned int told = 0;
	char *p = all;

	for (int i = 0; i < 100000; i++) {
		ssize_t n = recv(f->fd, all + have, (1 << 20) - have - 1, 0);

		if (n > 0)
			have += (size_t)n;
		else if (!connection_has_unsent(&f->connection))
			break;
		else
			assert_true(connection_serve(&f->connection, NULL));
	}
	all[have] = '\0';
	for (; strncmp(p, REPORT, len) == 0; p += len)
		told++;
	snprintf(end, room, "%s", p);
	free(all);
	return told;
}

/* Lines before the answer come whole and in order. */
static void test_told(void **state)
{
	struct fixture *f = *state;
	char end[64];

	assert_true(say(f, "tell\necho z\n", 12));
	assert_int_equal(read_all(f, end, sizeof(end)), 100);
	assert_string_equal(end, "told\nz\n");
}

/*
 * A client that does not read delays no other; it may miss progress lines, but no
 * reply, and no line is cut.
 */
static void test_reads_late(void **state)
{
	struct fixture *f = *state;
	int bytes = 1; /* the least there is */
	char end[64];
	unsigned int told;
	uint64_t deadline;

	setsockopt(f->connection.fd, SOL_SOCKET, SO_SNDBUF, &bytes,
		   sizeof(bytes));
	assert_true(say(f, "tell\necho z\n", 12));
	assert_true(connection_has_unsent(&f->connection));
	deadline = f->connection.deadline_ms;
	assert_true(deadline <= clock_now_ms() + CTL_TIMEOUT_MS);
	/* Nothing is read, so it goes no further, and gets no more time. */
	assert_true(connection_serve(&f->connection, NULL));
	assert_true(f->connection.deadline_ms == deadline);
	told = read_all(f, end, sizeof(end));
	assert_in_range(told, 1, 99);
	assert_string_equal(end, "told\nz\n");
	close(f->fd);
	f->fd = -1;
	assert_false(connection_serve(&f->connection, NULL));
}

int main(void)
{
#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		PEER_TEST(test_lines),	    PEER_TEST(test_long),
		PEER_TEST(test_gone),	    PEER_TEST(test_told),
		PEER_TEST(test_reads_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
