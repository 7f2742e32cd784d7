#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The chain of hashes is whole, and the same wherever it runs.
. "$(dirname "$0")/guest-lib.sh"

# The chain's lines, in an order that does not depend on who was faster.
chain() {
	run "$@" -c 2 -k "$(guest chain)" -p "steps=2000 period=500 pages=64"
	expect_checks
	grep '^chain: cpu=' "$work/out" | sort >"$work/chain"
	[ "$(wc -l <"$work/chain")" -eq 8 ] || fail "lines are missing"
	[ -e "$work/first" ] || cp "$work/chain" "$work/first"
	cmp -s "$work/chain" "$work/first" || fail "another chain than before"
}

for backing in $(backings); do
	chain --memory="$backing" -m 64M
	chain --memory="$backing" -m 512M
done
finish
