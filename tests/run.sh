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
#	clang	the same with clang; unit and cli tests
#	sanitize	gcc with the address and undefined-behaviour sanitizers
#	thread	gcc with the thread sanitizer; unit tests, and those kvm tests in
#		which threads meet; any race is a failure but those of
#		tests/thread-suppressions
#	arm64	a static cross build; unit tests of another under qemu-user
#	x86-rig, arm64-rig	a KVM host in QEMU: the kernel with userfault, the
#		suite that judges it, and real guests under thaw
#	arm64-64k-rig	the same with pages of 64 KiB, for which a part of the
#		cases is run, and a guest that moves between that and the other
#	rig	all of these
#
# Every test is a line `ok NAME`, `not ok NAME: REASON` or `skip NAME: REASON`;
# a build that fails is a failed test.  Builds and logs are in build-tests/, or
# in a temporary directory where the checkout cannot be written.  What is slow to
# make and depends on fixed inputs (kernels, packages) is cached outside the
# checkout, in $THAW_CACHE (default: ~/.cache/thaw), and made anew when absent.
#
# The kernels of the x86 and arm64 rigs are built in the background from the start,
# at a low priority, while the other stages run; with two processors and 8 GiB free
# memory these rigs of `rig' run at the same time.  The third kernel is built when
# its turn comes, unless more than half of the time has passed.
#
# Everything runs in a session of its own, from a known state: whatever this is
# started from (nohup, a service manager), and an interrupt ends all of it.
#
# Environment: THAW_TEST_MINUTES (84): the cases of the rig that would begin when
# so much time has passed are skipped, and say so.  THAW_CACHE, KERNEL_SRC, JOBS
# and the proxies of apt are passed on; nothing else matters.
#
# Exit status: 0 when nothing failed and something passed, else 1.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$(pwd -P)
exec </dev/null

# Print the assignment of each variable $@ that is set, quoted for a shell.
assignments() {
	for name; do
		eval "value=\${$name-}"
		[ -z "$value" ] || printf "%s='%s'\n" "$name" \
			"$(printf '%s\n' "$value" | sed "s/'/'\\\\''/g")"
	done
}

# Run this script once more ($@ are the stages) with default signal dispositions
# and a few variables, in a session of its own; $child is its process and group.
start_inner() {
	: "${HOME:=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)}"
	[ -w "${HOME:-/nowhere}" ] || HOME=${TMPDIR:-/tmp}
	PATH=$PATH:/usr/sbin:/sbin
	stages=$*
	eval "set -- $(assignments HOME PATH TMPDIR THAW_CACHE XDG_CACHE_HOME \
		THAW_TEST_MINUTES KERNEL_SRC JOBS http_proxy https_proxy \
		ftp_proxy no_proxy all_proxy | tr '\n' ' ')"
	! env --default-signal true 2>/dev/null || set -- --default-signal "$@"
	# shellcheck disable=SC2086 # a list of words
	setsid env -i "$@" LC_ALL=C.UTF-8 THAW_TESTS_INNER=1 \
		sh tests/run.sh $stages &
	child=$!
}

# End what is left of the session.
end_inner() {
	kill -s TERM -- "-$child" 2>/dev/null || return 0
	for i in 1 2 3 4 5 6 7 8 9 10; do
		kill -s 0 -- "-$child" 2>/dev/null || return 0
		sleep 1
	done
	kill -s KILL -- "-$child" 2>/dev/null
}

# The same for signal number $1, which ends this script as well.
interrupted() {
	trap '' HUP INT TERM
	kill -TERM "$child" 2>/dev/null
	wait "$child"
	end_inner
	exit $((128 + $1))
}

if [ -z "${THAW_TESTS_INNER-}" ]; then
	start_inner "$@"
	trap 'interrupted 1' HUP
	trap 'interrupted 2' INT
	trap 'interrupted 15' TERM
	rc=0
	wait "$child" || rc=$?
	end_inner
	exit "$rc"
fi
unset THAW_TESTS_INNER
umask 022
for limit in '-c 0' '-n 1024' '-s 8192'; do
	# shellcheck disable=SC2086 # an option and its value
	ulimit -S $limit 2>/dev/null || :
done

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
minutes=${THAW_TEST_MINUTES:-84}

# Say where we are, with the minutes and seconds since the start.
stage() {
	now=$(($(date +%s) - started))
	printf '== %s (%d:%02d)\n' "$*" $((now / 60)) $((now % 60))
}

# Show line $1, and keep it when it is a result; with $2, the end of that log
# too.  In one piece: two rigs may report at the same time.
verdict() {
	(
		flock 9
		case $1 in
		'ok '* | 'not ok '* | 'skip '*) printf '%s\n' "$1" >>"$results" ;;
		esac
		printf '%s\n' "$1"
		[ $# -lt 2 ] || tail -n 40 "$2" | sed 's/^/| /'
	) 9>"$logs/lock"
}

# The same for each line that comes in.
record() {
	while IFS= read -r line; do
		verdict "$line"
	done
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
# $1 is its name.  It sees no installed QEMU, as on a fresh machine.
report() {
	name=$1 limit=$2
	shift 2
	{
		timeout --foreground -k 30 "$limit" sh tests/rig/hide-qemu "$@" \
			2>"$logs/$name"
		echo "status $?"
	} | sed -u -e "s/^ok /ok $name /" -e "s/^not ok /not ok $name /" \
		-e "s/^skip /skip $name /" | tee "$logs/$name-out" |
		grep --line-buffered -v "^status " | record
	rc=$(sed -n 's/^status \([0-9]*\)$/\1/p' "$logs/$name-out" | tail -n 1)
	why=$(tail -n 1 "$logs/$name")
	case ${rc:-1} in
	0) ;;
	77) verdict "skip $name: ${why:-no reason given}" ;;
	124 | 137) verdict "not ok $name: no end after $limit s" "$logs/$name" ;;
	*)
		# A failure that no line has reported.
		grep -q '^not ok' "$logs/$name-out" ||
			verdict "not ok $name: status $rc: $why" "$logs/$name"
		;;
	esac
}

# Print what run-cases and build.sh take for host $1, an architecture or one with
# another configuration: arm64-64k.
host_words() {
	case $1 in
	*-*) echo "${1%%-*} --config ${1#*-}" ;;
	*) echo "$1" ;;
	esac
}

# Build in the background what the rigs of hosts $@ need, which takes
# longest in a run without a cache.  The lock is held until it ends, in any way.
start_kernels() {
	exec 8>"$logs/kernels-lock"
	flock 8
	# shellcheck disable=SC2046 # lists of words
	for host; do
		arch=${host%%-*}
		nice -n 10 sh tests/rig/hide-qemu sh tests/rig/fetch.sh qemu "$arch"
		nice -n 10 sh tests/rig/run-cases "$arch" --prepare
		nice -n 10 sh tests/rig/kernel/build.sh $(host_words "$host")
		: >"$logs/kernel-$host-tried"
	done >"$logs/kernels" 2>&1 &
	exec 8>&-
}

# Wait until the kernel of host $1 was built there, or was not.
await_kernel() {
	until [ -e "$logs/kernel-$1-tried" ] ||
		flock -w 2 "$logs/kernels-lock" true; do
		:
	done
}

# The rig of host $1: its kernel, the suite that judges it, the cases.
rig() {
	await_kernel "$1"
	stage "rig $1"
	# What went wrong there is said here.
	# shellcheck disable=SC2046 # a list of words
	sh tests/rig/kernel/build.sh $(host_words "$1") >"$logs/kernel-$1" \
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
	*-64k) report "portable-$1" 900 sh tests/rig/portable ;;
	*) report "userfault-$1" 900 sh tests/rig/conformance/run.sh "$1" ;;
	esac
	# With $2 another rig follows, for which half of the time is left.
	now=$(date +%s)
	left=$((started + minutes * 60 - 400 - now))
	[ -z "$2" ] || left=$((left / 2))
	# shellcheck disable=SC2046 # a list of words
	report "rig-$1" $((left > 0 ? left + 400 : 400)) sh tests/rig/run-cases \
		$(host_words "$1") --logs "$logs/rig-$1-guests" --until $((now + left))
}

# Whether two rigs may run at the same time: each has 3 GiB and keeps at least
# one processor busy.
room_for_two() {
	[ "$(nproc)" -ge 2 ] && [ "$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' \
		/proc/meminfo)" -ge 8000000 ]
}

# The rig of host $1, for whose kernel there may be no time: nothing has built it
# beforehand, so that the other rigs have the processors for themselves.
late_rig() {
	# shellcheck disable=SC2046 # lists of words
	if [ $(($(date +%s) - started)) -gt $((minutes * 60 / 2)) ] &&
		! sh tests/rig/kernel/build.sh $(host_words "$1") --cached \
			>/dev/null 2>&1; then
		verdict "skip rig-$1: no time is left to build its kernel"
		return
	fi
	rig "$1" ''
}

# All rigs.
all_rigs() {
	if room_for_two; then
		{
			rig x86 ''
			late_rig arm64-64k
		} &
		x86=$!
		rig arm64 ''
		wait $x86
	else
		rig x86 half
		rig arm64 half
		late_rig arm64-64k
	fi
}

# Install groups $@ of the dependencies; what stays missing is said once, and the
# tests that need it say so themselves.
need() {
	sh tests/deps.sh "$@" || echo "some of what the tests use is missing"
}

# Install what the cross build needs; it has its reason in the log when not.
need_cross() {
	sh cross/deps.sh >"$logs/cross-deps" 2>&1
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
		build clang --werror && check clang unit cli
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
			check thread unit threads
		unset TSAN_OPTIONS
		wrap=
		;;
	arm64)
		case $(uname -m) in
		aarch64) return ;; # the gcc stage was that
		esac
		if ! need_cross; then
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
		unset CC
		all_rigs
		;;
	x86-rig | arm64-rig | arm64-64k-rig)
		unset CC
		rig "${1%-rig}" ''
		;;
	esac
}

groups='build test' kernels=''
for s in $stages; do
	case $s in
	gcc | clang | sanitize | thread) ;;
	arm64) groups="$groups cross" ;;
	rig) groups="$groups cross rig" kernels='x86 arm64' ;;
	x86-rig) groups="$groups rig" kernels="$kernels x86" ;;
	arm64-rig) groups="$groups cross rig" kernels="$kernels arm64" ;;
	arm64-64k-rig)
		groups="$groups cross rig" kernels="$kernels arm64 arm64-64k"
		;;
	*)
		echo "run.sh: no such stage: $s (gcc clang sanitize thread" \
			"arm64 rig x86-rig arm64-rig arm64-64k-rig)" >&2
		exit 64
		;;
	esac
done
stage "packages"
wrap=''
# All at the start: what runs in the background installs nothing.
case $groups in
*rig*) need build test rig ;;
*) need build test ;;
esac
case $groups in
*cross*) [ "$(uname -m)" = aarch64 ] || need_cross ;;
esac
# shellcheck disable=SC2086 # a list of words
[ -z "$kernels" ] || start_kernels $kernels
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
