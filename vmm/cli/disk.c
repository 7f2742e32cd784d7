/* SPDX-License-Identifier: BSD-2-Clause */
/* See the header. */
#include "vmm/cli/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

/* What an option sets; each may be given once. */
enum { SETS_READ_ONLY = 1, SETS_DIRECT = 2, SETS_AIO = 4 };

static const struct suffix {
	const char *text;
	unsigned int sets;
	enum disk_aio_kind aio;
} suffixes[] = {
	{ ",ro", SETS_READ_ONLY, DISK_AIO_AUTO },
	{ ",direct", SETS_DIRECT, DISK_AIO_AUTO },
	{ ",aio=auto", SETS_AIO, DISK_AIO_AUTO },
	{ ",aio=io_uring", SETS_AIO, DISK_AIO_URING },
	{ ",aio=threads", SETS_AIO, DISK_AIO_THREADS },
};

/* Cuts an option that is not in @given off the end; NULL: there is none. */
static const struct suffix *cut(char *text, unsigned int given)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i].text);

		/* A path is not empty. */
		if ((given & suffixes[i].sets) || n >= len ||
		    strcmp(text + len - n, suffixes[i].text) != 0)
			continue;
		text[len - n] = '\0';
		return &suffixes[i];
	}
	return NULL;
}

int disk_options_parse(struct disk_options *options, const char *arg)
{
	const struct suffix *suffix;
	unsigned int given = 0;

	*options = (struct disk_options){ .path = strdup(arg) };
	if (!options->path)
		return log_errno(ENOMEM, "disk %s", arg);
	while ((suffix = cut(options->path, given))) {
		given |= suffix->sets;
		if (suffix->sets == SETS_AIO)
			options->aio = suffix->aio;
	}
	options->read_only = given & SETS_READ_ONLY;
	options->direct = given & SETS_DIRECT;
	return 0;
}

void disk_options_finish(struct disk_options *options)
{
	free(options->path);
	options->path = NULL;
}
