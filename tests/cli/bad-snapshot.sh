#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What restore, inspect, ctl and snapshot are given by mistake: one clear line
# each, the documented status, and nothing on standard output.  Damage inside of
# a snapshot is the matter of the tests in kvm/ and unit/snap.
. "$(dirname "$0")/lib.sh"

# Arguments.
for command in restore inspect; do
	refuses 64 'DIR|argument|operand' "$command"
	refuses 64 'unexpected argument' "$command" a b
done
refuses 64 'SOCKET|argument|operand' snapshot
refuses 64 'DIR|argument|operand' snapshot a
refuses 64 'unexpected argument' snapshot a b c
refuses 64 'DIR is empty' snapshot a ''
refuses 64 'SOCKET|argument|operand' ctl
refuses 64 'VERB|argument|operand' ctl a
refuses 64 'unknown value x .expected use, record or off' restore --workingset=x "$work"
refuses 64 'unknown value' restore --pager=x "$work"
refuses 64 'unknown option' restore -k x "$work"
refuses 64 'unknown option' inspect -v "$work"

# Folders that are no snapshot.
mkdir "$work/empty" "$work/other" "$work/cut" "$work/odd"
echo x >"$work/file"
for name in state memory pages; do
	echo "not a snapshot" >"$work/other/$name"
	: >"$work/cut/$name"
	mkdir "$work/odd/$name"
done
for command in restore inspect 'inspect --json' 'inspect --verify' \
	'restore --verify' 'restore --pager=eager'; do
	# The command is two words.
	# shellcheck disable=SC2086
	{
		refuses 70 "$work/none.*No such file" $command "$work/none"
		refuses 70 "$work/file: not a snapshot" $command "$work/file"
		refuses 70 "/dev/null: not a snapshot" $command /dev/null
		refuses 70 "$work/empty.*state.*No such file" \
			$command "$work/empty"
		refuses 70 "$work/other.*state" $command "$work/other"
		refuses 70 "$work/cut.*state" $command "$work/cut"
		refuses 70 "$work/odd.*state" $command "$work/odd"
	}
done

# A state that is a pipe or a link does not hold anybody up.
mkdir "$work/pipe" "$work/link"
mkfifo "$work/pipe/state"
ln -s /dev/zero "$work/link/state"
refuses 70 "$work/pipe.*state" inspect "$work/pipe"
refuses 70 "$work/link.*state" inspect "$work/link"

# Sockets without a server.
long=$work/$(printf '%0120d' 0)
python3 - "$work/dead" <<'EOT' || exit 99
import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])
EOT
for command in 'ctl SOCKET status' 'snapshot SOCKET DIR' \
	'snapshot --stop SOCKET DIR'; do
	for socket in none file dead empty; do
		case $socket in
		none) says='No such file' ;;
		dead) says='stale socket: no VM listens on it' ;;
		*) says='not a socket' ;;
		esac
		line=$(echo "$command" |
			sed "s,SOCKET,$work/$socket,; s,DIR,$work/new,")
		# shellcheck disable=SC2086
		refuses 70 "control socket $work/$socket: $says" $line
	done
	line=$(echo "$command" | sed "s,SOCKET,$long,; s,DIR,$work/new,")
	# shellcheck disable=SC2086
	refuses 70 "$long: File name too long" $line
done
[ ! -e "$work/new" ] || fail 'a snapshot of nothing'
refuses 64 'too long' ctl "$work/none" "$(printf '%09000d' 0)"
refuses 64 'too long' snapshot "$work/none" "$(printf '%09000d' 0)"

need_kvm
: "${guest:?}"

# Where a machine cannot listen.  What is no socket is not replaced.
refuses 70 "$long: File name too long" run -k "$guest" --control "$long"
refuses 70 "$work/none/s: No such file" run -k "$guest" --control "$work/none/s"
refuses 70 "$work/file: exists and is not a socket" \
	run -k "$guest" --control "$work/file"
[ "$(cat "$work/file")" = x ] || fail 'a file was replaced by a socket'
# A socket that a dead machine left is.
run run -k "$guest" --control "$work/dead"
[ "$status" -eq 0 ] || fail "status $status over a dead socket"
[ ! -e "$work/dead" ] || fail 'the socket is there after the end'

finish
