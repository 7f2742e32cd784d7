#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# deps.sh - installs what cross/aarch64-linux-gnu.ini builds with: Debian's
# cross compiler, the arm64 packages of the libraries, and qemu-user for the
# unit tests.  Does nothing if all of them are installed.
#
#	deps.sh			install what is missing (needs root)
#	deps.sh --check		list what is missing; 1 if anything is
#
# libfdt-dev cannot be installed for two architectures at once.  The host's package
# is installed, for its header and for tests, and only the static library of the
# arm64 package, in the directory where the cross compiler looks for it.
#
# Exit status: 0 done; 1 something is missing and was not installed; 77 not a
# Debian system.
set -eu

packages='gcc-aarch64-linux-gnu libc6-dev:arm64 libfdt-dev zlib1g-dev:arm64
	libzstd-dev:arm64 libcmocka-dev:arm64 qemu-user-static'
libfdt=/usr/lib/aarch64-linux-gnu/libfdt.a

# Print those of the packages $@ that are not installed.
missing() {
	for p; do
		case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
		'install ok installed') ;;
		*) echo "$p" ;;
		esac
	done
}

# Download the arm64 package of libfdt and install its static library.
install_libfdt() {
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	chmod 755 "$dir"
	(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download \
		libfdt-dev:arm64)
	dpkg-deb -x "$dir"/libfdt-dev_*_arm64.deb "$dir/tree"
	install -D -m 644 "$dir/tree/usr/lib/aarch64-linux-gnu/libfdt.a" \
		"$libfdt"
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "deps: not a Debian system: install an arm64 cross compiler, libc" \
		"and libfdt by hand" >&2
	exit 77
fi

# shellcheck disable=SC2086 # this is a list of words
lacks=$(missing $packages)
[ -e "$libfdt" ] || lacks="$lacks libfdt.a:arm64"
[ -n "$lacks" ] || exit 0
if [ "${1-}" = --check ] || [ "$(id -u)" != 0 ]; then
	echo "deps: not installed: $(echo "$lacks" | tr '\n' ' ')" >&2
	echo "deps: run sh cross/deps.sh as root" >&2
	exit 1
fi

DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
dpkg --print-foreign-architectures | grep -qx arm64 ||
	dpkg --add-architecture arm64
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq -y --no-install-recommends install $packages >/dev/null
[ -e "$libfdt" ] || install_libfdt
