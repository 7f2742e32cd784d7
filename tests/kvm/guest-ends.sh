#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# How a guest ends is how thaw ends: a crash with its registers, a reset, and a
# reset that starts it again.
. "$(dirname "$0")/guest-lib.sh"

for how in fault trap jump; do
	run -k "$(guest crash)" -p "how=$how"
	expect_status 80
	expect_out '^about to crash$'
	expect_err '(rip|pc) +[0-9a-f]+'
done

run -k "$(guest reset)"
expect_status 82
expect_out '^about to reset$'

# With restart there is no end: the time limit is what stops it.
LIMIT=3 run -k "$(guest reset)" --on-reboot=restart
[ "$(grep -c '^about to reset$' "$work/out")" -ge 2 ] ||
	fail "the guest did not start again"
finish
