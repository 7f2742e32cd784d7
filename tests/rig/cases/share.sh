# SPDX-License-Identifier: BSD-2-Clause
#
# share.sh - Debian mounts host directories, works in them, and is saved while it
# writes a file.

# What is shared is in an ext4 file system, which has all operations.
fs=/tmp/share

# Mount it, unless an earlier case has.
mount_fs() {
	[ ! -d $fs/lost+found ] || return 0
	mkdir -p $fs
	# The -o loop of busybox says that the device is busy.
	loop=$(losetup -f)
	losetup "$loop" /scratch/share.img && mount -t ext4 "$loop" $fs ||
		fail "the file system for the shares: status $?"
}

# Make the directories of guest $1.
share_dirs() {
	mount_fs
	rm -rf $fs/$1
	mkdir -p $fs/$1/rw $fs/$1/ro $fs/$1/fast
	echo "read only" >$fs/$1/ro/file
}

# The options of the shares of guest $1.
share_options() {
	echo "--share $fs/$1/rw:share --share $fs/$1/ro:ro,ro" \
		"--share $fs/$1/fast:fast,cache=always"
}

# 6.1, whose virtiofs is a module, from start to end.
share_first() {
	[ ! -e $state/share61.rc ] || return 0
	share_dirs share61
	boot share61 -k "$(kernel_image 6.1 plain)" -i /guest/initrd-6.1 \
		-p "$quirk quiet t=share" -m 256M $(share_options share61)
}

# Boot 6.12 and save it while it writes.  1: it did not come to that; 2: the
# snapshot failed; 3: the guest's end after it did.
share_save() {
	rm -rf $fs/share612/rw/* /scratch/share-snap
	thaw run -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=share" -m 256M --control /tmp/share.sock \
		$(share_options share612) <>/tmp/share.in >$state/share.raw 2>$state/share.err &
	pid=$!
	for i in $(seq 300); do
		! grep -q 'FACT share.writing=' $state/share.raw || break
		kill -0 $pid 2>/dev/null || return 1
		sleep 1
	done
	if [ "$i" -eq 300 ]; then
		kill -KILL $pid
		return 1
	fi
	thaw snapshot --stop /tmp/share.sock /scratch/share-snap \
		>$state/share.said 2>&1 || return 2
	wait $pid || return 3
}

# 6.12, saved while it writes, and restored.  As in boot(), a guest that hangs or
# has a false exit is tried once more.
share_second() {
	[ ! -e $state/share612.rc ] || return 0
	share_dirs share612
	mkfifo /tmp/share.in
	for try in 1 2; do
		rc=0
		share_save || rc=$?
		[ $rc -eq 1 ] || break
		info "guest share612: not saved, try $try: $(tail -n 1 \
			$state/share.err) $(tail -c 200 $state/share.raw | tr '\r\n' '||')"
	done
	echo $rc >$state/share-save.rc
	wc -l <$fs/share612/rw/lines >$state/share-save.lines
	rm -rf $fs/saved
	cp -a $fs/share612 $fs/saved
	[ $rc -ne 0 ] || timeout -s KILL 300 thaw restore /scratch/share-snap \
		$(share_options share612) <>/tmp/share.in >>$state/share.raw 2>>$state/share.err || rc=4
	tr -d '\r' <$state/share.raw >$state/share612.log
	cp $state/share.err $state/share612.err
	echo $rc >$state/share612.rc
}

# What guest $1 must have found.
share_works() {
	same "mounted" "$(fact_of $1 share.mounted)" 1
	same "a rename over a file" "$(fact_of $1 share.rename)" "two a "
	same "links" "$(fact_of $1 share.links)" "a two 2"
	sum=$(seq 300 | md5sum | cut -d' ' -f1)
	same "300 files" "$(fact_of $1 share.many)" "300 $sum"
	same "a mapping" "$(fact_of $1 share.mapped)" 1048576
	same "a tree through tar" "$(fact_of $1 share.tar)" "$sum"
	same "what is left" "$(fact_of $1 share.left)" \
		"a hard link mapped tree.tar "
	same "mode and owner" "$(fact_of $1 share.mode)" "640 0"
	same "the read-only share" "$(fact_of $1 ro.read)" "read only"
	same "a write to it" "$(fact_of $1 ro.write)" "Read-only file system"
	same "the host's view" "$(cat $fs/$1/rw/hard) $(ls $fs/$1/ro)" "two file"
}

# The file that was written meanwhile, in the guest and here.
share_lines() {
	sum=$(seq 0 19999 | md5sum | cut -d' ' -f1)
	same "the lines" "$(fact_of $1 share.lines)" "$sum"
	same "the lines from the host" "$(fact_of $1 share.again)" "$sum"
	same "the lines here" "$(md5sum <$fs/$1/rw/lines | cut -d' ' -f1)" "$sum"
}

case_share_6_1() {
	share_first
	reached_end share61
	share_works share61
	share_lines share61
	same "unmounted" "$(fact_of share61 share.unmounted)" 1
	same "what thaw said" "$(cat $state/share61.err)" ""
}

case_share_6_12() {
	share_second
	share_works share612
	share_operations share612 first
}

case_share_restore() {
	share_second
	same "how saving went" "$(cat $state/share-save.rc)$(cat $state/share.err)" 0
	within "lines when it was saved" "$(cat $state/share-save.lines)" 0 19999
	reached_end share612
	share_lines share612
	same "unmounted" "$(fact_of share612 share.unmounted)" 1
	same "the exit status" "$(status_of share612)" 0
}

# Make a directory with busybox at $1, whose init is on standard input.
share_tree() {
	mkdir -p $1/bin $1/dev $1/proc
	cp "$(readlink -f /bin/busybox)" $1/bin/busybox
	cat >$1/init
	chmod 755 $1/init
}

# A directory with busybox is the root file system.
case_share_root() {
	root=/tmp/share-root
	share_tree $root <<'END'
#!/bin/busybox sh
busybox mount -t proc proc /proc
echo "FACT root=$(busybox awk '$2 == "/" { print $1, $3, substr($4, 1, 2) }' /proc/mounts)"
echo "from the guest" >/written
busybox chown 5:6 /written
busybox chmod 660 /written
echo "FACT owner=$(busybox stat -c '%u %g %a' /written) $(busybox cat /written)"
echo "FACT end=root"
busybox poweroff -f
END
	boot root -k "$(kernel_image 6.12 plain)" -m 256M --root $root \
		-p "$quirk quiet init=/init"
	reached_end root
	same "the root" "$(fact_of root root)" "root virtiofs rw"
	same "a file" "$(cat $root/written)" "from the guest"
	# An ACL is looked for, on a file system that may have none.
	same "another owner" "$(fact_of root owner)" "5 6 660 from the guest"
	same "the exit status" "$(status_of root)" 0
}

# Save the guest of share_errors once its file is deleted, which is refused first.
share_errors_save() {
	wait_line $state/errors.raw 'FACT errors.ready=' 300 || return 1
	thaw snapshot /tmp/errors.sock /scratch/errors-snap \
		>$state/errors.refused 2>&1 && return 2
	thaw snapshot --stop --accept-stale /tmp/errors.sock \
		/scratch/errors-snap >$state/errors.said 2>&1 || return 3
}

# Restore it, and delete a directory that it has mounted.
share_errors_restore() {
	thaw restore /scratch/errors-snap --control /tmp/errors.sock \
		--share $root:root --share /tmp/share-full:full \
		--share /tmp/share-gone:gone \
		<>/tmp/share.in >>$state/errors.raw 2>>$state/errors.err &
	pid=$!
	for i in $(seq 60); do
		[ ! -e /tmp/errors.sock ] || break
		sleep 1
	done
	rm -rf /tmp/share-gone
	wait $pid
}

# A guest that meets errors of the host: a full file system, a directory that is
# deleted, a deleted file that it had open when it was saved.
share_errors() {
	root=/tmp/share-errors
	[ ! -e $state/errors.rc ] || return 0
	share_tree $root <<'END'
#!/bin/busybox sh
busybox mount -t virtiofs full /full
busybox mount -t virtiofs gone /gone
echo "FACT errors.full=$( (busybox cat /bin/busybox >/full/file) 2>&1 | busybox sed 's/.*: //')"
exec 4<>/held
busybox rm /held
echo "FACT errors.ready=1"
while busybox test -e /gone/file; do busybox sleep 1; done
echo "FACT errors.gone=$( (echo x >/gone/new) 2>&1 | busybox sed 's/.*: //')"
echo "FACT errors.held=$( (echo x >&4) 2>&1 | busybox sed 's/.*: //')"
echo "FACT end=errors"
busybox poweroff -f
END
	mkdir -p $root/full $root/gone /tmp/share-full /tmp/share-gone
	mount -t tmpfs -o size=256k full /tmp/share-full
	echo here >/tmp/share-gone/file
	[ -e /tmp/share.in ] || mkfifo /tmp/share.in
	thaw run -k "$(kernel_image 6.12 plain)" -m 256M --root $root \
		-p "$quirk quiet init=/init" --control /tmp/errors.sock \
		--share /tmp/share-full:full --share /tmp/share-gone:gone \
		<>/tmp/share.in >$state/errors.raw 2>$state/errors.err &
	pid=$!
	rc=0
	share_errors_save || rc=$?
	[ $rc -eq 0 ] || kill -KILL $pid
	wait $pid || rc=$((rc + 10))
	[ $rc -ne 0 ] || share_errors_restore || rc=20
	tr -d '\r' <$state/errors.raw >$state/errors.log
	echo $rc >$state/errors.rc
}

# Fail unless what thaw said of the guest of share_errors has $1.
share_said() {
	grep -q -e "$1" $state/errors.err ||
		fail "thaw did not say '$1': $(tr '\n' '|' <$state/errors.err)"
}

case_share_errors() {
	share_errors
	reached_end errors
	same "the steps" "$(status_of errors)" 0
	same "a full disk" "$(fact_of errors errors.full)" \
		"No space left on device"
	share_said 'share full (/tmp/share-full): write: No space left on device'
	same "a deleted directory" "$(fact_of errors errors.gone)" \
		"nonexistent directory"
	share_said 'share gone (/tmp/share-gone): the directory was deleted'
	grep -q -e --accept-stale $state/errors.refused ||
		fail "the refusal: $(cat $state/errors.refused)"
	share_said 'held is open in the guest, and was deleted or moved; close it'
	share_said 'held is open in the guest.*: it is stale (ESTALE) after'
	same "the deleted file" "$(fact_of errors errors.held)" \
		"Stale file handle"
	share_said 'share root (/tmp/share-errors): .*: Stale file handle'
}

case_share_refusals() {
	share_second
	touch /tmp/plain
	refuses 70 thaw run --share /tmp/nowhere
	refuses 70 thaw run --share /tmp/plain
	refuses 64 thaw run --share /tmp:t,what
	refuses 64 thaw restore --share /tmp:t,uid=x /scratch/share-snap
	refuses 70 thaw restore /scratch/share-snap
	refuses 70 thaw restore --share /tmp:share /scratch/share-snap
}
