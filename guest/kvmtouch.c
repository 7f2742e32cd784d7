/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes KVM itself, not the processor, access untouched pages: its clocks, its
 * emulation of string and device instructions, its interrupt controller.  Each
 * access must see the contents of the page source, and leave the rest of the page
 * unchanged.
 *
 *	base=ADDRESS	start of the pages (default: free RAM); base=initrd:
 *			the initrd
 *	check=signature	the source has signatures there (default: zeros)
 *	stride=N	distance between pages, in pages (64)
 *	hold=1		keeps running at the end, without memory accesses
 */
#include "guest/kvmtouch.h"
#include "guest/lib/check.h"
#include "guest/lib/cpu.h"
#include "guest/lib/print.h"
#include "guest/lib/signature.h"

#define PAGE 4096

bool fresh_take(struct fresh_pages *pages, uint64_t align_bytes,
		struct fresh *fresh)
{
	uint64_t at = pages->range.start + pages->next * PAGE;

	at = (at + align_bytes - 1) & ~(align_bytes - 1);
	if (at + PAGE > pages->range.end)
		return check(false, "out of pages: guest memory is too small");
	fresh->bytes = (uint8_t *)(uintptr_t)at;
	fresh->page = (at - pages->range.start) / PAGE;
	fresh->is_signed = pages->is_signed;
	pages->next = fresh->page + pages->stride;
	return true;
}

static uint64_t fresh_word(const struct fresh *fresh, unsigned int word)
{
	return fresh->is_signed ? signature_word(fresh->page, word) : 0;
}

uint8_t fresh_byte(const struct fresh *fresh, unsigned int offset)
{
	return (uint8_t)(fresh_word(fresh, offset / 8) >> offset % 8 * 8);
}

bool fresh_rest(const struct fresh *fresh, unsigned int first, unsigned int end)
{
	for (unsigned int i = 0; i < PAGE; i++)
		if ((i < first || i >= end) &&
		    fresh->bytes[i] != fresh_byte(fresh, i))
			return check(false,
				     "byte 0x%x of the page is 0x%x, not 0x%x",
				     i, fresh->bytes[i], fresh_byte(fresh, i));
	return true;
}

void payload_main(struct machine *machine)
{
	struct fresh_pages pages = {
		.machine = machine,
		.range = machine_free_ram(machine),
		.stride = arg_number(machine, "stride", 64),
		.is_signed = arg_is(machine, "check", "signature"),
	};
	const struct kvm_touch *touches;
	size_t count;

	if (arg_is(machine, "base", "initrd"))
		pages.range = machine->initrd;
	pages.range.start = arg_number(machine, "base", pages.range.start);
	if (!pages.range.end)
		pages.range.end = UINT64_MAX;
	touches = kvm_touches(&count);
	for (size_t i = 0; i < count; i++)
		touches[i].run(&pages, touches[i].name);
	check_summary();
	while (arg_number(machine, "hold", 0))
		cpu_relax();
}
