# SPDX-License-Identifier: BSD-2-Clause
#
# guest-lib.sh - what the guest-* tests share.  Sourced with the arguments of
# the test still there: THAW GUESTS [SUFFIX], the program, the directory of the
# payloads and how their names end.
set -u
thaw=$1
guests=$2
suffix=${3:-elf}
work=$(mktemp -d "${TMPDIR:-/tmp}/thaw-guest.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
failures=0

# Leave with the skip code and a reason.
skip() {
	echo "skipped: $*"
	exit 77
}

[ -e /dev/kvm ] || skip "no /dev/kvm"
[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip "no permission for /dev/kvm"

# The path of payload $1.
guest() {
	printf '%s\n' "$guests/$1.$suffix"
}

# Run thaw with the arguments; what it prints goes to out and err, its status
# to $status.  A run that takes a minute is one that hangs.
run() {
	echo "--- thaw run $*"
	timeout -k 5 "${LIMIT:-60}" "$thaw" run "$@" \
		</dev/null >"$work/raw" 2>"$work/err"
	status=$?
	tr -d '\r' <"$work/raw" >"$work/out"
}

# Something is not as it should be: say what, and show the run.
fail() {
	echo "FAILED: $*"
	sed 's/^/  out: /' "$work/out"
	sed 's/^/  err: /' "$work/err"
	failures=$((failures + 1))
}

# The last run ended with status $1.
expect_status() {
	[ "$status" -eq "$1" ] || fail "status $status, not $1"
}

# The last run printed a line that matches $1 (extended regular expression).
expect_out() {
	grep -Eq -e "$1" "$work/out" || fail "no line like: $1"
}

expect_err() {
	grep -Eq -e "$1" "$work/err" || fail "no line on standard error like: $1"
}

# The guest's own checks: some passed, none failed.
expect_checks() {
	expect_status 0
	expect_out '^SUMMARY: [1-9][0-9]* checks, 0 failed$'
	! grep -q '^FAIL' "$work/out" || fail "the guest found something"
}

# Whether this host has guest_memfd that can be mapped, by trying.
have_guest_memfd() {
	run --memory=guest_memfd -m 64M
	[ "$status" -eq 0 ]
}

# The backings that work here.
backings() {
	echo anon
	if have_guest_memfd >&2; then
		echo guest_memfd
	fi
}

# End the test.
finish() {
	[ "$failures" -eq 0 ] || exit 1
	exit 0
}
