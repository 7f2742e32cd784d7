# SPDX-License-Identifier: BSD-2-Clause
#
# snapshot.sh - Debian with two processors, a mounted disk and running processes
# is saved, and restored with every pager and kind of memory that the host has.

snap=/scratch/snap

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
	case $RIG_ARCH in
	x86) feature=sse2 ;;
	*) feature=aes ;;
	esac
	grep -q -i -w $feature $state/inspect || fail "inspect tells no $feature"
	thaw inspect --json $snap | grep -q '"cpus": 2' || fail "not two processors"
}

# Restore as $1 with the remaining arguments, let it run, send it a word, and
# wait for its end; lives looks at what it did.
restore_live() {
	name=$1
	shift
	start_live "$name" "$@"
	sleep 3
	end_live "$name"
}

# Begin to restore as $1; its pid is in $state/$1.pid, when in $state/$1.start.
start_live() {
	name=$1
	shift
	cp /scratch/live.img "/scratch/$name.img"
	mkfifo "/tmp/$name.in"
	cut -d. -f1 /proc/uptime >"$state/$name.start"
	timeout -s KILL ${limit:-400} thaw restore "$@" --disk "/scratch/$name.img" \
		--stats=json $snap <>"/tmp/$name.in" >"$state/$name.raw" \
		2>"$state/$name.err" &
	echo $! >"$state/$name.pid"
}

# Send the word to $1, which this shell has started, and wait for its end.
end_live() {
	echo "word-$1" >"/tmp/$1.in"
	wait_live "$1"
}

# Wait for the end of $1.
wait_live() {
	rc=0
	wait "$(cat "$state/$1.pid")" || rc=$?
	cut -d. -f1 /proc/uptime >"$state/$1.after"
	tr -d '\r' <"$state/$1.raw" >"$state/$1.log"
	echo $rc >"$state/$1.rc"
	# run-cases looks at the file system in it.
	mv "/scratch/$1.img" "/scratch/check-$1.img"
}

# What a restored guest must have done.
lives() {
	reached_end "$1"
	same "the exit status" "$(status_of "$1")" 0
	same "the word from the console" "$(fact_of "$1" word)" "word-$1"
	case $1 in
	*-part) same "the hash of a part of the disk" \
		"$(fact_of "$1" part.md5)" "$(cat /guest/part.md5)" ;;
	*) same "the disk's hash" "$(fact_of "$1" disk.md5)" \
		"$(cat /guest/big.md5)" ;;
	esac
	same "hashes while it ran" "$(fact_of "$1" sums)" 1
	same "the open file" "$(fact_of "$1" open)" "before after "
	same "the file system's end" "$(fact_of "$1" disk.unmounted)" 1
	same "the other processor" "$(fact_of "$1" cpu1)" works
	# It ticks on from where it was, and its clocks go on.
	last=$(sed -n 's/^.*FACT tick=\([0-9]*\) .*/\1/p' $state/live.log | tail -n 1)
	first=$(sed -n 's/^.*FACT tick=\([0-9]*\) .*/\1/p' "$state/$1.log" | head -n 1)
	within "the first tick" "${first:-0}" "$last" $((last + 1))
	sed -n 's/^.*FACT tick=[0-9]* \([0-9]*\).*/\1/p' $state/live.log \
		"$state/$1.log" >$state/ticks
	sort -n -c $state/ticks || fail "the uptime went back"
	# Its uptime has not counted more than it ran.
	last=$(sed -n 's/^.*FACT tick=[0-9]* \([0-9]*\)\..*/\1/p' $state/live.log | tail -n 1)
	ran=$(($(cat "$state/$1.after") - $(cat "$state/$1.start") + 1))
	set -- "$1" $(fact_of "$1" now)
	within "the uptime" "$2" "$last" $((last + ran + 2))
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

# Two clones of one snapshot get different generation ids and random numbers.
case_snapshot_clones_differ() {
	saved
	for name in eager map uffd; do
		fact_of "$name" random
	done >$state/randoms
	same "different random bytes" "$(sort -u $state/randoms | wc -l)" 3
}

# Ten at once, by all the ways that the host has.
case_snapshot_ten_at_once() {
	saved
	set -- uffd map
	[ -n "$RIG_STOCK" ] || set -- userfault "$@"
	started='' limit=1400
	while [ "$(echo $started | wc -w)" -lt 10 ]; do
		for pager; do
			[ "$(echo $started | wc -w)" -lt 10 ] || break
			name=ten-$(echo $started | wc -w)-part
			start_live $name --pager=$pager
			started="$started $name"
		done
	done
	sleep 5
	for name in $started; do
		echo "word-$name" >"/tmp/$name.in"
	done
	for name in $started; do
		wait_live "$name"
	done
	for name in $started; do
		lives "$name"
	done
	for name in $started; do
		fact_of "$name" random
	done >$state/randoms
	same "different random bytes" "$(sort -u $state/randoms | wc -l)" 10
}

# The chain: a guest that keeps a chain of hashes over its memory is moved from
# snapshot to snapshot, $chain/snap; each line of it is that of a run left alone.

# Run it alone; its lines are in $chain/want.
chain_alone() {
	timeout -s KILL 120 thaw run -k "$(image_of chain)" -c 2 -m 64 \
		-p "steps=20000 period=200 timer=0" </dev/null >/tmp/chain.alone ||
		fail "alone: status $?"
	tr -d '\r' </tmp/chain.alone | grep '^chain: ' >$chain/want
	: >$chain/all
}

# Start it with thaw's arguments $@.
chain_start() {
	rm -f /tmp/chain.sock
	thaw "$@" --control /tmp/chain.sock </dev/null >/tmp/chain.out \
		2>/tmp/chain.err &
	pid=$!
}

chain_boot() {
	chain_start run -k "$(image_of chain)" -c 2 -m 64 -p "steps=0 period=200"
}

# Save it; $1 is what comes next, for messages.
chain_save() {
	until [ -S /tmp/chain.sock ]; do
		kill -0 $pid 2>/dev/null || fail "$1: $(cat /tmp/chain.err)"
		sleep 0.1
	done
	sleep 0.$(($$ * $(wc -c <$chain/all) % 10))
	rm -rf $chain/old
	[ ! -e $chain/snap ] || mv $chain/snap $chain/old
	thaw snapshot --stop /tmp/chain.sock $chain/snap >/dev/null ||
		fail "no snapshot before $1"
	wait $pid || fail "status $? before $1: $(cat /tmp/chain.err)"
	cat /tmp/chain.out >>$chain/all
}

# Restore it and save it again, by each way of $@ (PAGER:MEMORY).
chain_through() {
	while [ $# -gt 0 ]; do
		chain_start restore --pager=${1%:*} --memory=${1#*:} $chain/snap
		chain_save "${2:-the end}"
		shift
	done
}

# Compare what it has said.
chain_check() {
	tr -d '\r' <$chain/all >$chain/have
	! grep -q FAIL $chain/have || fail "$(grep FAIL $chain/have | head -n 1)"
	# The last line may be cut; after those that the other run made no line
	# is known.
	sed '$d' $chain/have | grep '^chain: ' >$chain/lines
	grep -v -x -F -f $chain/want $chain/lines |
		awk -F'[= ]' '$5 <= 20000' >$chain/wrong
	[ ! -s $chain/wrong ] || fail "not as alone: $(head -n 1 $chain/wrong)"
	same=$(grep -c -x -F -f $chain/want $chain/lines)
	info "chain: $same lines as in a run left alone"
	[ "$same" -ge 10 ] || fail "only $same lines were compared"
}

# By every way in turn, twice.
case_snapshot_chain() {
	chain=/tmp/chain
	mkdir $chain
	chain_alone
	set -- uffd:anon map:anon eager:anon
	[ -n "$RIG_STOCK" ] ||
		set -- userfault:anon userfault:guest_memfd uffd:anon \
			userfault:anon userfault:guest_memfd map:anon eager:guest_memfd
	chain_boot
	chain_save "$1"
	chain_through "$@" "$@"
	chain_check
	rm -rf $chain
}

# The chain, which runs on, is saved to snapshot $1 of $chain, and restored from it
# as $2 (PAGER:MEMORY); the remaining arguments are thaw snapshot's.
chain_fork() {
	from=$chain/s$1 way=$2
	shift 2
	thaw snapshot "$@" /tmp/chain.sock "$from" >$chain/said 2>$chain/why ||
		fail "no snapshot for $way: $(cat $chain/why /tmp/chain.err)"
	info "chain: $* $(tr -d '{}"' <$chain/said), $(du -sk "$from" |
		cut -f1) KiB"
	if [ "${way%:*}" = map ] && [ $# -gt 0 ]; then
		rm -rf $chain/flat
		thaw snapshot --flatten "$from" $chain/flat || fail "flatten"
		from=$chain/flat
	fi
	rm -f /tmp/fork.sock
	: >$chain/fork
	timeout -s KILL 200 thaw restore --pager=${way%:*} --memory=${way#*:} \
		--control /tmp/fork.sock "$from" </dev/null >$chain/fork \
		2>$chain/fork.err &
	fork=$!
	until [ "$(grep -c '^chain: ' $chain/fork)" -gt 4 ]; do
		kill -0 $fork 2>/dev/null || fail "$way: $(cat $chain/fork.err)"
		sleep 0.2
	done
	said=$(thaw ctl /tmp/fork.sock quit 2>&1) ||
		fail "quit, $way: $said $(cat $chain/fork.err) $(tail -n 3 $chain/fork)"
	wait $fork || fail "$way: status $?: $(cat $chain/fork.err)"
	# The last line may be cut.
	sed '$d' $chain/fork >>$chain/all
}

# A guest that runs is saved as a whole, then what it has written since, again and
# again; each snapshot goes on as the guest does.
case_snapshot_running() {
	chain=/tmp/chain
	rm -rf $chain
	mkdir $chain
	chain_alone
	set -- uffd:anon eager:guest_memfd map:anon
	[ -n "$RIG_STOCK" ] ||
		set -- userfault:anon uffd:anon userfault:guest_memfd map:anon eager:anon
	chain_boot
	until grep -q '^chain: ' /tmp/chain.out; do
		kill -0 $pid 2>/dev/null || fail "$(cat /tmp/chain.err)"
		sleep 0.1
	done
	chain_fork 0 "$1"
	n=0
	for way in "$@"; do
		n=$((n + 1))
		chain_fork $n "$way" --base $chain/s$((n - 1))
	done
	thaw ctl /tmp/chain.sock quit >/dev/null || fail "quit"
	wait $pid || fail "status $?: $(cat /tmp/chain.err)"
	same "what the guest's thaw said" "$(cat /tmp/chain.err)" ""
	sed '$d' /tmp/chain.out >>$chain/all
	chain_check
	rm -rf $chain
}

# Debian, too, goes on, and so does what was saved meanwhile.
case_snapshot_running_debian() {
	rm -f /tmp/run.sock /tmp/run.in /tmp/fork.in
	mkfifo /tmp/run.in /tmp/fork.in
	thaw run -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 -c 2 \
		-p "$quirk quiet t=live" -m 512M --control /tmp/run.sock \
		<>/tmp/run.in >$state/running.raw 2>$state/running.err &
	pid=$!
	wait_line $state/running.raw 'FACT tick=4' 400 || fail "no tick"
	thaw snapshot /tmp/run.sock /tmp/run.snap >$state/running.said ||
		fail "$(cat $state/running.said $state/running.err)"
	info "Debian: $(tr -d '{}"' <$state/running.said)"
	way=uffd
	[ -n "$RIG_STOCK" ] || way=userfault
	timeout -s KILL 300 thaw restore --pager=$way /tmp/run.snap \
		<>/tmp/fork.in >$state/forked.raw 2>$state/forked.err &
	fork=$!
	wait_line $state/forked.raw 'FACT tick=6' 400 || fail "no tick of the fork"
	for one in run fork; do
		echo "word-$one" >/tmp/$one.in
	done
	wait $pid || fail "status $?: $(cat $state/running.err)"
	wait $fork || fail "fork: status $?: $(cat $state/forked.err)"
	for name in running forked; do
		tr -d '\r' <$state/$name.raw >$state/$name.log
		reached_end $name
		same "what thaw said" "$(cat $state/$name.err)" ""
	done
	same "the word" "$(fact_of running word)" word-run
	same "the word of the fork" "$(fact_of forked word)" word-fork
	same "the other processor" "$(fact_of forked cpu1)" works
	rm -rf /tmp/run.snap
}

# The steps of tests/rig/portable, each on its own host: /scratch stays.
case_portable_begin() {
	chain=/scratch/chain
	mkdir -p $chain
	chain_alone
	chain_boot
	chain_save "the move"
	chain_start restore --pager=eager --memory=guest_memfd $chain/snap
	chain_save "the move"
}

case_portable_retry() {
	chain=/scratch/chain
	chain_through eager:anon map:anon uffd:anon userfault:anon \
		userfault:guest_memfd eager:guest_memfd
	chain_check
	thaw inspect --verify $chain/snap >/dev/null || fail "inspect: status $?"
}

# An interrupt controller's tables lie in pages that cannot be read: a snapshot of the
# paused guest is refused when KVM writes them, one of the running guest when it reads
# memory before, where the guest would wait for "retry", and the machine answers.
case_snapshot_absent_tables() {
	dir=/tmp/tables
	mkdir $dir
	dd if=/dev/zero of=$dir/zeros bs=1M count=4 2>/dev/null
	thaw run -k "$(image_of kvmtouch)" -m 128 -i $dir/zeros --pager=uffd \
		--page-run=1 --page-deadline=1 --on-page-error=pause \
		--page-inject=while=$dir/broken@initrd --control $dir/sock \
		-p 'base=initrd hold=1' </dev/null >$dir/out 2>$dir/err &
	pid=$!
	until grep -q '^SUMMARY: .* 0 failed' $dir/out; do
		kill -0 $pid 2>/dev/null ||
			fail "the guest: $(tail -n 1 $dir/out) $(cat $dir/err)"
		sleep 0.2
	done
	: >$dir/broken
	rc=0
	timeout -s KILL 40 thaw snapshot --pause $dir/sock $dir/snap \
		>$dir/said 2>&1 || rc=$?
	same "status of the snapshot, paused" $rc 70
	grep -q 'ITS: table at' $dir/err || fail "not the tables: $(cat $dir/err)"
	rc=0
	timeout -s KILL 40 thaw snapshot $dir/sock $dir/snap >$dir/said 2>&1 ||
		rc=$?
	same "status of the snapshot, running" $rc 70
	grep -q 'snapshot: memory at' $dir/err || fail "not memory: $(cat $dir/err)"
	rm $dir/broken
	timeout -s KILL 40 thaw snapshot $dir/sock $dir/snap >/dev/null ||
		fail "no snapshot of pages that can be read: $(cat $dir/err)"
	thaw ctl $dir/sock quit >/dev/null
	wait $pid || fail "status $? at the end"
	rm -rf $dir
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
