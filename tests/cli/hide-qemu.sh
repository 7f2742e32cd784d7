#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# hide-qemu.sh - in the rig no installed QEMU is visible: hide-qemu covers a
# program of that name and the firmware, for its command alone, and passes the
# arguments and the exit status on.
#
#	hide-qemu.sh HIDE_QEMU
hide=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/thaw-hide.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT

# End the test: it failed, for this reason.
fail() {
	echo "$*"
	exit 1
}

sh "$hide" --check 2>"$work/why" || { cat "$work/why"; exit 77; }
printf '#!/bin/sh\necho installed\n' >"$work/qemu-system-x86_64"
chmod 755 "$work/qemu-system-x86_64"
PATH=$work:$PATH
firmware=
for dir in /usr/share/qemu /usr/share/seabios; do
	[ ! -d "$dir" ] || firmware="$firmware $dir"
done

# shellcheck disable=SC2016 # for the other shell
sh "$hide" sh -c '
	command -v qemu-system-x86_64 && exit 1
	[ -z "$1" ] || [ -z "$(ls $1 | grep -v : | grep .)" ] || exit 2
	[ "$2" = "two words" ] || exit 3
	exit 42' sh "$firmware" "two words" >"$work/out" 2>&1
rc=$?
[ $rc -eq 42 ] || fail "status $rc, not 42: $(cat "$work/out")"
[ "$(qemu-system-x86_64)" = installed ] || fail "it is gone outside as well"
! grep -q "$work" /proc/self/mounts || fail "a mount is left"
