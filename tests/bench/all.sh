#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# all.sh - makes the tables of doc/performance.md, one after the other: some twenty
# minutes on this machine's /dev/kvm.  With --rig also those of the emulated hosts,
# which take hours.
#
#	all.sh [--rig]
#
# Needs the programs in build/.  A benchmark that fails is named at the end, and the
# status is 1 then.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=

# Run benchmark $1 with arguments $2...
bench() {
	printf '\n== %s\n\n' "$*"
	name=$1
	shift
	python3 "tests/bench/$name.py" "$@" || failed="$failed $name"
}

bench restore --rounds 5
printf '\n== fill\n\n'
build/tests/bench/bench-fill "${TMPDIR:-/var/tmp}" || failed="$failed fill"
bench pager --markdown --pairs 5 --pages 8192 --run-pages 1,16,32,64,128,256 \
	--pagers uffd,eager --memory anon
bench disk
bench live
if [ "${1-}" = --rig ]; then
	for arch in x86 arm64; do
		bench restore_rig $arch --rounds 3
	done
	bench net_rig --rounds 1
	bench share_rig --rounds 2 --mib 64 --files 1000
fi
[ -z "$failed" ] || echo "failed:$failed" >&2
[ -z "$failed" ]
