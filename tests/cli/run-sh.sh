#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run-sh.sh - tests/run.sh itself, in a checkout in which all that it starts is a
# stand-in: the kernels are built in the background once, before their rigs; two
# rigs report whole lines and the last line counts them; everything starts from a
# known state; an interrupt ends it, the builds too, with the signal's status.
#
#	run-sh.sh RUN_SH
work=$(mktemp -d "${TMPDIR:-/tmp}/thaw-run.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# End the test: it failed, for this reason.
fail() {
	echo "$*"
	cat "$work/out" 2>/dev/null
	exit 1
}

# Make program $1 of the checkout out of standard input.
program() {
	mkdir -p "$work/${1%/*}"
	{
		echo '#!/bin/sh'
		cat
	} >"$work/$1"
}

# Wait until command $@ succeeds; fail after some time.
await() {
	tries=600
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || fail "timed out: $*"
		sleep 0.1
	done
}

mkdir -p "$work/tests"
cp "$1" "$work/tests/run.sh"
for name in tests/deps.sh cross/deps.sh tests/rig/rig tests/rig/fetch.sh; do
	program $name </dev/null
done
program tests/rig/hide-qemu <<'EOT'
exec "$@"
EOT
# Says what it was started from, and takes as long as the file `block' exists.
program tests/rig/kernel/build.sh <<EOT
if mkdir "$work/built-\$1" 2>/dev/null; then
	{
		echo "nice \$(nice)"
		echo "umask \$(umask)"
		echo "files \$(ulimit -S -n)"
		echo "variable \${CDPATH-}\${THAW-}"
		sh -c 'kill -HUP \$\$; echo HUP is ignored'
	} >"$work/state-\$1"
	echo \$\$ >"$work/pid-\$1"
	while [ -e "$work/block" ]; do sleep 0.1; done
fi
echo image
EOT
program tests/rig/conformance/run.sh <<'EOT'
echo "ok case"
EOT
program tests/rig/run-cases <<'EOT'
case $* in *--prepare*) exit ;; esac
i=0
while [ $i -lt 20 ]; do
	echo "ok case-$1-$i-with-a-long-name"
	i=$((i + 1))
done
echo "not ok broken: a reason"
exit 1
EOT

program tests/rig/portable <<'EOT'
echo "ok portable"
EOT

# All of it, from a bad state.
(
	trap '' HUP
	umask 077
	ulimit -S -n 100
	CDPATH=/ THAW=/nowhere sh "$work/tests/run.sh" rig >"$work/out" 2>&1
)
rc=$?
[ $rc -eq 1 ] || fail "status $rc, not 1"
last=$(tail -n 1 "$work/out")
[ "$last" = "68 passed, 3 failed, 0 skipped" ] || fail "the last line is: $last"
for arch in x86 arm64; do
	[ "$(grep -c -x "ok rig-$arch case-$arch-[0-9]*-with-a-long-name" \
		"$work/out")" -eq 20 ] || fail "lines of $arch are not whole"
	printf 'nice %d\numask 0022\nfiles 1024\nvariable \n' \
		$(($(nice) + 10)) | cmp - "$work/state-$arch" ||
		fail "started from: $(cat "$work/state-$arch")"
done

# An interrupt in the middle of a build.
rm -rf "$work"/built-* "$work"/pid-*
: >"$work/block"
sh "$work/tests/run.sh" rig >"$work/out" 2>&1 &
run=$!
await [ -s "$work/pid-x86" ]
kill -TERM $run
rc=0
wait $run 2>/dev/null || rc=$?
[ $rc -eq 143 ] || fail "status $rc after SIGTERM, not 143"
! grep -q '^State:.[^Z]' "/proc/$(cat "$work/pid-x86")/status" 2>/dev/null ||
	fail "the build goes on"
