// SPDX-License-Identifier: BSD-2-Clause
/* See the header.  Any thread; the request is its caller's. */
#include "vmm/fs/decode.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int decode_header(struct span *in, struct fuse_in_header *head)
{
	if (!span_get(in, head, sizeof(*head)))
		return -EINVAL;
	if (head->len < sizeof(*head) || head->len - sizeof(*head) > in->left)
		return -EINVAL;
	in->left = head->len - sizeof(*head);
	return 0;
}

int decode_args(struct span *in, struct args *args, size_t min, size_t fixed)
{
	size_t len = fixed ? fixed : in->left;

	memset(args, 0, sizeof(*args));
	if (len < min || len > in->left)
		return -EINVAL;
	if (len > DECODE_ARGS_MAX)
		return -E2BIG;
	/* Never empty, so that args_string() has an address to look at. */
	args->data = malloc(len + 1);
	if (!args->data)
		return -ENOMEM;
	args->len = len;
	span_get(in, args->data, len);
	return 0;
}

void args_finish(struct args *args)
{
	free(args->data);
	args->data = NULL;
}

const void *args_take(struct args *args, size_t len)
{
	const void *at = args->data + args->at;

	if (len > args->len - args->at)
		return NULL;
	args->at += len;
	return at;
}

int args_string(struct args *args, size_t max, const char **string)
{
	const uint8_t *start = args->data + args->at;
	const uint8_t *end = memchr(start, '\0', args->len - args->at);

	if (!end)
		return -EINVAL;
	if ((size_t)(end - start) > max)
		return -ENAMETOOLONG;
	*string = (const char *)start;
	args->at += (size_t)(end - start) + 1;
	return 0;
}

bool decode_is_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

int args_name(struct args *args, const char **name)
{
	int r = args_string(args, NAME_MAX, name);

	if (r < 0)
		return r;
	return decode_is_name(*name) ? 0 : -EINVAL;
}
