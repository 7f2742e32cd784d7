/* SPDX-License-Identifier: BSD-2-Clause */
/* exec-kernel: where images are found, and which release they have. */
#include <errno.h>
#include <sys/utsname.h>

#include "tests/unit/exec/tree.h"
#include "vmm/exec/kernel.h"

#define BANNER "........Linux version 6.1.0-test (x) #1"

static int setup(void **state)
{
	static struct tree t;

	tree_begin(&t);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	tree_end(*state);
	return 0;
}

static void check_open(const struct kernel_choice *choice, const char *end,
		       const char *release)
{
	struct guest_kernel k;
	size_t len;

	assert_int_equal(guest_kernel_open(&k, choice), 0);
	len = strlen(k.path);
	assert_true(len > strlen(end));
	assert_string_equal(k.path + len - strlen(end), end);
	assert_string_equal(k.image.name, k.path);
	assert_true(k.image.fd >= 0 && k.image.size_bytes != 0);
	assert_string_equal(k.release, release);
	guest_kernel_close(&k);
	guest_kernel_close(&k);
}

static void refused(const struct kernel_choice *choice, int err,
		    const char *words)
{
	struct guest_kernel k;
	struct capture c;
	int got;

	capture_begin(&c);
	got = guest_kernel_open(&k, choice);
	capture_one_line(&c, words);
	assert_int_equal(got, err);
	guest_kernel_close(&k);
}

/* /boot comes first, then the directory of the modules. */
static void test_version(void **state)
{
	struct tree *t = *state;
	const struct kernel_choice choice = { .version = "6.1.0-x",
					      .prefix = t->dir };

	refused(&choice, -ENOENT, "/lib/modules/6.1.0-x/vmlinuz: No such file");
	tree_text(t, "lib/modules/6.1.0-x/vmlinuz", "kernel");
	check_open(&choice, "/lib/modules/6.1.0-x/vmlinuz", "6.1.0-x");
	tree_text(t, "boot/vmlinuz-6.1.0-x", "kernel");
	check_open(&choice, "/boot/vmlinuz-6.1.0-x", "6.1.0-x");
}

static void test_running(void **state)
{
	struct tree *t = *state;
	const struct kernel_choice choice = { .prefix = t->dir };
	struct utsname host;
	char name[128];

	assert_int_equal(uname(&host), 0);
	refused(&choice, -ENOENT, host.release);
	snprintf(name, sizeof(name), "boot/vmlinuz-%s", host.release);
	tree_text(t, name, "kernel");
	check_open(&choice, name, host.release);
}

static void test_bad_version(void **state)
{
	struct tree *t = *state;
	static const char *const bad[] = { "", ".", "..", "../../etc", "a/b" };
	char long_one[100];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refused(&(struct kernel_choice){ .version = bad[i],
						 .prefix = t->dir },
			-EINVAL, "not a release");
	memset(long_one, '6', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	refused(&(struct kernel_choice){ .version = long_one }, -EINVAL,
		"not a release");
}

/* The release of -k FILE is in the image. */
static void test_file(void **state)
{
	struct tree *t = *state;
	char path[128];
	const struct kernel_choice choice = { .file = path };

	snprintf(path, sizeof(path), "%s/Image", t->dir);
	refused(&choice, -ENOENT, "open kernel");
	tree_text(t, "Image", BANNER);
	check_open(&choice, "/Image", "6.1.0-test");
	tree_text(t, "Image", "no banner");
	check_open(&choice, "/Image", "");
	tree_text(t, "Image", "");
	refused(&choice, -EINVAL, "empty file");
	snprintf(path, sizeof(path), "%s", t->dir);
	refused(&choice, -EISDIR, "is a directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_running, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_version, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
