#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# debian.sh ARCH - a small Debian 12 with systemd; prints the path of an ext4
# image of its root directory, made once.
#
# The packages are what `debootstrap --variant=minbase' installs, systemd, D-Bus,
# udev, login and git.  They are unpacked, as by debootstrap's first stage, and not
# configured, since that needs root and a processor of ARCH; the files that their
# scripts would make and a boot needs are written here.  root has no password.
#
# All files belong to the user who made the image: `chown -R 0:0' comes first.
#
# Exits 77 with the reason on standard error when a package does not download.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
suite=bookworm

case ${1-} in
x86) deb=amd64 ;;
arm64) deb=arm64 ;;
*) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0" >&2; exit 64 ;;
esac

# Print the packages that debootstrap's minbase has.
minbase() {
	rig_apt "$suite" "$deb" apt-cache dumpavail | awk -v RS= '
		/\nPriority: required\n/ || /\nEssential: yes\n/ {
			sub(/\n.*/, ""); print $2
		}' | sort -u
	echo apt
}

# Write what the scripts of packages would: users, PAM, the configuration.
configure() {
	cp "$1/usr/share/base-passwd/passwd.master" "$1/etc/passwd"
	cp "$1/usr/share/base-passwd/group.master" "$1/etc/group"
	sed -i 's/^root:\*:/root::/' "$1/etc/passwd"
	echo 'messagebus:x:100:107::/nonexistent:/usr/sbin/nologin' >>"$1/etc/passwd"
	echo 'messagebus:x:107:' >>"$1/etc/group"
	for part in auth account session password; do
		echo "$part required pam_unix.so nullok" >"$1/etc/pam.d/common-$part"
	done
	cp "$1/etc/pam.d/common-session" "$1/etc/pam.d/common-session-noninteractive"
	echo rig-debian >"$1/etc/hostname"
	echo "127.0.0.1 localhost rig-debian" >"$1/etc/hosts"
	: >"$1/etc/fstab"
	echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"
	[ -e "$1/bin/sh" ] || ln -s dash "$1/bin/sh"
	# The emulation is twenty to fifty times slower than a machine.
	mkdir -p "$1/etc/systemd/system.conf.d"
	printf '[Manager]\nDefaultTimeoutStartSec=900\nDefaultTimeoutStopSec=300\nDefaultDeviceTimeoutSec=900\n' \
		>"$1/etc/systemd/system.conf.d/slow.conf"
}

# Make the image at $1.
make_image() {
	rm -rf "$1.tree"
	rig_tree "$suite" "$deb" "$(minbase) systemd systemd-sysv dbus udev
		login git" "$1.tree" || return
	rm -rf "$1.tree/usr/share/doc" "$1.tree/usr/share/man" \
		"$1.tree/usr/share/locale"
	configure "$1.tree" || return
	truncate -s 1G "$1.new"
	/sbin/mke2fs -q -F -t ext4 -d "$1.tree" "$1.new" || return
	rm -rf "$1.tree"
	mv "$1.new" "$1"
}

rig_apt_ready "$suite" "$deb" || exit 77
key=$(cat "$0" "$here/apt.sh" | cksum | tr ' ' -)
image=$(rig_cache)/debian/$1-$key.img
mkdir -p "${image%/*}"
(
	flock 9
	[ -e "$image" ] && exit 0
	make_image "$image" || {
		echo "debian: cannot make the image for $1" >&2
		exit 77
	}
	find "${image%/*}" -name "$1-*.img" ! -name "${image##*/}" -delete
) 9>"${image%/*}/$1.lock" || exit $?
echo "$image"
