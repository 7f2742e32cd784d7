/* SPDX-License-Identifier: BSD-2-Clause */
/* The choice of a mode, for every host there can be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/pager/choose.h"

/* The mode that `auto` takes. */
static enum pager_mode choose_auto(struct host_caps caps)
{
	struct pager_choice choice;

	assert_int_equal(pager_choose(&choice, PAGER_AUTO, &caps), 0);
	assert_true(strlen(choice.why) > 0);
	return choice.mode;
}

/* Best first, and each need is looked at. */
static void auto_takes_the_best(void **state)
{
	(void)state;
	assert_int_equal(choose_auto((struct host_caps){ 0 }), PAGER_USERFAULT);
	assert_int_equal(choose_auto(
				 (struct host_caps){ .userfault = -EINVAL }),
			 PAGER_UFFD);
	assert_int_equal(choose_auto((struct host_caps){
				 .backing = MEMORY_GUEST_MEMFD,
				 .userfault = -EINVAL }),
			 PAGER_EAGER);
	assert_int_equal(choose_auto((struct host_caps){ .userfault = 0,
							 .uffd = -EPERM }),
			 PAGER_EAGER);
	/* A snapshot: its file is mapped, which needs no userfaultfd. */
	assert_int_equal(choose_auto((struct host_caps){ .uffd = -EPERM,
							 .has_file = true }),
			 PAGER_USERFAULT);
	assert_int_equal(choose_auto((struct host_caps){ .userfault = -EINVAL,
							 .has_file = true }),
			 PAGER_MAP);
	/* A guest_memfd cannot be. */
	assert_int_equal(choose_auto((struct host_caps){
				 .backing = MEMORY_GUEST_MEMFD,
				 .uffd = -EPERM,
				 .has_file = true }),
			 PAGER_EAGER);
}

/* A mode that is not available is refused if it was chosen by name. */
static void refusals(void **state)
{
	const struct host_caps none = { .userfault = -EINVAL, .uffd = -EPERM };
	const struct host_caps gmem = { .backing = MEMORY_GUEST_MEMFD };
	const struct host_caps chain = { .userfault = -EINVAL,
					 .no_file = "why" };
	struct pager_choice choice;

	(void)state;
	assert_int_equal(pager_choose(&choice, PAGER_USERFAULT, &none),
			 -ENOTSUP);
	assert_int_equal(pager_choose(&choice, PAGER_UFFD, &none), -ENOTSUP);
	assert_int_equal(pager_choose(&choice, PAGER_MAP, &none), -ENOTSUP);
	assert_int_equal(pager_choose(&choice, PAGER_EAGER, &none), 0);
	assert_int_equal(choice.mode, PAGER_EAGER);
	assert_int_equal(pager_choose(&choice, PAGER_UFFD, &gmem), -ENOTSUP);
	assert_int_equal(pager_choose(&choice, PAGER_MAP, &gmem), -ENOTSUP);
	/* Files that cannot be mapped are refused with their reason. */
	assert_string_equal(pager_mode_refusal(PAGER_MAP, &chain), "why");
	assert_int_equal(pager_choose(&choice, PAGER_AUTO, &chain), 0);
	assert_int_equal(choice.mode, PAGER_UFFD);
	assert_non_null(strstr(choice.why, "map unavailable: why"));
	assert_int_equal(pager_choose(&choice, PAGER_USERFAULT, &gmem), 0);
	assert_int_equal(choice.mode, PAGER_USERFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auto_takes_the_best),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
