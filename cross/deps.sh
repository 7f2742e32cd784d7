#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# deps.sh - installs what cross/aarch64-linux-gnu.ini builds with: Debian's
# cross compiler, the arm64 packages of the libraries, and qemu-user for the
# unit tests.  Does nothing when all of it is there.
#
#	deps.sh			install what is missing (needs root)
#	deps.sh --check		only say what is missing; 1 when something is
#
# Exit status: 0 done; 1 something is missing and was not installed; 77 this is
# no Debian machine.
set -eu

# What a build cannot do without, then what makes it complete.
needed='gcc-aarch64-linux-gnu libc6-dev:arm64 libfdt-dev:arm64'
wanted='zlib1g-dev:arm64 libzstd-dev:arm64 libcmocka-dev:arm64 qemu-user-static'

# Print those of the packages $@ that are not installed.
missing() {
	for p; do
		case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
		'install ok installed') ;;
		*) echo "$p" ;;
		esac
	done
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
	echo "deps: no Debian machine: install an arm64 cross compiler, libc" \
		"and libfdt by hand" >&2
	exit 77
}

# shellcheck disable=SC2086 # these are lists of words
lacks=$(missing $needed $wanted)
[ -n "$lacks" ] || exit 0
if [ "${1-}" = --check ] || [ "$(id -u)" != 0 ]; then
	echo "deps: not installed:" $lacks >&2
	echo "deps: as root: dpkg --add-architecture arm64 && apt-get update" \
		"&& apt-get install" $lacks >&2
	exit 1
fi

dpkg --print-foreign-architectures | grep -qx arm64 ||
	dpkg --add-architecture arm64
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq -y --no-install-recommends install $lacks
