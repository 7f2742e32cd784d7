# SPDX-License-Identifier: BSD-2-Clause
#
# share-work.sh - the guests of share.sh run every operation of a file system, which
# must return what it does on the host, and random ones; and many of them are
# restored at once.

# How many random operations there are in a share; with cache=always ten times as
# many, which reach the server less often.
steps=10000

# Every operation of guest $1, in its pass $2, returned what it does in the file
# system itself.
share_operations() {
	if [ ! -e $fs/host.out ]; then
		/guest/fsops $fs/host >$state/fsops 2>&1 || fail "fsops: status $?"
		rm -rf $fs/host
		mv $state/fsops $fs/host.out
	fi
	same "the end of fsops" "$(fact_of $1 share.ops-$2)" 0
	cp $fs/$1/rw/ops-$2.out $state/$1.ops-$2
	diff $fs/host.out $state/$1.ops-$2 >$state/$1.diff-$2 ||
		fail "operations, here and there: $(grep '^[-+]' \
			$state/$1.diff-$2 | head -n 12 | tr '\n' '|')"
}

# The random operations of guest $1 have ended, and left the files that they had to.
share_random() {
	for name in fsx:rw fsx-fast:fast; do
		said=$(fact_of $1 share.${name%:*})
		case $said in
		*" steps: "*) ;;
		*) fail "random operations: $said" ;;
		esac
		same "their file" "$(/guest/fsx $fs/$1/${name#*:}/fsx)" "${said%,*}"
	done
}

# The operations of 6.1; share-6.12 has those of 6.12.
case_share_operations_6_1() {
	share_first
	share_operations share61 first
}

# Random operations, with memory that is filled first, on 6.1.
case_share_random_eager() {
	limit=2600
	share_dirs random61
	echo $steps >$fs/random61/rw/steps
	boot random61 -k "$(kernel_image 6.1 plain)" -i /guest/initrd-6.1 \
		-p "$quirk quiet t=random" -m 256M $(share_options random61)
	reached_end random61
	share_operations random61 again
	share_random random61
	same "unmounted" "$(fact_of random61 share.unmounted)" 1
	rm -rf $fs/random61
}

# Begin to restore as $1 by $2 (PAGER:MEMORY), with a copy of the directories.
share_start() {
	cp -a $fs/saved $fs/$1
	[ ! -e $state/$1.steps ] || cp $state/$1.steps $fs/$1/rw/steps
	timeout -s KILL 2600 thaw restore /scratch/share-snap --pager=${2%:*} \
		--memory=${2#*:} $(share_options $1) <>/tmp/share.in \
		>$state/$1.raw 2>$state/$1.err &
	echo $! >$state/$1.pid
}

# Wait for the end of restore $1.
share_wait() {
	rc=0
	wait "$(cat $state/$1.pid)" || rc=$?
	echo $rc >$state/$1.rc
	tr -d '\r' <$state/$1.raw >$state/$1.log
}

# What restore $1 must have done.
share_ended() {
	reached_end $1
	same "the exit status of $1" "$(status_of $1)" 0
	share_lines $1
	same "unmounted by $1" "$(fact_of $1 share.unmounted)" 1
	same "what thaw said" "$(grep -v 'pager map: ' $state/$1.err)" ""
}

# The saved guest does the same on 6.12, with memory that comes on demand.
case_share_random_demand() {
	share_second
	same "how saving went" "$(cat $state/share-save.rc)" 0
	pager=userfault
	[ -z "$RIG_STOCK" ] || pager=uffd
	echo $steps >$state/random612.steps
	share_start random612 $pager:anon
	share_wait random612
	share_ended random612
	share_operations random612 again
	share_random random612
	rm -rf $fs/random612
}

# Ten restores at once, by every pager mode of this host, each with a copy of the
# directories as they were when the guest was saved.
case_share_ten_at_once() {
	share_second
	same "how saving went" "$(cat $state/share-save.rc)" 0
	set -- uffd:anon map:anon eager:anon
	[ -n "$RIG_STOCK" ] ||
		set -- userfault:anon userfault:guest_memfd eager:guest_memfd "$@"
	count=0
	while [ $count -lt 10 ]; do
		for mode; do
			[ $count -lt 10 ] || break
			share_start ten-$count "$mode"
			count=$((count + 1))
		done
	done
	for i in $(seq 0 9); do
		share_wait ten-$i
	done
	for i in $(seq 0 9); do
		share_ended ten-$i
	done
	rm -rf $fs/ten-*
}
