#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# With the last page in, the gates are taken away and memory that arrived in
# pieces is made of large pages again.
. "$(dirname "$0")/guest-lib.sh"

thp=/sys/kernel/mm/transparent_hugepage/enabled
[ -r "$thp" ] || skip "this kernel has no transparent large pages"
case $(cat "$thp") in
*'[never]'*) skip "transparent large pages are switched off" ;;
esac
run --pager=uffd -m 64M
if [ "$status" -eq 70 ] && grep -q -e '--pager=uffd' "$work/err"; then
	skip "$(cat "$work/err")"
fi
expect_status 0

# The answer of the machine to verb $1, nothing when it does not answer.
ask() {
	"$thaw" ctl "$work/control" "$@" 2>/dev/null
}

# KiB of large pages in guest memory of process $1: in the mappings that are too
# large to be anything else.
large_kib() {
	awk '/^Size:/ { size = $2 }
		/^AnonHugePages:/ && size >= 32768 { large += $2 }
		END { print large + 0 }' "/proc/$1/smaps" 2>/dev/null || echo 0
}

# Wait until "$@" is true; a minute is a long time.
wait_for() {
	left=600
	until "$@"; do
		left=$((left - 1))
		[ "$left" -gt 0 ] && kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.1
	done
}

none_absent() {
	ask stats | grep -q '"absent_bytes":0,'
}

are_large() {
	[ "$(large_kib "$pid")" -gt 0 ]
}

# 64 MiB of signatures, of which the guest looks at none.
"$guests/../tests/kvm/guest-signature" 16384 >"$work/initrd" || exit 99
echo "--- a guest that stays"
"$thaw" run --pager=uffd --prefault=full -m 256M -k "$(guest chain)" \
	-i "$work/initrd" -p "steps=0 period=1000000" --control="$work/control" \
	</dev/null >"$work/out" 2>"$work/err" &
pid=$!
trap 'kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
if ! wait_for none_absent; then
	fail "pages stay absent: $(ask stats)"
elif ! wait_for are_large; then
	awk '/^[0-9a-f]+-[0-9a-f]+ / { name = $1 }
		/^Size:/ { size = $2 }
		/^(Rss|AnonHugePages|THPeligible|VmFlags):/ && size >= 32768 {
			print name, $0
		}' "/proc/$pid/smaps"
	fail "no large pages; memory is fragmented: $(cat /proc/buddyinfo)"
else
	echo "# $(large_kib "$pid") KiB of large pages"
fi
ask quit >/dev/null
wait "$pid"
status=$?
expect_status 0
finish
