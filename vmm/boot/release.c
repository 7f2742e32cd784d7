/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The release of a kernel, from its banner (linux_banner in init/version.c).
 *
 * Owns nothing. One thread, no lock.
 */
#include "vmm/boot/release.h"

#include <ctype.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/boot/image.h"

#define BANNER	     "Linux version "
#define BANNER_BYTES (sizeof(BANNER) - 1)
#define STEP_BYTES   65536
/* A banner that begins in the last bytes of a step belongs to the next one. */
#define TAIL_BYTES (BANNER_BYTES + KERNEL_RELEASE_BYTES)

bool release_parse(const char *text, size_t len,
		   char release[KERNEL_RELEASE_BYTES])
{
	size_t n = 0;

	while (n < len && n < KERNEL_RELEASE_BYTES && text[n] > ' ' &&
	       text[n] <= '~' && text[n] != '/')
		n++;
	release[0] = '\0';
	if (n == len || n == KERNEL_RELEASE_BYTES || text[n] != ' ' ||
	    !isdigit((unsigned char)text[0]))
		return false;
	memcpy(release, text, n);
	release[n] = '\0';
	return true;
}

/* Whether a banner begins in the first @starts of @len bytes; stores it. */
static bool find_banner(const char *text, size_t starts, size_t len,
			char release[KERNEL_RELEASE_BYTES])
{
	const char *at = text, *end = text + len;

	while ((at = memmem(at, (size_t)(end - at), BANNER, BANNER_BYTES)) !=
		       NULL &&
	       at < text + starts) {
		at += BANNER_BYTES;
		if (release_parse(at, (size_t)(end - at), release))
			return true;
	}
	return false;
}

/* Searches for a banner that begins in [@at, @end). */
static int search(const struct image *image, uint64_t at, uint64_t end,
		  char release[KERNEL_RELEASE_BYTES])
{
	char buf[STEP_BYTES + TAIL_BYTES];

	for (; at < end; at += STEP_BYTES) {
		size_t len = min_u64(sizeof(buf), image->size_bytes - at);
		int err = image_read(image, at, buf, len);

		if (err != 0 || find_banner(buf, STEP_BYTES, len, release))
			return err;
	}
	return 0;
}

/*
 * The banner is in the read-only data, after the code: at a third to a half of the
 * images of Debian's kernels (6.1 to 7.3, both architectures).
 */
int image_release(const struct image *image, char release[KERNEL_RELEASE_BYTES])
{
	uint64_t first = image->size_bytes / 10 * 3 / STEP_BYTES * STEP_BYTES;
	int err;

	release[0] = '\0';
	err = search(image, first, image->size_bytes, release);
	return err != 0 || *release ? err : search(image, 0, first, release);
}
