#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# thaw exec: options that make no sense, and files that are not there.  No guest
# runs.
. "$(dirname "$0")/lib.sh"

refuses 125 'missing .*COMMAND' exec
refuses 125 'missing .*COMMAND' exec --
refuses 125 '--frobnicate: unknown option' exec --frobnicate true
refuses 125 '--tty and --no-tty' exec -t -T true
refuses 125 '--kernel and --kernel-version' \
	exec -k "$work/x" --kernel-version 6.1 true
refuses 125 '--timeout: soon is not a duration' exec --timeout soon true
refuses 125 '--timeout: "" is not a duration' exec --timeout= true
refuses 125 '--timeout: 9999999h is too long' exec --timeout 9999999h true
refuses 125 '--snapshot: unknown value never' \
	exec --snapshot never true
refuses 125 '--hang-timeout: 0 is too short' exec --hang-timeout 0 true
refuses 125 '--mem: 1M is too small' exec -m 1M true
refuses 125 '--cpus: 0 is out of range' exec -c 0 true
refuses 125 '--env "": missing variable name' exec -e '' true
refuses 125 '--env =x: missing variable name' exec -e =x true
refuses 125 '--workdir tmp: not an absolute path' exec -w tmp true
refuses 125 'share .*what: bad option' exec --root /,what true
refuses 125 'share .*what: bad option' exec --rw "$work,what" true
refuses 125 'tag root is used twice' exec --share "$work:root" true
refuses 125 'tag rw is used twice' exec --rw "$work" --share "$work:rw" true
refuses 125 '--rw .*/none: No such file' exec --rw "$work/none" true
refuses 125 '--result .*/none/x: No such file' exec --result "$work/none/x" true
refuses 125 '--console .*/none/x: No such file' \
	exec --console "$work/none/x" true
refuses 125 'none: No such file' exec -w / -k "$work/none" true
refuses 125 'no such user' exec --user no-such-name true
refuses 125 'no such group' exec --user 0:no-such-name true
refuses 125 '4294967295: no such user' exec --user 4294967295 true

# Users are those of the root directory, and no link leads out of it.
mkdir -p "$work/tree/etc" "$work/outside"
echo 'someone:x:7:8::/srv/someone:/bin/sh' >"$work/tree/etc/passwd"
refuses 125 'none: No such file' \
	exec --root "$work/tree" --user someone -k "$work/none" true
refuses 125 '--user root: no such user' exec --root "$work/tree" --user root true
mv "$work/tree/etc/passwd" "$work/outside"
ln -s "$work/outside/passwd" "$work/tree/etc/passwd"
refuses 125 '--user someone: no such user' \
	exec --root "$work/tree" --user someone true

# The result of a run that fails before its guest starts.
refuses 125 'none: No such file' \
	exec -w / --result "$work/result" -k "$work/none" true
grep -q '"kind": "failed"' "$work/result" || fail 'no kind in the result'
grep -q '"code": 125' "$work/result" || fail 'no code in the result'

# What follows the command is its own.
refuses 125 'none: No such file' exec -w / -k "$work/none" true --frobnicate -h

# A working directory that the guest hides, unless it is one of --rw.
case $thaw in
/*) ;;
*) thaw=$PWD/$thaw ;;
esac
mkdir -p /tmp/thaw-cli-work.$$
cd /tmp/thaw-cli-work.$$ || exit 99
refuses 125 'working directory /tmp/thaw-cli-work.*: the guest has its own /tmp' \
	exec -k "$work/none" true
refuses 125 'none: No such file' exec --rw . -k "$work/none" true
refuses 125 'none: No such file' exec -w /tmp -k "$work/none" true
cd / && rmdir /tmp/thaw-cli-work.$$

finish
