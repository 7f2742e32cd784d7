#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# prove-traps.sh - shows that the conformance suite sees what it is there for:
# builds the kernel with one part broken at a time (broken/*.patch), runs the
# suite on it, and looks whether the right case fails, which passes on the whole
# kernel.
#
#	prove-traps.sh [VARIANT...]
#
# Prints a table; exit status 0 if every broken part was seen and the whole
# kernel passes, 1 if not.  The first run builds both kernels from the start,
# then each variant takes about a minute.  The object trees stay in the cache,
# some GiB each, until `prove-traps.sh --clean`.
#
# One part cannot be seen by running: a missing acquire costs nothing on a host
# that orders its loads, as the emulation's does.  It is looked for in the
# machine code of arm64.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../apt.sh"
logs=$(rig_cache)/traps
failed=0

# The parts: VARIANT ARCH HOST-KERNEL-ARGS CASE, - for none.  CASE fails on it.
# `barrier` is the look at the machine code.
table() {
	cat <<'END'
prefetch	x86	kvm.tdp_mmu=0	anon/neighbours
prefetch	x86	kvm_amd.npt=0	anon/neighbours
prefetch	x86	kvm_amd.npt=0	anon/neighbours-small
dirty-off	x86	-		anon/dirty-off-first
dirty-off	x86	-		anon/large-pages-after-dirty
userfault-off	x86	-		anon/userfault-off-first
unbind	x86	-		memfd/binding
unbind	arm64	-		memfd/binding
handover	arm64	-		memfd/toggle
acquire	arm64	-		barrier
arm64-memfd	arm64	-		memfd/read
arm64-anon	arm64	-		anon/read
large	x86	-		anon/neighbours
large	arm64	-		anon/neighbours
no-zap	x86	-		anon/on-later
no-zap	arm64	-		memfd/toggle-held
exit-fields	x86	-		anon/bad-bitmap
pointer	arm64	-		anon/same-flags
END
}

# Print the image of variant $2 ("whole" for none) for architecture $1.
image() {
	if [ "$2" = whole ]; then
		KEEP_OBJ=1 sh "$here/build.sh" "$1"
	else
		sh "$here/build.sh" "$1" --variant "$2"
	fi
}

# Whether the check of the bitmap ends in a load barrier, in the code of $1.
barrier() {
	if grep -q 'dmb.*ish' "${1%/*}/userfault.dis"; then
		echo 'ok barrier'
	else
		echo 'not ok barrier: nothing orders the check of the bitmap'
	fi
}

# Run the suite on variant $1 for $2 with host arguments $3, once; its output is
# then in $log.
suite() {
	log=$logs/$1-$2-$3
	[ ! -e "$log" ] || return 0
	kernel=$(image "$2" "$1") || return
	args=
	[ "$3" = - ] || args="--append $3"
	{
		[ "$2" != arm64 ] || barrier "$kernel"
		# shellcheck disable=SC2086 # two words or none
		KERNEL=$kernel sh "$here/../conformance/run.sh" "$2" $args
		echo "# exit status $?"
	} >"$log.tmp" 2>&1
	mv "$log.tmp" "$log"
}

# Print one line of the table, and count what is not as it should be.
line() {
	if ! suite whole "$2" "$3" || ! suite "$1" "$2" "$3"; then
		failed=1
		printf '%-14s %-6s %-14s no kernel\n' "$1" "$2" "$3"
		return
	fi
	whole=$logs/whole-$2-$3
	others=$(grep -c '^not ok' "$log")
	seen='NOT SEEN'
	if ! grep -q "^ok $4\$" "$whole"; then
		seen='FAILS ON THE WHOLE KERNEL'
	elif grep -q "^not ok $4:" "$log"; then
		seen="seen; $others cases fail"
	fi
	case $seen in seen*) ;; *) failed=1 ;; esac
	printf '%-14s %-6s %-14s %-28s %s\n' "$1" "$2" "$3" "$4" "$seen"
	sed -n "s#^not ok $4: #    #p" "$log"
}

if [ "${1-}" = --clean ]; then
	rm -rf "$(rig_cache)"/kernel/work-* "$logs"
	exit
fi
rm -rf "$logs"
mkdir -p "$logs"
printf '%-14s %-6s %-14s %-28s %s\n' variant arch 'host kernel' case result
# Not in a subshell: the count of failures is needed after it.
while read -r variant arch args case; do
	[ $# -eq 0 ] || case " $* " in *" $variant "*) ;; *) continue ;; esac
	line "$variant" "$arch" "$args" "$case" </dev/null
done <<END
$(table)
END
for log in "$logs"/whole-*; do
	if ! grep -q '^# exit status 0' "$log"; then
		failed=1
		echo "the whole kernel does not pass: $log"
		grep '^not ok' "$log"
	fi
done
echo "the suite's output is in $logs"
exit $failed
