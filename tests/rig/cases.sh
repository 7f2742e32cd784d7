#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# cases.sh - runs the cases, inside the rig: see run-cases, which starts it.
#
#	cases.sh [PATTERN [UNTIL [REPEAT [COUNT]]]]	all cases of this host whose name
#			matches, without PATTERN all but those marked by-hand;
#			none is begun after UNTIL (seconds)
#	cases.sh --one NAME	one case, in this process
#
# /scratch/current names the case that runs and its seconds (a case of many steps writes
# there the seconds and the number of each), /scratch/done those that have ended, which
# are not run again when run-cases has had to start another host.
#
# Prints a line per case as it ends:
#
#	ok NAME
#	not ok NAME: REASON
#	skip NAME: REASON
#	info TEXT
here=/src/tests/rig/cases
. $here/lib.sh
for f in "$here"/*.sh; do
	[ "$f" = $here/lib.sh ] || . "$f"
done

if [ "${1-}" = --one ]; then
	"case_$(echo "$2" | tr '.-' '__')"
	exit
fi
pattern=${1:-.} until=${2:-}
export repeat="${3:-1}" count="${4:-200}"
host=$RIG_ARCH${RIG_CONFIG:+-$RIG_CONFIG}

# Print the figures that have come up, once.
print_info() {
	[ ! -e $state/info ] || cat $state/info
	rm -f $state/info
}

while read -r name seconds archs; do
	case $name in '' | '#'*) continue ;; esac
	case " $archs " in *" $host "*) ;; *) continue ;; esac
	case $pattern-$archs in .-*" by-hand") continue ;; esac
	echo "$name" | grep -q -E -e "$pattern" || continue
	! grep -q -x -F -e "$name" /scratch/done 2>/dev/null || continue
	if [ -n "$until" ] && [ "$(date +%s)" -gt "$until" ]; then
		echo "skip $name: no time is left"
		continue
	fi
	case $name in clock-*) seconds=$((seconds * repeat)) ;; esac
	echo "$name $seconds" >/scratch/current
	rc=0
	began=$(date +%s)
	timeout -s KILL "$seconds" sh /src/tests/rig/cases.sh --one "$name" \
		>$state/said 2>&1 </dev/null || rc=$?
	reason=$(tail -n 1 $state/said)
	case $rc in
	0) echo "ok $name" ;;
	77) echo "skip $name: $reason" ;;
	137) echo "not ok $name: no end after $seconds s" ;;
	*) echo "not ok $name: ${reason:-status $rc}" ;;
	esac
	print_info
	echo "$name" >>/scratch/done
	[ ! -d /scratch/logs ] ||
		echo "$(($(date +%s) - began)) $name" >>/scratch/logs/seconds
	case $rc in
	0 | 77) ;;
	*) cp $state/* /scratch/logs/ 2>/dev/null ;;
	esac
done <$here/list
echo "end 60" >/scratch/current
# Where no case was begun there is nothing.
[ ! -d /scratch/logs ] || cp $state/* /scratch/logs/ 2>/dev/null || :
