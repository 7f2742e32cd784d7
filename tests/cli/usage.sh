#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The command line itself: help, version, and what makes no sense.
. "$(dirname "$0")/lib.sh"

shows '^usage: thaw COMMAND' help
shows '^usage: thaw COMMAND' --help
shows '^usage: thaw COMMAND' -h
shows '^thaw [0-9]+\.' version
shows '^thaw [0-9]+\.' --version
for command in exec run restore snapshot ctl inspect plot cache probe help version; do
	shows "^usage: thaw $command" help "$command"
	shows "^usage: thaw $command" "$command" --help
	shows "^  $command  " help
done
shows '--mem=SIZE' run -h

refuses 64 'frobnicate: unknown command' frobnicate
refuses 64 'frobnicate: unknown command' help frobnicate
refuses 64 '--frobnicate: unknown command' --frobnicate
refuses 64 '--frobnicate: unknown option' run --frobnicate
refuses 64 '--ker: unknown option' run --ker x
refuses 64 '-z: unknown option' probe -z
refuses 64 'stray: unexpected argument' probe stray
refuses 64 'stray: unexpected argument' run stray
refuses 64 '--json: takes no value' probe --json=yes
refuses 64 '--kernel: missing value' run -k
refuses 64 '--prefault: fast is not a rate' run --prefault=fast
refuses 64 '--prefault: "" is not a rate' restore --prefault= "$work"
refuses 64 '--hugepages: large is not a kind' run --hugepages=large
refuses 64 '--hugepages: never=2M is not a kind' run --hugepages=never=2M
refuses 64 '--hugepages: hugetlb=3M is not a kind' run --hugepages=hugetlb=3M
refuses 64 '--hugepages: "" is not a kind' restore --hugepages= "$work"
refuses 64 'stray: unexpected argument' version stray
refuses 64 'stray: unexpected argument' help run stray

# No command at all: the list, on standard error.
run
[ "$status" -eq 64 ] || fail "status $status without a command"
[ ! -s "$work/out" ] || fail 'standard output without a command'
grep -q '^usage: ' "$work/err" || fail 'no usage without a command'

# Output that cannot be written is not a success.
if [ -e /dev/full ]; then
	checks=$((checks + 1))
	status=0
	"$thaw" help >/dev/full 2>"$work/err" || status=$?
	[ "$status" -eq 70 ] || fail "status $status with a full disk"
fi

# Closed standard streams are no reason to fall over.
checks=$((checks + 1))
status=0
"$thaw" version <&- >&- 2>&- || status=$?
[ "$status" -lt 128 ] || fail "status $status with closed streams"

finish
