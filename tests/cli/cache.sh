#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# thaw cache: the list and the removal of what thaw exec keeps. The entries are
# made by hand.
. "$(dirname "$0")/lib.sh"
XDG_CACHE_HOME=$work/cache
export XDG_CACHE_HOME
dir=$XDG_CACHE_HOME/thaw/exec
one=$(printf '%064d' 1)
two=$(printf '%064d' 2)

# Make entry $1 with the description $2 and $3 KiB.
entry() {
	mkdir -p "$dir/$1/snapshot"
	chmod 700 "$XDG_CACHE_HOME/thaw" "$dir"
	printf '%s\n' "$2" >"$dir/$1/description"
	dd if=/dev/urandom of="$dir/$1/snapshot/memory" bs=1024 count="$3" \
		2>/dev/null
	: >"$dir/$1/lock"
}

# Read standard output as JSON, and check the expression $1 of its value v.
is_json() {
	python3 -c 'import json, sys
v = json.load(open(sys.argv[1]))
sys.exit(not eval(f"({sys.argv[2]})"))' "$work/out" "$1" || fail "not so: $1"
}

refuses 64 'grow is neither list nor clear' cache grow
refuses 64 'cache' cache
refuses 64 'two: unexpected argument' cache list two

# Without a cache: nothing to list, and none is created.
shows '^0 snapshots, 0\.0 MiB of at most 4096\.0 MiB$' cache list
shows '^removed 0 snapshots, 0 unfinished, 0\.0 MiB; 0 in use$' \
	cache clear
shows '"snapshots": \[\]' cache list --json
[ ! -e "$XDG_CACHE_HOME" ] || fail 'thaw cache list creates a directory'

entry "$one" 'Linux 6.1, 1 vCPU' 2048
entry "$two" 'Linux 6.12, 2 vCPUs' 1024
touch -d '2 hours ago' "$dir/$one"
shows '^KEY +LAST USED +SIZE +DESCRIPTION$' cache list
shows '^000000000000  2 h ago  +2\.0 MiB  Linux 6\.1, 1 vCPU$' cache list
shows '^000000000000  [0-9]+ (s|min) ago  +1\.0 MiB  Linux 6\.12, 2 vCPUs$' \
	cache list
shows '^2 snapshots, 3\.0 MiB of at most 4096\.0 MiB$' cache list
run cache list --json
is_json '[s["description"] for s in v["snapshots"]] ==
	["Linux 6.12, 2 vCPUs", "Linux 6.1, 1 vCPU"]'
is_json "v['snapshots'][1]['key'] == '$one' and v['limit_bytes'] == 4 << 30"
is_json "v['path'] == '$dir'"
is_json '2 << 20 <= v["snapshots"][1]["size_bytes"] < 3 << 20'

# A name is not printed as it is, and files of others are not touched.
printf 'evil\033[2Jname\n' >"$dir/$two/description"
shows 'evil\?\[2Jname$' cache list
: >"$dir/notes"

# One in use stays.
mkfifo "$work/held" "$work/release"
python3 - "$dir/$one/lock" "$work/held" "$work/release" <<'EOP' &
import fcntl, sys
lock = open(sys.argv[1])
fcntl.lockf(lock, fcntl.LOCK_SH)
open(sys.argv[2], 'w').close()
open(sys.argv[3]).close()
EOP
: <"$work/held"
shows '^000000000000  in use  +2\.0 MiB' cache list
run cache list --json
is_json '[s["in_use"] for s in v["snapshots"]] == [False, True]'
shows '^removed 1 snapshot, 0 unfinished, 1\.0 MiB; 1 in use$' \
	cache clear
[ -e "$dir/$one/snapshot/memory" ] || fail 'removed a snapshot in use'
[ ! -e "$dir/$two" ] || fail 'a snapshot that is not in use remains'
: >"$work/release"
wait
mkdir "$dir/$two.new"
run cache clear --json
is_json 'v["removed"] == 1 and v["removed_unfinished"] == 1 and
	v["in_use"] == 0 and 2 << 20 <= v["removed_bytes"] < 3 << 20'
[ "$(ls "$dir")" = notes ] || fail "left in the cache: $(ls "$dir")"

# Not used if another user can write to it.
chmod 770 "$dir"
refuses 70 'exec: not used: .*another user' cache list
refuses 70 'exec: not used: .*another user' cache clear
finish
