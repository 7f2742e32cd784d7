#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# deps.sh - installs what the project is built and tested with, where that is
# missing: as root on Debian and its kin; elsewhere it says what is missing.
#
#	deps.sh [GROUP...]	build (default), test, rig
#	deps.sh --check [GROUP...]	only say what is missing
#
# Looks for the tools themselves, not for packages, so that a Meson from
# elsewhere counts.  Exit status: 0 all is there; 1 something is missing.
set -eu

# What to look for, and Debian's package of it: a command, a header with h:.
build='meson=meson ninja=ninja-build cc=gcc pkg-config=pkg-config
	h:stdio.h=libc6-dev h:linux/kvm.h=linux-libc-dev'
case $(uname -m) in
aarch64) build="$build h:libfdt.h=libfdt-dev" ;;
esac
test='h:cmocka.h=libcmocka-dev h:liburing.h=liburing-dev clang=clang
	clang-format-14=clang-format-14 clang-tidy=clang-tidy objdump=binutils mandoc=mandoc iasl=acpica-tools
	dtc=device-tree-compiler mke2fs=e2fsprogs python3=python3
	shellcheck=shellcheck strace=strace ip=iproute2'
rig='make=make patch=patch flex=flex bison=bison bc=bc h:libelf.h=libelf-dev
	h:openssl/ssl.h=libssl-dev xz=xz-utils bzip2=bzip2 lz4=lz4 zstd=zstd
	perl=perl rsync=rsync flock=util-linux mke2fs=e2fsprogs
	cpio=cpio x86_64-linux-gnu-gcc=gcc-x86-64-linux-gnu
	aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu'

# Whether $1, as above, is there.
has() {
	case $1 in
	h:*)
		command -v cc >/dev/null &&
			echo "#include <${1#h:}>" | cc -E -x c - >/dev/null 2>&1
		;;
	mke2fs) command -v mke2fs >/dev/null || [ -x /sbin/mke2fs ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# Set $names and $packages to what of list $1 is missing.
look() {
	for pair in $1; do
		if ! has "${pair%%=*}"; then
			names="$names ${pair%%=*}"
			packages="$packages ${pair#*=}"
		fi
	done
}

check=''
if [ "${1-}" = --check ]; then
	check=1
	shift
fi
[ $# -gt 0 ] || set -- build
names='' packages=''
for group; do
	case $group in
	build) look "$build" ;;
	test) look "$test" ;;
	rig) look "$rig" ;;
	*) echo "deps: no such group: $group" >&2; exit 64 ;;
	esac
done
[ -n "$names" ] || exit 0

if [ -n "$check" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "deps: missing:$names" >&2
	echo "deps: Debian's packages are:$packages" >&2
	exit 1
fi
echo "deps: installing$packages" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND

# Install packages $@ quietly; on failure the log tells.
install() {
	apt-get -y --no-install-recommends -o Acquire::Retries=3 \
		-o DPkg::Lock::Timeout=300 install "$@" </dev/null >"$log" 2>&1
}

apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update \
	</dev/null >"$log" 2>&1 || tail -n 5 "$log" >&2
# shellcheck disable=SC2086 # a list of words
if ! install $packages; then
	tail -n 5 "$log" >&2
	# One that this release lacks must not cost the others.
	for package in $packages; do
		install "$package" || echo "deps: cannot install $package" >&2
	done
fi
names=''
for group; do
	case $group in
	build) look "$build" ;;
	test) look "$test" ;;
	rig) look "$rig" ;;
	esac
done
[ -z "$names" ] || {
	echo "deps: still missing:$names" >&2
	exit 1
}
