/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/exec/embedded.h"

#include "vmm/base/log.h"

/* guest/init/embed.S */
extern const uint8_t thaw_init_program[], thaw_init_program_end[];

const uint8_t *exec_embedded_init(size_t *len_bytes)
{
	*len_bytes = (size_t)((uintptr_t)thaw_init_program_end -
			      (uintptr_t)thaw_init_program);
	if (*len_bytes)
		return thaw_init_program;
	log_error("exec: this thaw was built without its guest's init "
		  "(a static libc was missing)");
	return NULL;
}
