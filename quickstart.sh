#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# quickstart.sh - from a fresh checkout to a running guest: installs missing
# packages (as root on Debian; otherwise lists them), builds, probes this
# machine's KVM, boots the embedded guest, and saves and restores another.
#
# Exit status: 0 if the guests ran; otherwise 1, after an error message.
set -eu
cd "$(dirname "$0")"
exec </dev/null

# Print an error message and exit.
fail() {
	printf 'quickstart: %s\n' "$@" >&2
	exit 1
}

echo '== Tools'
sh tests/deps.sh build || fail 'install the packages above, then run this again'
echo 'all installed'

echo '== Build'
build=build
work=$(mktemp -d)
log=$work/log
guest=
trap '[ -z "$guest" ] || kill "$guest" 2>/dev/null || :; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ! [ -e $build/build.ninja ]; then
	meson setup -Dtests=false -Dbuildtype=release $build >"$log" 2>&1 ||
		{ tail -n 20 "$log" >&2; fail 'meson setup failed'; }
fi
case $(uname -m) in
x86_64) answer=guest/answer.elf ;;
*) answer=guest/answer.image ;;
esac
ninja -C $build thaw $answer >"$log" 2>&1 ||
	{ tail -n 20 "$log" >&2; fail 'the build failed'; }
thaw=$build/thaw
echo "$thaw, $("$thaw" version)"

echo '== This machine'
if ! [ -e /dev/kvm ]; then
	fail 'no /dev/kvm: this machine cannot run guests.' \
		'On hardware: enable virtualization in the firmware and' \
		'load the module (modprobe kvm_intel, or kvm_amd).' \
		'In a virtual machine: nested virtualization must be allowed.' \
		'In a container: pass the device in (--device /dev/kvm).'
fi
if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
	fail "user $(id -un) cannot open /dev/kvm: join its group" \
		"($(stat -c %G /dev/kvm)), or run this as root."
fi
"$thaw" probe >"$log" || fail "this machine's KVM cannot run a guest"
sed -n '/^Host:/,/^$/p; /^Pager:/,/^$/p' "$log"

echo '== A guest'
"$thaw" run || fail 'the guest failed'

echo '== A guest is saved and restored with demand paging'
"$thaw" run -k $build/$answer -p pages=4096 --control "$work/control" \
	>"$work/console" &
guest=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	! grep -q ready "$work/console" || break
	kill -0 $guest 2>/dev/null || fail 'the guest ended early'
	sleep 0.5
done
"$thaw" snapshot --stop "$work/control" "$work/snapshot" >"$log" ||
	fail 'the guest could not be saved'
wait $guest || fail 'the guest failed'
guest=
du -sh "$work/snapshot" | sed "s|$work/||; s/^/saved: /"
printf q | "$thaw" restore --stats "$work/snapshot" ||
	fail 'the guest could not be restored'

cat <<EOT

== What next
  $thaw probe                 show what this machine supports
  $thaw run -k vmlinuz -i initrd.img -d disk.img
                                   boot Linux; Ctrl-A x ends it
  $thaw help restore          restore a saved guest
  $thaw help run              all options
  sh tests/run.sh                  all tests
EOT
