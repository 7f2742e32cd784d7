# SPDX-License-Identifier: BSD-2-Clause
#
# pager.sh - memory that arrives when it is touched: Debian booted from absent
# memory, and payloads that look at every page, on every way that the host has.

# Skip unless this host's KVM has userfault.
need_userfault() {
	[ -z "$RIG_STOCK" ] || skip "Debian's kernel has no userfault"
}

# Print figure $2 (a name of --stats=json) of run $1.
figure_of() {
	sed -n "s/^.*\"$2\": *\([0-9]*\).*/\1/p" "$state/$1.err" | head -n 1
}

# The image of payload $1, whose form differs between architectures.
image_of() {
	case $RIG_ARCH in
	x86) echo "/guests/$1.elf" ;;
	*) echo "/guests/$1.image" ;;
	esac
}

# Run the payload $2 as $1 with the remaining arguments.
payload() {
	name=$1 image=$(image_of "$2")
	shift 2
	rc=0
	timeout -s KILL 100 thaw run -k "$image" --stats=json "$@" </dev/null \
		>"$state/$name.log" 2>"$state/$name.err" || rc=$?
	echo $rc >"$state/$name.rc"
	[ $rc -eq 0 ] || fail "status $rc: $(grep -v '"' "$state/$name.err" | tail -n 2 | tr '\n' '|')"
	if grep -q FAIL "$state/$name.log" || ! grep -q 'SUMMARY: .* 0 failed' "$state/$name.log"; then
		fail "$(grep -e FAIL -e SUMMARY "$state/$name.log" | head -n 2 | tr '\n' '|')"
	fi
}

# The reference: everything filled first.
guest_eager() {
	boot paged-eager -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=hash" -m 512M -c 2
}

# Boot Debian from absent memory by pager $1 over memory $2.
guest_paged() {
	boot "paged-$1-$2" -k "$(kernel_image 6.12 plain)" \
		-i /guest/initrd-6.12 -p "$quirk quiet t=hash" -m 512M -c 2 \
		--pager="$1" --memory="$2" --stats=json
}

# Such a guest comes to its end, and its initrd is that of the reference.
debian_paged() {
	guest_eager
	guest_paged "$1" "$2"
	reached_end "paged-$1-$2"
	same "the exit status" "$(status_of "paged-$1-$2")" 0
	same "the initrd's hash" "$(fact_of "paged-$1-$2" initrd.md5)" \
		"$(fact_of paged-eager initrd.md5)"
	same "processors" "$(fact_of "paged-$1-$2" nproc)" 2
	info "Debian by $1 over $2: $(figure_of "paged-$1-$2" source_bytes) bytes" \
		"at the source, $(figure_of "paged-$1-$2" absent_bytes) never came"
}

case_pager_debian_uffd() {
	debian_paged uffd anon
}

case_pager_debian_userfault() {
	need_userfault
	debian_paged userfault anon
}

case_pager_debian_userfault_guest_memfd() {
	need_userfault
	debian_paged userfault guest_memfd
}

# Every page of a signed initrd, by two vCPUs, in all orders.
touch_all() {
	for order in seq rand shared; do
		payload "touch-$1-$2" touch -m 128 -c 2 -i /guest/signed \
			-p "base=initrd check=signature pages=4096 order=$order" \
			--pager="$1" --memory="$2"
		# The pages in runs of 16 at most, and no page twice.
		filled=$(figure_of "touch-$1-$2" filled_bytes)
		within "bytes filled" "$filled" 16777216 17825792
	done
}

case_pager_touch_uffd() {
	touch_all uffd anon
}

case_pager_touch_userfault() {
	need_userfault
	touch_all userfault anon
}

case_pager_touch_userfault_guest_memfd() {
	need_userfault
	touch_all userfault guest_memfd
}

# As many exits as pages of the host are touched, with runs of one page; none
# for zeros.
case_pager_exits_are_pages() {
	need_userfault
	payload exits touch -m 128 -c 1 -i /guest/signed --page-run 1 \
		-p 'base=initrd pages=1000' --pager=userfault
	with=$(figure_of exits faults)
	payload exits touch -m 128 -c 1 -i /guest/signed --page-run 1 \
		-p 'base=initrd pages=10' --pager=userfault
	per=$(host_pages)
	within "exits for 990 pages" $((with - $(figure_of exits faults))) \
		$((990 / per)) $(((990 + per - 1) / per))
	payload exits touch -m 128 -c 1 --page-run 1 \
		-p 'pages=10 check=zero' --pager=userfault
	few=$(figure_of exits faults)
	payload exits touch -m 128 -c 1 --page-run 1 \
		-p 'pages=5000 check=zero' --pager=userfault
	same "exits for 4990 pages of zeros" $(($(figure_of exits faults) - few)) 0
}

# KVM's own accesses, each to a page that is absent.
case_pager_kvm_uffd() {
	payload kvm-uffd kvmtouch -m 128 -c 2 -i /guest/signed --pager=uffd \
		-p 'base=initrd check=signature'
	payload kvm-uffd kvmtouch -m 128 -c 2 --pager=uffd
}

case_pager_kvm_userfault() {
	need_userfault
	for memory in anon guest_memfd; do
		payload kvm kvmtouch -m 128 -c 2 -i /guest/signed \
			--memory=$memory --pager=userfault \
			-p 'base=initrd check=signature'
		payload kvm kvmtouch -m 128 -c 2 --memory=$memory \
			--pager=userfault
	done
}

# The background fills everything and takes the gates away under the guest.
case_pager_prefault() {
	way=userfault
	[ -z "$RIG_STOCK" ] || way=uffd
	payload prefault touch -m 128 -c 2 -i /guest/signed --prefault=full \
		--pager=$way -p 'base=initrd check=signature pages=4096 rounds=20'
	same "bytes that never came" "$(figure_of prefault absent_bytes)" 0
	[ "$(figure_of prefault done_ns)" -gt 0 ] || fail "the gates stayed"
}

# A source that fails ends the guest with its own status, and says where.
case_pager_source_fails() {
	way=userfault
	[ -z "$RIG_STOCK" ] || way=uffd
	image=$(image_of touch)
	rc=0
	timeout -s KILL 60 thaw run -k "$image" -m 128 -c 2 -i /guest/signed \
		-p 'base=initrd pages=4096 order=shared' --pager=$way \
		--page-deadline 1 --page-inject always@30000 </dev/null \
		>$state/fails.log 2>$state/fails.err || rc=$?
	same "the exit status" "$rc" 81
	grep -q 'read initrd .*Input/output error' $state/fails.err ||
		fail "it said: $(tail -n 1 $state/fails.err)"
}

# A pager mode that is not available is refused in one line.
case_pager_refusals() {
	refuses 70 thaw run --pager=map
	refuses 70 thaw run --pager=uffd --memory=guest_memfd
	[ -z "$RIG_STOCK" ] || refuses 70 thaw run --pager=userfault
	refuses 64 thaw run --pager=magic
	refuses 64 thaw run --prefault=fast
}

# A guest of 2 GiB that touches 100 MiB has about that much resident.
case_pager_resident() {
	way=userfault
	[ -z "$RIG_STOCK" ] || way=uffd
	image=$(image_of touch)
	timeout -s KILL 100 thaw run -k "$image" -m 2G -p 'pages=25600 write=1 rounds=1000' \
		--pager=$way </dev/null >$state/resident.log 2>&1 &
	for i in $(seq 80); do
		sleep 1
		! grep -q 'round=0 cpu=all' $state/resident.log || break
	done
	thaw=$(pidof thaw)
	kib=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$thaw/status")
	kill -KILL "$thaw" 2>/dev/null
	info "resident after 100 MiB of 2 GiB were touched: $kib KiB"
	within "KiB resident" "${kib:-0}" 102400 118784
}

# With the last page in, KVM maps large pages again (x86 counts them).
case_pager_large_pages() {
	count=/sys/kernel/debug/kvm/pages_2m
	[ -r $count ] || skip "KVM does not count its large pages here"
	! grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled ||
		skip "this host has no large pages"
	image=$(image_of touch)
	head -c 33554432 /dev/zero | tr '\0' x >/tmp/large
	set -- uffd
	[ -n "$RIG_STOCK" ] || set -- userfault uffd
	for pager; do
		thaw run -k "$image" -i /tmp/large -m 128 --pager=$pager \
			--prefault=full -p "base=initrd pages=8192 rounds=100000" \
			</dev/null >$state/large.log 2>$state/large.err &
		pid=$!
		most=0
		for i in $(seq 600); do
			now=$(cat $count)
			[ "$now" -le $most ] || most=$now
			[ $most -lt 8 ] || break
			kill -0 $pid || break
			sleep 0.1
		done
		kill $pid 2>/dev/null
		wait $pid
		info "large pages in KVM after $pager: $most"
		[ $most -ge 8 ] || fail "$pager: $most large pages in KVM;" \
			"$(head -n 1 $state/large.err)"
	done
	rm /tmp/large
}

# Begin the guest that answers as $1 with thaw's arguments $@; its pid is in $pid.
answer_begin() {
	name=$1
	shift
	rm -f /tmp/mapped/sock
	timeout -s KILL 100 thaw "$@" --control /tmp/mapped/sock \
		<>/tmp/mapped/in >"$state/$name.raw" 2>"$state/$name.err" &
	pid=$!
	for i in $(seq 100); do
		[ ! -S /tmp/mapped/sock ] || return 0
		sleep 0.1
	done
	fail "$name: $(cat "$state/$name.err")"
}

# The sum that $1 has answered to an "a".
answer_of() {
	printf a >/tmp/mapped/in
	wait_line "$state/$1.raw" 'answer: a sum=.* cycles=' 60 || return 0
	sed -n 's/.*answer: a sum=\([0-9a-f]*\) .*/\1/p' "$state/$1.raw" | tail -n 1
}

# Sum of field $2 in the mappings of a snapshot's memory by thaw $1, KiB.
mapped_kib() {
	awk -v name="$2:" '/^[0-9a-f]+-/ { inside = /\/memory$/ }
		inside && $1 == name { sum += $2 } END { print sum + 0 }' \
		"/proc/$1/smaps"
}

# A snapshot under userfault is mapped: what the guest reads is verified there
# and not copied; a page that is changed before it is read ends the guest.
case_pager_mapped() {
	need_userfault
	mkdir /tmp/mapped
	mkfifo /tmp/mapped/in
	image=$(image_of answer)
	answer_begin mapped-first run -k "$image" -m 64 -p pages=4096
	wait_line $state/mapped-first.raw ready 60 || fail "it is not ready"
	sum=$(answer_of mapped-first)
	thaw snapshot --stop /tmp/mapped/sock /tmp/mapped/snap >/dev/null ||
		fail "no snapshot"
	wait $pid
	answer_begin mapped restore --pager=userfault --stats=json \
		/tmp/mapped/snap
	same "the sum" "$(answer_of mapped)" "$sum"
	thaw=$(pidof thaw)
	within "KiB that are mapped" "$(mapped_kib "$thaw" Rss)" 16384 32768
	within "KiB that are copied" "$(mapped_kib "$thaw" Anonymous)" 0 2048
	printf q >/tmp/mapped/in
	wait $pid || fail "status $? at the end"
	within "bytes verified" "$(figure_of mapped filled_bytes)" 16777216 \
		33554432
	for at in 1030 1300 1777 2048 2500; do
		rm -rf /tmp/mapped/copy
		cp -r /tmp/mapped/snap /tmp/mapped/copy
		answer_begin "mapped-$at" restore --pager=userfault \
			/tmp/mapped/copy
		printf corrupt. | dd of=/tmp/mapped/copy/memory bs=8 conv=notrunc \
			seek=$((at * 512 + at % 512)) 2>/dev/null
		printf a >/tmp/mapped/in
		rc=0
		wait $pid || rc=$?
		same "status with page $at overwritten" $rc 81
		grep -q -e 'page is corrupt' -e 'was written to' \
			"$state/mapped-$at.err" ||
			fail "it said: $(cat "$state/mapped-$at.err")"
	done
	rm -rf /tmp/mapped
}

# Mount and unmount the file system of case_pager_verity.
verity_mount() {
	verity_loop=$(losetup -f)
	losetup "$verity_loop" /tmp/verity.img &&
		mount -t ext4 "$verity_loop" /tmp/verity || fail "no file system"
}
verity_umount() {
	umount /tmp/verity && losetup -d "$verity_loop" || fail "umount"
}

# A snapshot whose memory file has fs-verity: the guest reads it under map, and a block
# that the disk has changed since ends the guest, or the restore, and is named.
case_pager_verity() {
	mkdir /tmp/mapped /tmp/verity
	mkfifo /tmp/mapped/in
	cp /guest/verity.img /tmp/verity.img
	verity_mount
	snap=/tmp/verity/snap
	answer_begin verity-first run -k "$(image_of answer)" -m 64 -p pages=4096
	wait_line $state/verity-first.raw ready 60 || fail "it is not ready"
	sum=$(answer_of verity-first)
	thaw snapshot --stop --fsverity /tmp/mapped/sock $snap >/dev/null ||
		fail "no snapshot: $(cat $state/verity-first.err)"
	wait $pid
	thaw inspect --json --verify $snap | grep -q '"fsverity": *true' ||
		fail "inspect does not say so"
	answer_begin verity-whole restore --pager=map $snap
	same "the sum" "$(answer_of verity-whole)" "$sum"
	printf q >/tmp/mapped/in
	wait $pid || fail "status $? at the end"
	cp $snap/memory /tmp/mapped/memory
	verity_umount
	/guest/flip /tmp/verity.img /tmp/mapped/memory 2048 || fail "no such block"
	for pager in map uffd; do
		verity_mount
		answer_begin "verity-$pager" restore --pager=$pager $snap
		printf a >/tmp/mapped/in
		rc=0
		wait $pid || rc=$?
		same "status under $pager" $rc 81
		grep -q 'has fs-verity: a corrupt block' "$state/verity-$pager.err" ||
			fail "$pager said: $(cat "$state/verity-$pager.err")"
		verity_umount
	done
	verity_mount
	refuses 70 thaw restore --verify --pager=map $snap
	grep -q 'fs-verity found a corrupt block' $state/err ||
		fail "--verify said: $(cat $state/err)"
	verity_umount
	rm -rf /tmp/mapped /tmp/verity /tmp/verity.img
}

# Guest memory of reserved large pages; without enough of them it is refused.
case_pager_hugetlb() {
	pool=/proc/sys/vm/nr_hugepages
	[ -e $pool ] || skip "this host has no hugetlb pages"
	refuses 70 thaw run -k "$(image_of touch)" -m 64 --hugepages=hugetlb
	echo 40 >$pool
	[ "$(cat $pool)" -ge 32 ] || skip "this host has no 32 large pages left"
	payload hugetlb touch -m 64 -c 2 -i /guest/signed --hugepages=hugetlb \
		-p 'base=initrd check=signature pages=4096'
	payload hugetlb touch -m 64 -c 2 --hugepages=hugetlb -p 'pages=4096 write=1'
	same "pages in use afterwards" \
		"$(sed -n 's/^HugePages_Rsvd: *//p' /proc/meminfo)" 0
	echo 0 >$pool
}
