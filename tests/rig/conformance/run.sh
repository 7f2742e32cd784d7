#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh - the conformance suite on the rig's kernel.
#
#	run.sh x86|arm64 [--append ARGS] [PATTERN...]
#
# Builds the suite for that architecture, runs it in the rig, and ends with its
# status.  ARGS go to the host kernel: on x86, kvm_amd.npt=0 is the shadow MMU
# and kvm.tdp_mmu=0 the older MMU of nested paging.  KERNEL=IMAGE judges another
# kernel than the rig's own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../apt.sh"

arch=${1-}
case $arch in
x86) cc=${CC_X86:-x86_64-linux-gnu-gcc} ;;
arm64) cc=${CC_ARM64:-aarch64-linux-gnu-gcc} ;;
*)
	echo "usage: run.sh x86|arm64 [--append ARGS] [PATTERN...]" >&2
	exit 64
	;;
esac
shift
append=
if [ "${1-}" = --append ] && [ $# -ge 2 ]; then
	append=$2
	shift 2
fi

cd "$here"
command -v "$cc" >/dev/null || {
	echo "conformance: no $cc to build the suite with" >&2
	exit 77
}
src="main.c machine.c case-exit.c case-slot.c case-dirty.c case-race.c"
src="$src $arch.c guest-$arch.S"
exe=$(rig_cache)/conformance/$arch-$(cat ./*.h ./*.c ./*.S | cksum | cut -d' ' -f1)
if ! [ -e "$exe" ]; then
	mkdir -p "${exe%/*}"
	# shellcheck disable=SC2086 # a list of words
	"$cc" -std=gnu11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -static \
		-pthread -o "$exe.$$" $src
	mv "$exe.$$" "$exe"
fi
exec sh ../rig "$arch" --no-thaw ${append:+--append "$append"} --timeout 600 \
	--file "$exe:/rig/bin/userfault-conformance" -- \
	userfault-conformance "$@"
