/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest-signature PAGES: writes that many pages of signatures to standard
 * output, which guests then check as check=signature.
 */
#include <stdio.h>
#include <stdlib.h>

#include "guest/lib/signature.h"
#include "vmm/base/bytes.h"

int main(int argc, char **argv)
{
	unsigned long pages = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	uint8_t word[8];

	for (unsigned long page = 0; page < pages; page++) {
		for (unsigned int i = 0; i < SIGNATURE_WORDS; i++) {
			put_le64(word, signature_word(page, i));
			if (fwrite(word, sizeof(word), 1, stdout) != 1)
				return 1;
		}
	}
	return fflush(stdout) ? 1 : 0;
}
