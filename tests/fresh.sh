#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# fresh.sh - the README's two commands on a bare Debian 12, from an empty cache.
# Makes a minimal system with debootstrap in a temporary directory, clones the
# committed state of the checkout into it, and runs there, as after a login,
#
#	sh quickstart.sh
#	sh tests/run.sh
#
#	fresh.sh				both
#	fresh.sh [quickstart] [STAGE...]	only these; STAGE as for run.sh
#
#	--cache DIR	keep what the run fetches and builds (~/.cache/thaw there)
#			in DIR, for the next one: a quicker check, and not a whole one
#	--shell		at the end a shell in that system, on this terminal
#
# The system has /dev, /proc and /sys of this machine, and the Debian mirror,
# proxies, certificates and keys of its apt configuration; nothing else.  It is in
# a mount and a process namespace: when this script ends, in any way, nothing is
# mounted, and nothing runs.  It needs root, git, wget, some 15 GB for a whole run
# in $TMPDIR (default: /var/tmp), and an hour; THAW_TEST_MINUTES= gives a busy
# machine more than run.sh's own limit.  Logs stay in build-tests/fresh/.
#
# Exit status: 0 when both commands succeeded; 1 when one failed; 77 when such a
# system cannot be made here; 64 for a usage error.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
. "$here/rig/apt.sh"
release=bookworm
# Of root, in that system.
home=/root

# Say why this cannot run, and leave.
skip() {
	echo "fresh: $*" >&2
	exit 77
}

# Inside the namespaces, as their process 1: mount at $root what a system has.
mount_all() {
	mount --bind "$root" "$root"
	mount --rbind /dev "$root/dev"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	[ -z "$cache" ] || mount --bind "$cache" "$root$home/.cache/thaw"
}

# Run a command in the system, as after a login of root.  Its root is the one of a
# mount namespace: in a chroot a program may not make namespaces of its own.
login() {
	unshare --mount --propagation private sh -c 'cd "$0" && pivot_root . mnt &&
		cd / && umount -l /mnt && exec /usr/bin/env -i "$@"' "$root" \
		HOME=$home USER=root LOGNAME=root \
		SHELL=/bin/bash LANG=C.UTF-8 "TERM=${TERM:-dumb}" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		${http_proxy:+"http_proxy=$http_proxy"} \
		${https_proxy:+"https_proxy=$https_proxy"} \
		${no_proxy:+"no_proxy=$no_proxy"} \
		${THAW_TEST_MINUTES:+"THAW_TEST_MINUTES=$THAW_TEST_MINUTES"} \
		/bin/sh -c "cd $home/thaw && $1"
}

# Run one of the README's commands, $2, as $1: its output is shown and kept, its
# status and its seconds are in files.
command_of_readme() {
	began=$(date +%s)
	echo "== fresh: $2"
	{
		rc=0
		login "$2" </dev/null || rc=$?
		echo $rc >"$logs/$1.status"
	} 2>&1 | tee "$logs/$1.log"
	echo $(($(date +%s) - began)) >"$logs/$1.seconds"
}

# What runs inside the namespaces.
inside() {
	mount_all
	[ -z "$quickstart" ] || command_of_readme quickstart 'sh quickstart.sh'
	[ -z "$tests" ] || command_of_readme tests "sh tests/run.sh$stages"
	[ -z "$shell" ] || login 'exec bash -l' || :
}

# Write the machine's settings of apt's downloads to $1, without its hooks.
apt_settings() {
	apt-config dump | grep -e '^Acquire::' | grep -v '^Acquire::IndexTargets' >"$1"
}

# Copy to $root those files that are named, in quotes, in apt's settings $1 (keys
# and certificates), and what sources refer to.
copy_keys() {
	for f in $(sed -n 's/.*"\(\/[^"]*\)".*/\1/p' "$1") /etc/apt/auth.conf \
		/etc/apt/auth.conf.d/* /etc/apt/keyrings/* \
		/etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/* \
		$(sed -n 's/^Signed-By: *\(\/.*\)/\1/p' "$2") \
		/etc/ssl/certs/ca-certificates.crt /etc/resolv.conf /etc/hosts; do
		[ -f "$f" ] || continue
		mkdir -p "$root${f%/*}"
		cp -L "$f" "$root$f"
	done
}

# Run a command in namespaces of its own, with the terminal as its input.  In the
# background, so that a signal is handled at once; `--kill-child' and the signal at
# the end of the parent see to it that nothing survives this script.
isolated() {
	# shellcheck disable=SC2086 # a list of words
	setpriv --pdeathsig KILL $isolate "$@" <&3 3<&- &
	child=$!
	status=0
	wait $child || status=$?
	child=''
	return $status
}

# Make the system in $root, from the machine's own mirror.
make_system() {
	tools=$(rig_cache)/tools/debootstrap
	[ -e "$tools" ] || rig_deb "$(rig_codename)" \
		"$(dpkg --print-architecture)" debootstrap "$tools" ||
		skip "debootstrap does not download"
	{
		rig_apt_sources $release
		rig_apt_sources $release-updates
	} >"$work/debian.sources"
	mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' "$work/debian.sources" | head -n 1)
	key=$(sed -n 's/^Signed-By: *\(\/.*\)/\1/p' "$work/debian.sources" | head -n 1)
	[ -n "$mirror" ] || skip "apt on this machine has no Debian mirror"
	apt_settings "$work/settings"
	proxy=$(sed -n 's/^Acquire::http::Proxy "\(.*\)";/\1/p' "$work/settings")
	: "${http_proxy:=$proxy}"
	[ -z "$http_proxy" ] || export http_proxy
	# It mounts things, so it is isolated too.
	isolated env "DEBOOTSTRAP_DIR=$tools/usr/share/debootstrap" \
		sh "$tools/usr/sbin/debootstrap" --variant=minbase \
		${key:+--keyring="$key"} $release "$root" "$mirror" \
		>"$logs/debootstrap.log" 2>&1 || {
		tail -n 5 "$logs/debootstrap.log" >&2
		skip "debootstrap failed: see $logs/debootstrap.log"
	}
	rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
	cp "$work/debian.sources" "$root/etc/apt/sources.list.d/"
	cp "$work/settings" "$root/etc/apt/apt.conf.d/90machine"
	copy_keys "$work/settings" "$work/debian.sources"
	mkdir -p "$root$home/.cache/thaw"
	git clone -q --no-hardlinks "$top" "$root$home/thaw"
}

# The result of command $1 of those above, in a few words.
result_of() {
	[ -e "$logs/$1.status" ] || {
		echo "$1 did not run"
		return
	}
	case $1-$(cat "$logs/$1.status") in
	quickstart-0) said=passed ;;
	quickstart-*) said="failed ($(tail -n 1 "$logs/$1.log"))" ;;
	*) said=$(tail -n 1 "$logs/$1.log") ;;
	esac
	echo "$1: $said, $(cat "$logs/$1.seconds") s"
}

# Whether command $1 ran and succeeded.
succeeded() {
	[ "$(cat "$logs/$1.status" 2>/dev/null)" = 0 ]
}

# End the namespaces, and with them all in there; remove the system.
clean_up() {
	if [ -n "$child" ]; then
		kill -s KILL "$child" 2>/dev/null || :
		wait "$child" 2>/dev/null || :
	fi
	rm -rf --one-file-system "$work"
}

quickstart='' tests='' stages='' cache='' shell=''
if [ "${1-}" = --inside ]; then
	root=$2 logs=$3 quickstart=$4 tests=$5 stages=$6 cache=$7 shell=$8
	inside
	exit
fi
while [ $# -gt 0 ]; do
	case $1 in
	--cache) cache=${2:?--cache needs a directory}; shift ;;
	--shell) shell=1 ;;
	quickstart) quickstart=1 ;;
	gcc | clang | sanitize | thread | arm64 | rig | x86-rig | arm64-rig)
		tests=1 stages="$stages $1"
		;;
	*) sed -n '4,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0" >&2; exit 64 ;;
	esac
	shift
done
[ -n "$quickstart$tests$shell" ] || quickstart=1 tests=1
[ "$(id -u)" = 0 ] || skip "this needs root"
for tool in git wget unshare setpriv dpkg-deb; do
	command -v $tool >/dev/null || skip "no $tool here"
done
isolate='unshare --mount --propagation private --pid --fork --kill-child'
why=$($isolate true 2>&1) || skip "no namespaces: $why"
[ -z "$cache" ] || { mkdir -p "$cache" && cache=$(cd "$cache" && pwd); }
[ -z "$(git -C "$top" status --porcelain 2>&1)" ] ||
	echo "fresh: what is not committed is not tested" >&2

umask 022
exec 3<&0 </dev/null
child=''
work=$(mktemp -d "${TMPDIR:-/var/tmp}/thaw-fresh.XXXXXX")
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work"
root=$work/root
logs=$top/build-tests/fresh
{ mkdir -p "$logs" && rm -rf "$logs" && mkdir -p "$logs"; } 2>/dev/null ||
	logs=$(mktemp -d "${TMPDIR:-/var/tmp}/thaw-fresh-logs.XXXXXX")
echo "== fresh: a bare Debian 12 ($release)"
make_system
rc=0
isolated sh "$0" --inside "$root" "$logs" "$quickstart" "$tests" "$stages" \
	"$cache" "$shell" || rc=$?
cp -r "$root$home/thaw/build-tests/logs" "$logs/run" 2>/dev/null || :
[ "$rc" -eq 0 ] || echo "fresh: the namespaces ended with status $rc" >&2

line=''
[ -z "$quickstart" ] || line="$(result_of quickstart); "
[ -z "$tests" ] || line="$line$(result_of tests); "
for name in quickstart tests; do
	[ ! -e "$logs/$name.log" ] || {
		echo "== fresh: the last lines of $name"
		tail -n 3 "$logs/$name.log"
	}
done
[ -z "$quickstart" ] || succeeded quickstart || rc=1
[ -z "$tests" ] || succeeded tests || rc=1
[ "$rc" -eq 0 ] || rc=1
echo "fresh: ${line}logs are in $logs"
exit $rc
