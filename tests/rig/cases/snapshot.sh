# SPDX-License-Identifier: BSD-2-Clause
#
# snapshot.sh - Debian with two processors, a mounted disk and running processes
# is saved, and restored with every pager and kind of memory that the host has.

snap=/scratch/snap

# Wait up to $3 seconds for a line that matches $2 in file $1.
wait_line() {
	for i in $(seq "$3"); do
		! grep -q -e "$2" "$1" || return 0
		sleep 1
	done
	return 1
}

# Boot the guest, save it while it ticks, once; $state/live.rc says how it went.
save_live() {
	[ ! -e $state/live.rc ] || return 0
	cp /guest/big.img /scratch/live.img
	rm -f /tmp/live.sock
	mkfifo /tmp/live.in
	thaw run -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 -c 2 \
		-p "$quirk quiet t=live" -m 512M -d /scratch/live.img \
		--control /tmp/live.sock <>/tmp/live.in \
		>$state/live.raw 2>$state/live.err &
	pid=$!
	rc=0
	wait_line $state/live.raw 'FACT tick=4' 200 || rc=1
	if [ $rc -eq 0 ]; then
		thaw snapshot --stop /tmp/live.sock $snap >$state/live.said \
			2>&1 || rc=2
		wait $pid || rc=3
	else
		kill -KILL $pid
	fi
	tr -d '\r' <$state/live.raw >$state/live.log
	echo $rc >$state/live.rc
	info "snapshot of Debian: $(du -sk $snap | cut -f1) KiB"
}

# The snapshot was taken, and is whole.
saved() {
	save_live
	same "how saving went" "$(status_of live)" 0
	same "what was said" "$(cat $state/live.err)" ""
}

case_snapshot_save() {
	saved
	thaw inspect --verify $snap >$state/inspect || fail "inspect: status $?"
	thaw inspect --json $snap | grep -q '"cpus": 2' || fail "not two processors"
}

# Restore as $1 with the remaining arguments, let it run, send it a word.
restore_live() {
	name=$1
	shift
	cp /scratch/live.img "/scratch/$name.img"
	rc=0
	{
		sleep 3
		date +%s >"$state/$name.host"
		echo "word-$name"
		sleep 60
	} | timeout -s KILL 200 thaw restore "$@" --disk "/scratch/$name.img" \
		--stats=json $snap >"$state/$name.raw" 2>"$state/$name.err" || rc=$?
	tr -d '\r' <"$state/$name.raw" >"$state/$name.log"
	echo $rc >"$state/$name.rc"
	mv "/scratch/$name.img" "/scratch/check-$name.img"
}

# What a restored guest must have done.
lives() {
	reached_end "$1"
	same "the exit status" "$(status_of "$1")" 0
	same "the word from the console" "$(fact_of "$1" word)" "word-$1"
	same "the disk's hash" "$(fact_of "$1" disk.md5)" "$(cat /guest/big.md5)"
	same "hashes while it ran" "$(fact_of "$1" sums)" 1
	same "the open file" "$(fact_of "$1" open)" "before after "
	same "the other processor" "$(fact_of "$1" cpu1)" works
	# It ticks on from where it was, and its clocks go on.
	last=$(sed -n 's/^.*FACT tick=\([0-9]*\) .*/\1/p' $state/live.log | tail -n 1)
	first=$(sed -n 's/^.*FACT tick=\([0-9]*\) .*/\1/p' "$state/$1.log" | head -n 1)
	within "the first tick" "${first:-0}" "$last" $((last + 1))
	sed -n 's/^.*FACT tick=[0-9]* \([0-9]*\).*/\1/p' $state/live.log \
		"$state/$1.log" >$state/ticks
	sort -n -c $state/ticks || fail "the uptime went back"
	set -- "$1" $(fact_of "$1" now)
	host=$(cat "$state/$1.host")
	info "clock of $1: $(($3 - host)) s from the host's when asked"
	within "seconds from the host's clock" $(($3 - host + 1)) 0 20
}

case_snapshot_eager() {
	saved
	restore_live eager --pager=eager
	lives eager
}

case_snapshot_map() {
	saved
	restore_live map --pager=map
	lives map
}

case_snapshot_uffd() {
	saved
	restore_live uffd --pager=uffd
	lives uffd
}

case_snapshot_userfault() {
	need_userfault
	saved
	restore_live userfault --pager=userfault
	lives userfault
	info "userfault: $(figure_of userfault source_bytes) bytes in the" \
		"snapshot, $(figure_of userfault absent_bytes) never came"
}

case_snapshot_userfault_guest_memfd() {
	need_userfault
	saved
	restore_live gmem --pager=userfault --memory=guest_memfd
	lives gmem
}

# Two that start from one snapshot are told that they are not the same guest.
case_snapshot_clones_differ() {
	saved
	for name in eager map uffd; do
		fact_of "$name" random
	done >$state/randoms
	same "different random bytes" "$(sort -u $state/randoms | wc -l)" 3
}

# A disk that is not the one that was saved is refused.
case_snapshot_refusals() {
	saved
	truncate -s 1M /tmp/small.img
	refuses 70 thaw restore --disk /tmp/small.img $snap
	refuses 70 thaw restore /scratch/nowhere
	refuses 70 thaw restore --disk /scratch/live.img --disk /tmp/small.img $snap
	refuses 64 thaw restore
}
