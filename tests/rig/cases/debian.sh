# SPDX-License-Identifier: BSD-2-Clause
#
# debian.sh - Debian 12 with systemd has a shared directory as its root, and git
# works in one.

# Mount the tree, unless an earlier case has.
debian=/tmp/debian
mount_debian() {
	[ ! -d $debian/lost+found ] || return 0
	[ -e /scratch/debian.img ] || skip "no tree of Debian 12 here"
	mkdir -p $debian
	loop=$(losetup -f)
	losetup "$loop" /scratch/debian.img &&
		mount -t ext4 "$loop" $debian && mkdir -p $debian/srv &&
		chown -R 0:0 $debian ||
		fail "the tree of Debian 12: status $?"
}

# When text $1 has come on the console of $pid, type line $2.
answer() {
	until grep -q -e "$1" $state/debian.raw; do
		kill -0 $pid 2>/dev/null || return
		sleep 1
	done
	sleep 1
	printf '%s\r' "$2" >/tmp/debian.in
}

# Log in, look around, and switch it off; ends early where no text comes.
log_in() {
	answer 'login: ' root || return
	info "Debian 12 on a share, to its login: $(($(cut -d. -f1 /proc/uptime) - $1)) s"
	answer 'bash-.*# ' 'echo "FACT root=$(findmnt -n -o SOURCE,FSTYPE /)"' &&
		answer 'FACT root=[a-z]' 'echo "FACT state=$(systemctl is-system-running --wait)"' &&
		answer 'FACT state=[a-z]' 'id >/srv/written; systemctl poweroff'
}

# From the kernel to a login, and to its own end.
case_share_debian_12() {
	mount_debian
	mkfifo /tmp/debian.in
	start=$(cut -d. -f1 /proc/uptime)
	timeout -s KILL 850 thaw run -k "$(kernel_image 6.12 plain)" -m 512M \
		--root $debian -p "$quirk quiet" <>/tmp/debian.in \
		>$state/debian.raw 2>$state/debian.err &
	pid=$!
	log_in "$start" || kill $pid
	rc=0
	wait $pid || rc=$?
	tr -d '\r' <$state/debian.raw >$state/debian.log
	same "the exit status" $rc 0
	same "what thaw said" "$(cat $state/debian.err)" ""
	same "the root" "$(fact_of debian root | tr -s ' ')" "root virtiofs"
	same "the system" "$(fact_of debian state)" running
	same "what it wrote" "$(cat $debian/srv/written)" \
		"uid=0(root) gid=0(root) groups=0(root)"
}

# The same work of git in a guest, on the share, and here.
case_share_git() {
	mount_debian
	rm -rf $debian/srv/guest $debian/srv/here
	cp /src/tests/rig/cases/git-work $debian/srv/work
	boot git -k "$(kernel_image 6.12 plain)" -i /guest/initrd-6.12 \
		-p "$quirk quiet t=git" -m 256M --share $debian
	reached_end git
	[ "$(fact_of git git)" = 0 ] ||
		fail "git: $(tail -n 2 $debian/srv/guest.out | tr '\n' '|')"
	mount -t devtmpfs dev $debian/dev
	chroot $debian /bin/sh /srv/work /srv/here >$debian/srv/here.out 2>&1
	chroot $debian git -C /srv/guest/repo fsck --strict >$state/git.fsck 2>&1
	fsck=$?
	umount $debian/dev
	cmp $debian/srv/guest.out $debian/srv/here.out ||
		fail "git said '$(tail -n 1 $debian/srv/guest.out)' on the share"
	same "the differing files of the clones" "$(chroot $debian \
		diff -r -q -x .git /srv/guest/clone /srv/here/clone)" ""
	[ $fsck -eq 0 ] ||
		fail "fsck of the repository, here: $(tail -n 1 $state/git.fsck)"
	same "unmounted" "$(fact_of git share.unmounted)" 1
}
