#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh - installs what the tests need, builds everything in several ways, runs
# all tests, and ends with one line: N passed, N failed, N skipped.
#
#	sh tests/run.sh			all of it
#	sh tests/run.sh STAGE...	only these
#
# Stages:
#	gcc	warnings are errors; lint, unit, kvm, cli and fuzz tests
#	clang	the same with clang, without the lints
#	sanitize	gcc with the address and undefined-behaviour sanitizers
#	thread	gcc with the thread sanitizer; unit and kvm tests, and any race
#		is a failure but those of tests/thread-suppressions
#	arm64	a static cross build; unit tests of another under qemu-user
#	x86-rig, arm64-rig	a KVM host in QEMU: the kernel with userfault, the
#		suite that judges it, and real guests under thaw
#	rig	both of these
#
# Every test is a line `ok NAME`, `not ok NAME: REASON` or `skip NAME: REASON`;
# a build that fails is a failed test.  Builds and logs are in build-tests/, or
# in a temporary directory where the checkout cannot be written.  What is slow to
# make and depends on fixed inputs (kernels, packages) is cached outside the
# checkout, in $THAW_CACHE (default: ~/.cache/thaw), and made anew when absent.
#
# Environment: THAW_TEST_MINUTES (80): the cases of the rig that would begin when
# so much time has passed are skipped, and say so.
#
# Exit status: 0 when nothing failed and something passed, else 1.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$(pwd -P)

# The same in any environment.
exec </dev/null
unset CC CXX CFLAGS CPPFLAGS LDFLAGS CDPATH ENV BASH_ENV MAKEFLAGS DESTDIR \
	MESON_TESTTHREADS NINJA_STATUS KERNEL THAW QEMU ARCH CROSS_COMPILE
export LC_ALL=C.UTF-8
umask 022
: "${HOME:=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)}"
[ -w "${HOME:-/nowhere}" ] || HOME=${TMPDIR:-/tmp}
export HOME
PATH=$PATH:/usr/sbin:/sbin

stages=${*:-gcc clang sanitize thread arm64 rig}
out=$top/build-tests
if ! mkdir -p "$out" 2>/dev/null || ! [ -w "$out" ]; then
	out=$(mktemp -d "${TMPDIR:-/tmp}/thaw-tests.XXXXXX") || exit 1
	echo "the checkout cannot be written: builds are in $out"
fi
logs=$out/logs
rm -rf "$logs"
mkdir -p "$logs" || exit 1
results=$logs/results
: >"$results"
started=$(date +%s)

# Say where we are, with the minutes and seconds since the start.
stage() {
	now=$(($(date +%s) - started))
	printf '== %s (%d:%02d)\n' "$*" $((now / 60)) $((now % 60))
}

# Keep the result lines among what comes in, and show them.
record() {
	while IFS= read -r line; do
		case $line in
		'ok '* | 'not ok '* | 'skip '*)
			printf '%s\n' "$line" >>"$results"
			printf '%s\n' "$line"
			;;
		*) printf '%s\n' "$line" ;;
		esac
	done
}

# Record result line $1; show the end of log $2 when there is one.
verdict() {
	printf '%s\n' "$1" | record
	[ $# -lt 2 ] || tail -n 40 "$2" | sed 's/^/| /'
}

# Set up and build in $out/$1 with Meson options $2...; a failure is recorded.
build() {
	name=$1
	shift
	dir=$out/$name
	if ! [ -e "$dir/build.ninja" ]; then
		rm -rf "$dir"
		if ! meson setup "$@" "$dir" "$top" >"$logs/$name-setup" 2>&1; then
			verdict "not ok $name build: meson setup failed" \
				"$logs/$name-setup"
			return 1
		fi
	fi
	if ! ninja -C "$dir" >"$logs/$name-build" 2>&1; then
		grep -A 15 -e '^FAILED' -e ': error: ' "$logs/$name-build" |
			head -n 60 >"$logs/$name-build-errors"
		verdict "not ok $name build: does not compile" \
			"$logs/$name-build-errors"
		return 1
	fi
	verdict "ok $name build"
}

# Run the tests of build $1, of the suites $2..., and record them.
check() {
	name=$1
	shift
	suites=
	for s; do
		if meson test -C "$out/$name" --no-rebuild --list --suite "$s" \
			2>/dev/null | grep -q /; then
			suites="$suites --suite $s"
		else
			verdict "skip $name $s tests: this build has none"
		fi
	done
	[ -n "$suites" ] || return 0
	log=$out/$name/meson-logs/testlog.json
	rm -f "$log"
	# shellcheck disable=SC2086 # a list of words
	$wrap meson test -C "$out/$name" --no-rebuild $suites \
		>"$logs/$name-test" 2>&1
	if [ -e "$log" ]; then
		python3 -B tests/results.py "$name" "$log" 2>"$logs/$name-failed" |
			record
		cat "$logs/$name-failed"
	else
		verdict "not ok $name tests: meson test did not run" \
			"$logs/$name-test"
	fi
}

# Run a program of the rig, $3..., whose lines are results, at most $2 seconds;
# $1 is its name.
report() {
	name=$1 limit=$2
	shift 2
	before=$(wc -l <"$results")
	{
		timeout -k 30 "$limit" "$@" 2>"$logs/$name"
		echo "status $?"
	} | sed -u -e "s/^ok /ok $name /" -e "s/^not ok /not ok $name /" \
		-e "s/^skip /skip $name /" | tee "$logs/$name-out" |
		grep --line-buffered -v "^status " | record
	rc=$(sed -n 's/^status \([0-9]*\)$/\1/p' "$logs/$name-out" | tail -n 1)
	failed=$(sed "1,${before}d" "$results" | grep -c '^not ok')
	why=$(tail -n 1 "$logs/$name")
	case ${rc:-1} in
	0) ;;
	77) verdict "skip $name: ${why:-cannot be had here}" ;;
	124 | 137) verdict "not ok $name: no end after $limit s" "$logs/$name" ;;
	*)
		# A failure that no line has told of.
		[ "$failed" -gt 0 ] ||
			verdict "not ok $name: status $rc: $why" "$logs/$name"
		;;
	esac
}

# The rig of architecture $1: its kernel, the suite that judges it, the cases.
rig() {
	[ -e tests/rig/rig ] || return 0
	sh tests/rig/kernel/build.sh "$1" >"$logs/kernel-$1" \
		2>"$logs/kernel-$1-log"
	rc=$?
	why=$(tail -n 1 "$logs/kernel-$1-log")
	case $rc in
	0) verdict "ok kernel-$1" ;;
	77)
		verdict "skip kernel-$1: $why"
		return
		;;
	*)
		verdict "not ok kernel-$1: $why" "$logs/kernel-$1-log"
		return
		;;
	esac
	case $1 in
	x86)
		report userfault-x86 900 sh tests/rig/conformance/run.sh x86
		report userfault-x86-npt-off 900 sh tests/rig/conformance/run.sh \
			x86 --append kvm_amd.npt=0
		report userfault-x86-tdp-mmu-off 900 \
			sh tests/rig/conformance/run.sh x86 \
			--append kvm.tdp_mmu=0
		;;
	*) report "userfault-$1" 900 sh tests/rig/conformance/run.sh "$1" ;;
	esac
	# The x86 host leaves half of what time there is to the arm64 one.
	now=$(date +%s)
	left=$((started + ${THAW_TEST_MINUTES:-80} * 60 - 400 - now))
	[ "$1" != x86 ] || left=$((left / 2))
	report "rig-$1" $((left > 0 ? left + 400 : 400)) sh tests/rig/run-cases \
		"$1" --logs "$logs/rig-$1-guests" --until $((now + left))
}

# Install group $1 of the dependencies; what stays missing is told once and the
# tests that need it say so themselves.
need() {
	sh tests/deps.sh "$@" || echo "some of what the tests use is missing"
}

# Whether programs of the thread sanitizer run here; sets $wrap to what they need
# for it.  Where the kernel puts mappings too far apart they do not start, so
# there they are laid out the same each time.
find_thread_sanitizer() {
	probe=$logs/thread-probe
	echo 'int main(void) { return 0; }' >"$probe.c"
	$CC -fsanitize=thread -o "$probe" "$probe.c" 2>"$probe.log" || return 1
	for wrap in '' "setarch $(uname -m) -R"; do
		left=8
		while [ "$left" -gt 0 ] && $wrap "$probe" 2>>"$probe.log"; do
			left=$((left - 1))
		done
		[ "$left" -gt 0 ] || return 0
	done
	wrap=
	return 1
}

# Run one stage.
run_stage() {
	case $1 in
	gcc)
		CC=gcc
		export CC
		build gcc --werror && check gcc lint unit kvm cli fuzz
		;;
	clang)
		if ! command -v clang >/dev/null; then
			verdict 'skip clang: no clang here'
			return
		fi
		CC=clang
		export CC
		build clang --werror && check clang unit kvm cli fuzz
		;;
	sanitize)
		CC=gcc
		export CC
		build sanitize --werror -Db_sanitize=address,undefined \
			-Db_lundef=false && check sanitize unit kvm cli fuzz
		;;
	thread)
		CC=gcc
		export CC
		if ! find_thread_sanitizer; then
			verdict "skip thread: the thread sanitizer does not run here"
			return
		fi
		TSAN_OPTIONS=halt_on_error=1
		TSAN_OPTIONS=$TSAN_OPTIONS:suppressions=$top/tests/thread-suppressions
		export TSAN_OPTIONS
		build thread --werror -Db_sanitize=thread -Db_lundef=false &&
			check thread unit kvm
		unset TSAN_OPTIONS
		wrap=
		;;
	arm64)
		case $(uname -m) in
		aarch64) return ;; # the gcc stage was that
		esac
		if ! sh cross/deps.sh >"$logs/cross-deps" 2>&1; then
			verdict "skip arm64: $(tail -n 1 "$logs/cross-deps")"
			return
		fi
		unset CC
		build arm64 --werror -Dtests=false \
			--cross-file cross/aarch64-linux-gnu.ini
		# Debian has no static cmocka, so the tests are not static.
		build arm64-tests --werror -Dc_link_args= -Dprefer_static=false \
			--cross-file cross/aarch64-linux-gnu.ini &&
			check arm64-tests unit
		;;
	rig)
		run_stage x86-rig
		run_stage arm64-rig
		;;
	x86-rig | arm64-rig)
		unset CC
		case $deps_rig in
		'')
			need rig
			deps_rig=1
			;;
		esac
		rig "${1%-rig}"
		;;
	esac
}

for s in $stages; do
	case $s in
	gcc | clang | sanitize | thread | arm64 | rig | x86-rig | arm64-rig) ;;
	*)
		echo "run.sh: no such stage: $s (gcc clang sanitize thread" \
			"arm64 rig)" >&2
		exit 64
		;;
	esac
done
stage "packages"
deps_rig=''
wrap=''
need build test
for s in $stages; do
	stage "$s"
	run_stage "$s"
done

passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^not ok ' "$results")
skipped=$(grep -c '^skip ' "$results")
stage "done; logs are in $logs"
if [ "$skipped" -gt 0 ]; then
	echo "skipped:"
	sed -n 's/^skip /  /p' "$results"
fi
if [ "$failed" -gt 0 ]; then
	echo "failed:"
	sed -n 's/^not ok /  /p' "$results"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
