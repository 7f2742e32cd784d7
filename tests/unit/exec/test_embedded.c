/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedded init: a static program for this architecture. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/exec/embedded.h"

#ifdef __x86_64__
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

static void is_static_program(void **state)
{
	size_t len;
	const uint8_t *program = exec_embedded_init(&len);
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	(void)state;
	if (!program)
		skip(); /* built without it */
	assert_in_range(len, sizeof(header), 2 * MIB);
	memcpy(&header, program, sizeof(header));
	assert_memory_equal(header.e_ident, ELFMAG, SELFMAG);
	assert_int_equal(header.e_machine, MACHINE);
	assert_int_equal(header.e_phentsize, sizeof(segment));
	assert_true(header.e_phoff + header.e_phnum * sizeof(segment) <= len);
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		memcpy(&segment, program + header.e_phoff + i * sizeof(segment),
		       sizeof(segment));
		assert_int_not_equal(segment.p_type, PT_INTERP);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_static_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
