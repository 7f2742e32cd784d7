# SPDX-License-Identifier: BSD-2-Clause
#
# lib.sh - what the cli tests share.  Sourced with the test's arguments still
# there: THAW, the program, and GUEST, a kernel image that boots.
set -u
thaw=$1
guest=${2-}
export LC_ALL=C
work=$(mktemp -d "${TMPDIR:-/tmp}/thaw-cli.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
failures=0 checks=0

# Leave with the skip code and a reason.
skip() {
	echo "skipped: $*"
	exit 77
}

# Leave unless guests can run here.
need_kvm() {
	[ -e /dev/kvm ] || skip 'no /dev/kvm'
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no permission for /dev/kvm'
}

# Run thaw with the arguments: $work/out, $work/err, $status.
run() {
	checks=$((checks + 1))
	status=0
	timeout -k 5 "${LIMIT:-60}" "$thaw" "$@" </dev/null >"$work/out" \
		2>"$work/err" || status=$?
}

# Something is not as it should be: say what, and show the run.
fail() {
	echo "FAILED: $*"
	sed 's/^/  out: /' "$work/out" | head -n 20
	sed 's/^/  err: /' "$work/err" | head -n 20
	failures=$((failures + 1))
}

# thaw $3... must end with status $1, nothing on standard output, and one line
# on standard error that starts with its name and matches $2 (extended regular
# expression).
refuses() {
	want=$1 says=$2
	shift 2
	run "$@"
	lines=$(wc -l <"$work/err")
	if [ "$status" -ne "$want" ]; then
		fail "status $status, not $want: thaw $*"
	elif [ -s "$work/out" ]; then
		fail "something on standard output: thaw $*"
	elif [ "$lines" -ne 1 ]; then
		fail "$lines lines on standard error, not one: thaw $*"
	elif ! grep -Eqi -e "^thaw: .*($says)" "$work/err"; then
		fail "no line like '$says': thaw $*"
	fi
}

# thaw $2... must end with status 0 and a line that matches $1 on standard
# output, nothing on standard error.
shows() {
	says=$1
	shift
	run "$@"
	if [ "$status" -ne 0 ]; then
		fail "status $status: thaw $*"
	elif ! grep -Eq -e "$says" "$work/out"; then
		fail "no line like '$says': thaw $*"
	elif [ -s "$work/err" ]; then
		fail "something on standard error: thaw $*"
	fi
}

# End the test.
finish() {
	echo "$checks checks, $failures failed"
	[ "$checks" -gt 0 ] && [ "$failures" -eq 0 ]
	exit
}
