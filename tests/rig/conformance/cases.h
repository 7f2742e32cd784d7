/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cases, by the file that holds them.  Each is run once for each kind of
 * memory that main.c names with it; it returns when all is as it must be, and
 * ends by fail() or skip() otherwise.
 */
#ifndef CONFORMANCE_CASES_H
#define CONFORMANCE_CASES_H

#include "machine.h"

/* case-exit.c: what stops a vCPU, and what the exit says */
void case_probe(enum kind kind);
void case_read(enum kind kind);
void case_write(enum kind kind);
void case_fetch(enum kind kind);
void case_crossing(enum kind kind);
void case_walk(enum kind kind);
void case_clear_bit(enum kind kind);
void case_again(enum kind kind);
void case_neighbours(enum kind kind);
void case_neighbours_small(enum kind kind);
void case_prefault(enum kind kind);
void case_bad_bitmap(enum kind kind);

/* case-slot.c: changes of the slot */
void case_off_on(enum kind kind);
void case_on_later(enum kind kind);
void case_same_flags(enum kind kind);
void case_set_bit_late(enum kind kind);
void case_fixed(enum kind kind);
void case_binding(enum kind kind);
void case_recreate(enum kind kind);
void case_closed(enum kind kind);
void case_read_only(enum kind kind);
void case_move(enum kind kind);

/* case-dirty.c: dirty logging and large pages */
void case_dirty_then_userfault(enum kind kind);
void case_userfault_then_dirty(enum kind kind);
void case_dirty_together(enum kind kind);
void case_dirty_off_first(enum kind kind);
void case_userfault_off_first(enum kind kind);
void case_large_pages(enum kind kind);
void case_large_pages_after_dirty(enum kind kind);

/* case-race.c: more than one thread */
void case_race(enum kind kind);
void case_publish(enum kind kind);
void case_toggle(enum kind kind);
void case_toggle_held(enum kind kind);

#endif
