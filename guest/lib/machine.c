/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions on struct machine, for all architectures. */
#include "guest/lib/machine.h"
#include "guest/lib/string.h"

/* From the linker script: the end of the image and its bss. */
extern char image_end[];

/* In two parts, to avoid an overflow. */
uint64_t machine_counter_us(const struct machine *machine, uint64_t counter)
{
	uint64_t hz = machine->counter_hz;

	return counter / hz * 1000000 + counter % hz * 1000000 / hz;
}

uint64_t machine_ram_bytes(const struct machine *machine)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < machine->ram_count; i++)
		bytes += machine->ram[i].end - machine->ram[i].start;
	return bytes;
}

static uint64_t align_2m(uint64_t address)
{
	return (address + 0x1fffff) & ~UINT64_C(0x1fffff);
}

/* Leaves the larger part of @free outside @used. */
static void cut(struct range *free, const struct range *used)
{
	if (used->end <= free->start || used->start >= free->end)
		return;
	if (used->start > free->start &&
	    used->start - free->start > free->end - used->end)
		free->end = used->start;
	else
		free->start = align_2m(used->end);
}

struct range machine_free_ram(const struct machine *machine)
{
	uint64_t end = (uintptr_t)image_end;
	struct range free = { align_2m(end), 0 };

	for (unsigned int i = 0; i < machine->ram_count; i++)
		if (machine->ram[i].start < end &&
		    machine->ram[i].end > free.start)
			free.end = machine->ram[i].end;
	cut(&free, &machine->initrd);
	cut(&free, &machine->device_tree);
	if (free.start >= free.end)
		return (struct range){ 0, 0 };
	return free;
}

/* The value of "name=" on the command line; NULL: absent. */
static const char *arg_find(const struct machine *machine, const char *name)
{
	const char *s = machine->cmdline;
	size_t len = strlen(name);

	while (*s) {
		while (*s == ' ')
			s++;
		if (!strncmp(s, name, len) && s[len] == '=')
			return s + len + 1;
		while (*s && *s != ' ')
			s++;
	}
	return NULL;
}

uint64_t arg_number(const struct machine *machine, const char *name,
		    uint64_t otherwise)
{
	const char *s = arg_find(machine, name);
	uint64_t value;

	return s && string_number(s, &value) ? value : otherwise;
}

bool arg_is(const struct machine *machine, const char *name, const char *wanted)
{
	const char *s = arg_find(machine, name);
	size_t len = strlen(wanted);

	return s && !strncmp(s, wanted, len) && (!s[len] || s[len] == ' ');
}
