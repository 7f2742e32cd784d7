# SPDX-License-Identifier: BSD-2-Clause
#
# live.sh - a Debian that never rests (guest-load: it writes to its disk and to its
# memory, and knows what it wrote) is saved with its disk while it runs, many times,
# and killed in the middle of it.  $count says how often.

live=/tmp/live
live_snaps=$live/snapshots

# The longest chain of increments.
live_chain=20

# Start thaw as $1 with the remaining arguments; its pid is in $pid.
live_start() {
	name=$1
	shift
	rm -f "$live/$name.in" "$live/$name.sock"
	mkfifo "$live/$name.in"
	# Here, as the background's redirection may come after the next command.
	: >"$state/live-$name.raw"
	thaw "$@" --control "$live/$name.sock" <>"$live/$name.in" \
		>"$state/live-$name.raw" 2>"$state/live-$name.err" &
	pid=$!
}

# End what still runs, at the end of the case.
live_end() {
	kill -KILL $pid $first 2>/dev/null || :
	rm -rf $live
}

# Step $i of case $1 is done, with figures $2, which a host that goes on with the case
# begins with; run-cases need not wait for the case's limit if this one hangs.
live_step() {
	echo "$i $2" >>"/scratch/logs/$1"
	echo "$1 300 $i" >/scratch/current
}

# Begin case $1, or go on with it after a host that hung: print its last step and the
# figures.
live_last() {
	echo "$1 300" >/scratch/current
	tail -n 1 "/scratch/logs/$1" 2>/dev/null || echo 0 0 0 0 0
}

# Boot the guest as `first' with a disk of its own; its pid is in $first.
live_boot() {
	pid='' first=''
	trap live_end EXIT
	rm -rf $live
	mkdir -p $live_snaps
	# Private disks are there.
	export TMPDIR=$live
	cp /guest/load.img $live/disk.img
	live_start first run -k "$(kernel_image 6.12 plain)" \
		-i /guest/initrd-6.12 -c 2 -p "$quirk quiet t=load" -m 160M \
		-d $live/disk.img
	first=$pid
	live_wait first 'disk.pass=' 3
	live_wait first 'memory.pass=' 3
	# Pagers, in turn.
	live_pagers='map uffd eager'
	[ -n "$RIG_STOCK" ] || live_pagers="$live_pagers userfault"
}

# Fail with $2 about guest $1, of which the log then has what its threads do.
live_fail() {
	for task in /proc/"$pid"/task/*; do
		cat "$task/comm" "$task/stat" "$task/wchan" "$task/stack" \
			"$task/syscall"
		echo
	done >"$state/live-$1.threads" 2>&1
	timeout -s KILL 20 thaw ctl "$live/$1.sock" stats \
		>"$state/live-$1.stats" 2>&1
	fail "$1: $2; $(tail -n 1 "$state/live-$1.err");" \
		"$(tail -c 300 "$state/live-$1.raw" | tr '\r\n' ' |')"
}

# Whether guest $1 has printed $3 facts $2, each of them whole.
live_has() {
	[ "$(grep -c "FACT $2.*$(printf '\r')\$" "$state/live-$1.raw")" -ge "$3" ]
}

# Wait until guest $1, whose pid is $pid, has printed $3 facts $2.
live_wait() {
	tries=2000
	until live_has "$@"; do
		kill -0 "$pid" 2>/dev/null || live_has "$@" ||
			live_fail "$1" "it has ended"
		tries=$((tries - 1))
		[ $tries -gt 0 ] || live_fail "$1" "no $2"
		sleep 0.1
	done
	! grep 'FACT bad' "$state/live-$1.raw" || fail "$1: a file is wrong"
}

# Print the passes over its disk that guest $1 has reported.
live_passes() {
	sed -n "s/^.*FACT disk\.pass=\([0-9]*\)$(printf '\r')\$/\1/p" \
		"$state/live-$1.raw"
}

# Print the next pager, the $1st.
live_pager() {
	echo $live_pagers | cut -d ' ' -f $(($1 % $(echo $live_pagers | wc -w) + 1))
}

# Save guest `first' as snapshot $1 with options $2; $before and $after are the passes
# that it has done before and after.
live_save() {
	before=$(live_passes first | tail -n 1)
	said=$(timeout -s KILL 200 thaw snapshot --disks=copy $2 $live/first.sock \
		"$live_snaps/$1" 2>&1) || live_fail first "snapshot $1 $2: $said"
	after=$(live_passes first | tail -n 1)
	paused=$(echo "$said" | sed -n 's/.*"pause_us": *\([0-9]*\).*/\1/p')
	[ "${paused:-0}" -gt 0 ] || fail "the reply: $said"
	[ "$paused" -le "$longest" ] || longest=$paused
}

# Guest $1 ends in order, with all files as they were written; its pid is $pid.
live_finish() {
	echo end >"$live/$1.in"
	live_wait "$1" end= 1
	rc=0
	wait "$pid" || rc=$?
	same "the exit status of $1" $rc 0
	same "what thaw said of $1" "$(cat "$state/live-$1.err")" ""
	tr -d '\r' <"$state/live-$1.raw" >"$state/live-$1.log"
	for fact in disk.checked memory.checked; do
		[ -n "$(fact_of "live-$1" $fact)" ] || fail "$1: no $fact"
	done
	same "the file system's end in $1" "$(fact_of "live-$1" disk.unmounted)" 1
	same "the kernel's complaints in $1" "$(fact_of "live-$1" log)" ""
}

# The first pass of guest $1 is the one after what snapshot $2 has, which was taken
# between passes $3 and $4; a line of it may be cut.
live_follows() {
	within "the first pass of $1 from $2" "$(live_passes "$1" | head -n 1)" \
		$(($3 + 1)) $(($4 + 2))
}

# Snapshot $1 by pager $2 goes on, and so does its disk, which run-cases looks at.
live_restore() {
	cp "$live_snaps/$1/disk-0" "/scratch/check-live-$1-mounted.img"
	live_start copy restore --pager="$2" "$live_snaps/$1"
	live_wait copy disk.pass= 2
	live_wait copy memory.pass= 2
	live_follows copy "$1" "$before" "$after"
	live_finish copy
}

# Whole snapshots and chains of increments, with the disk, of a guest that goes on; each
# tenth is restored.
case_snapshot_live_many() {
	case=snapshot-live-many
	set -- $(live_last $case)
	live_boot
	i=$1 restores=$2 longest=$3 chain=0
	while [ $i -lt "$count" ]; do
		pid=$first
		live_wait first disk.pass= $(($(live_passes first | wc -l) + 1))
		base=
		[ $chain -eq 0 ] || base=--base=$live_snaps/$((i - 1))
		live_save $i $base
		chain=$(((chain + 1) % (live_chain + 1)))
		if [ -z "$base" ]; then
			find $live_snaps -mindepth 1 -maxdepth 1 ! -name $i \
				-exec rm -rf {} +
		fi
		i=$((i + 1))
		if [ $((i % 10)) -eq 0 ] || [ $i -eq "$count" ]; then
			live_restore $((i - 1)) "$(live_pager $restores)"
			restores=$((restores + 1))
		fi
		live_step $case "$restores $longest"
	done
	pid=$first
	live_finish first
	cp $live/disk.img /scratch/check-live-first.img
	info "live: $i snapshots, $restores restores, longest pause $longest us"
}

# Restore the only snapshot by pager $1, as the guest that goes on; all of its files
# are as they were written.
live_go_on() {
	live_start first restore --verify --pager="$1" $live_snaps/s
	first=$pid
	live_wait first disk.pass= 1
	live_wait first memory.pass= 1
	live_follows first s "$low" "$high"
	echo check >$live/first.in
	live_wait first disk.checked= 1
	live_wait first memory.checked= 1
}

# Save over it, and kill thaw within $span ms; $replaced is 1 if the snapshot is a new
# one, of which $low and $high are then the passes.
live_kill() {
	before=$(live_passes first | tail -n 1)
	was=$(stat -c %i $live_snaps/s/state)
	thaw snapshot --disks=copy $live/first.sock $live_snaps/s \
		>$state/live-said 2>&1 &
	client=$!
	usleep $(($(head -c 4 /dev/urandom | od -A n -t u4) % (span * 1000)))
	kill -KILL "$first"
	wait "$first" 2>/dev/null
	answered=0
	wait $client 2>/dev/null && answered=1
	now=$(stat -c %i $live_snaps/s/state) || fail "the snapshot is gone"
	replaced=1
	[ "$now" != "$was" ] || replaced=0
	[ $replaced -ge $answered ] || fail "answered, but not replaced"
	if [ $replaced -eq 1 ]; then
		low=$before high=$(live_passes first | tail -n 1)
	fi
}

# thaw is killed while it saves over the snapshot that it came from: that or the new one
# is there, whole, and goes on.
case_snapshot_live_kills() {
	case=snapshot-live-kills
	set -- $(live_last $case)
	live_boot
	i=$1 cut=$2 midway=$3 new=$4 longest=$5
	from=$(date +%s)
	live_save s
	span=$((($(date +%s) - from + 1) * 1000)) low=$before high=$after
	kill -KILL "$first"
	wait "$first" 2>/dev/null
	while [ $i -lt "$count" ]; do
		live_go_on "$(live_pager $i)"
		live_kill
		i=$((i + 1))
		new=$((new + replaced))
		# Half of them before the end.
		if [ $answered -eq 1 ]; then
			span=$((span * 7 / 10 + 10))
		else
			span=$((span * 12 / 10)) cut=$((cut + 1))
			[ "$(ls -A $live_snaps)" = s ] || midway=$((midway + 1))
		fi
		live_step $case "$cut $midway $new $longest"
	done
	live_go_on eager
	live_save s
	same "what is there" "$(ls -A $live_snaps)" s
	cp $live_snaps/s/disk-0 /scratch/check-live-kills-mounted.img
	live_finish first
	info "live: $i kills, $cut before the reply, $midway of them with files left," \
		"$new new snapshots, $((i + 1)) restores, longest pause $longest us"
	[ "$midway" -gt 0 ] || fail "no save was killed midway"
}
