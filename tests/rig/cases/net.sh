# SPDX-License-Identifier: BSD-2-Clause
#
# net.sh - networks of Debian guests over passt and over a tap device: addresses, a
# file each way with its hash, connections and datagrams in both directions.

net_bytes=16000000

# The file that guests fetch.
net_file() {
	[ "$(stat -c %s /tmp/net/www/file 2>/dev/null)" != $net_bytes ] || return 0
	seq 1 100000000 | head -c $net_bytes >/tmp/net/www/file
	md5sum </tmp/net/www/file | cut -d' ' -f1 >/tmp/net/md5
}

# Once: the servers that guests talk to, the interfaces.  passt takes its
# addresses from an interface with a default route; this host has no other.
net_begin() {
	[ ! -e /tmp/net ] || return 0
	mkdir -p /tmp/net/www /tmp/net/bin
	# It leaves its root by pivot_root(2), which an initramfs does not permit, nor
	# a namespace for a user below chroot(2).
	mkdir -p /tmp/net/root
	cat >/tmp/net/bin/passt <<-'END'
		#!/bin/sh
		exec unshare -m sh -c 'mount --rbind / /tmp/net/root &&
			cd /tmp/net/root && mount -o move . / &&
			exec chroot . /guest/passt/ld.so --library-path \
				/guest/passt/lib --preload /guest/passt/noipc.so \
				/guest/passt/passt "$@"' passt "$@"
	END
	chmod +x /tmp/net/bin/passt
	net_file
	echo word >/tmp/net/www/word
	ifconfig lo 127.0.0.1 up
	tunctl -t outside >/dev/null
	ifconfig outside 192.0.2.2 netmask 255.255.255.0 up
	route add default gw 192.0.2.1
	mkdir -p /etc
	echo 'nameserver 192.0.2.1' >/etc/resolv.conf
	# As root, passt becomes this user.
	echo 'nobody:x:65534:65534::/:/bin/false' >>/etc/passwd
	tunctl -t inside >/dev/null
	ifconfig inside 10.7.0.1 netmask 255.255.255.0 up
	httpd -p 8000 -h /tmp/net/www
}

# The servers of one guest, which end with it: a file and a datagram.
net_serve() {
	/guest/xfer listen 8001 >"/tmp/net/$1.sent" &
	/guest/xfer udp-listen 8002 >"/tmp/net/$1.datagram" &
}

# Run guest $1 with kernel $2, addresses as $3 says and the network $4, whose guest
# is reached at $5 and at ports $6 (80), $7 (81), $8 (82); $9 connections, and further
# options.
net_guest() {
	name=net-$1 series=$2 how=$3 net=$4 at=$5 web=$6 words=$7 datagrams=$8
	conns=${9:-20}
	shift $(($# > 9 ? 9 : $#))
	[ ! -e "$state/$name.rc" ] || return 0
	net_begin
	net_file
	net_serve "$name"
	(
		PATH=/tmp/net/bin:$PATH
		boot "$name" -k "$(kernel_image "$series" plain)" -m 256M \
			-i "/guest/initrd-$series" --net "$net" \
			-p "$quirk quiet t=net net=$how conns=$conns" "$@"
	) &
	booting=$!
	n=0
	until grep -q 'FACT net.serving' "$state/$name.raw" 2>/dev/null ||
		[ -e "$state/$name.rc" ] || [ $n -gt 600 ]; do
		sleep 1
		n=$((n + 1))
	done
	wget -q -O - "http://$at:$web/file" | md5sum | cut -d' ' -f1 \
		>"$state/$name.fetched"
	echo from-outside | /guest/xfer udp-send "$at" "$datagrams"
	echo the-word | /guest/xfer send "$at" "$words"
	wait $booting
	for pid in $(pidof xfer); do
		kill "$pid"
	done
}

# What is true of every guest.
net_check() {
	name=net-$1
	same "the status" "$(status_of "$name"):$(tail -n 1 "$state/$name.err")" 0:
	same "the file received" "$(fact_of "$name" net.received)" "$(cat /tmp/net/md5)"
	same "the file sent" "$(md5sum <"/tmp/net/$name.sent" | cut -d' ' -f1)" \
		"$(cat /tmp/net/md5)"
	same "the connections" "$(fact_of "$name" net.connections)" "${2:-20}"
	same "the datagram sent" "$(cat "/tmp/net/$name.datagram")" datagram
	same "the file fetched" "$(cat "$state/$name.fetched")" "$(cat /tmp/net/md5)"
	same "the word" "$(fact_of "$name" net.word)" the-word
	same "the datagram received" "$(fact_of "$name" net.datagram.received)" \
		from-outside
	same "the carrier" "$(fact_of "$name" net.carrier)" 1
}

# Over passt with kernel $1.
net_user() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_guest "user-$1" "$1" dhcp \
		'user,loopback,tcp=8080:80,tcp=8081:81,udp=8082:82,mac=02:00:00:00:00:07' \
		127.0.0.1 8080 8081 8082 "${2-}"
	net_check "user-$1" "${2-}"
	same "the address" "$(fact_of "net-user-$1" net.address)" 10.0.2.15/24
	same "the router" "$(fact_of "net-user-$1" net.router)" 10.0.2.2
	same "the name server" "$(fact_of "net-user-$1" net.dns)" 10.0.2.3
	same "the mac" "$(fact_of "net-user-$1" net.mac)" 02:00:00:00:00:07
	same "the mtu" "$(fact_of "net-user-$1" net.mtu)" 65520
	[ -z "$(pidof passt ld.so)" ] || fail "passt is left"
}

# Over a tap device with kernel $1.
net_tap() {
	net_guest "tap-$1" "$1" static tap=inside 10.7.0.2 80 81 82 "${2-}"
	net_check "tap-$1" "${2-}"
	same "the mtu" "$(fact_of "net-tap-$1" net.mtu)" 1500
	# VIRTIO_NET_F_CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6.
	same "the offloads" "$(fact_of "net-tap-$1" net.features |
		cut -c '1,2,8,9,12,13')" 111111
}

case_net_user_6_1() {
	net_user 6.1
}

case_net_user_6_12() {
	net_user 6.12
}

case_net_tap_6_1() {
	net_tap 6.1
}

case_net_tap_6_12() {
	net_tap 6.12
}

# 256 MB each way and 1,000 connections.
case_net_large() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_bytes=256000000
	net_guest large 6.12 dhcp 'user,loopback,tcp=8080:80,tcp=8081:81,udp=8082:82' \
		127.0.0.1 8080 8081 8082 1000
	net_check large 1000
}

# A command with the host's network: of a guest that boots, and of a saved one, whose
# passt is another; the file that it reads has changed in between.
net_exec() {
	(
		PATH=/tmp/net/bin:$PATH
		exec_run "net-$1" 6.12-warm --net user,loopback \
			--result "$state/exec-net-$1.json" -- sh -c '
			ip -4 addr show dev eth0 | sed -n "s/.*inet \([^ ]*\).*/\1/p"
			cat /etc/resolv.conf
			wget -q -O - http://10.0.2.2:8000/file | md5sum
			wget -q -O - http://10.0.2.2:8000/word'
	)
	exec_status "net-$1" 0
	same "what it said" "$(tr '\n' ' ' <"$state/exec-net-$1.out")" \
		"10.0.2.15/24 nameserver 10.0.2.3 $(cat /tmp/net/md5)  - $1 "
	[ -z "$(pidof passt ld.so)" ] || fail "passt is left"
}

case_exec_net() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_begin
	for how in boots restored; do
		echo $how >/tmp/net/www/word
		net_exec $how
	done
	echo word >/tmp/net/www/word
	warm_restored net-boots false
	warm_restored net-restored true
}

# Wait at most $1 seconds until log $2 has $3 lines that match $4.
net_await() {
	n=0
	until [ "$(grep -c -e "$4" "$2" 2>/dev/null)" -ge "$3" ]; do
		n=$((n + 1))
		[ $n -le "$1" ] || fail "$2: no $3 lines of $4: $(tail -n 3 "$2")"
		sleep 1
	done
}

# A transfer goes on after a pause and after a save; its guest is saved meanwhile.
case_net_pause() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_bytes=48000000
	rm -rf /tmp/net/snap /tmp/net/pause.sock
	(
		n=0
		until grep -q 'FACT net.carrier' "$state/net-pause.raw" 2>/dev/null ||
			[ $n -gt 300 ]; do
			sleep 1
			n=$((n + 1))
		done
		for i in 1 2 3; do
			sleep 1
			thaw ctl /tmp/net/pause.sock pause
			sleep 1
			thaw ctl /tmp/net/pause.sock resume
		done
		thaw snapshot /tmp/net/pause.sock /tmp/net/snap
	) >/tmp/net-pause.said 2>&1 &
	net_guest pause 6.12 dhcp \
		'user,loopback,tcp=8080:80,tcp=8081:81,udp=8082:82' \
		127.0.0.1 8080 8081 8082 20 --control /tmp/net/pause.sock
	net_check pause
	same "what ctl said" "$(sort -u /tmp/net-pause.said | tr '\n' ' ')" \
		'{"ok":true} '
	[ -e /tmp/net/snap/state ] || fail "no snapshot"
}

# Ten guests of one snapshot, each with a passt of its own, are reached through their
# own ports, and their clients reach the host again.
case_net_clones() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_begin
	PATH=/tmp/net/bin:$PATH
	rm -rf /tmp/net/clones /tmp/net/clone*.sock
	thaw run -k "$(kernel_image 6.12 plain)" -m 128M -i /guest/initrd-6.12 \
		--net user,loopback,tcp=8100:80 -p "$quirk quiet t=net net=live" \
		--control /tmp/net/clone.sock </dev/null \
		>"$state/net-clone.raw" 2>"$state/net-clone.err" &
	net_await 300 "$state/net-clone.raw" 2 'FACT net.client=.* word'
	same "the guest's word" "$(wget -q -O - http://127.0.0.1:8100/word)" \
		word-of-guest
	thaw snapshot --stop /tmp/net/clone.sock /tmp/net/clones || fail "save"
	wait
	for i in 0 1 2 3 4 5 6 7 8 9; do
		thaw restore --net "user,loopback,tcp=811$i:80,tcp=812$i:81" \
			/tmp/net/clones </dev/null >"$state/net-clone-$i.raw" \
			2>"$state/net-clone-$i.err" &
	done
	for i in 0 1 2 3 4 5 6 7 8 9; do
		net_await 300 "$state/net-clone-$i.raw" 2 'FACT net.client=.* word'
		same "the word of guest $i" \
			"$(wget -q -O - "http://127.0.0.1:811$i/word")" word-of-guest
		echo "word-$i" | /guest/xfer send 127.0.0.1 "812$i"
	done
	wait
	for i in 0 1 2 3 4 5 6 7 8 9; do
		grep -q "FACT net.word=word-$i" "$state/net-clone-$i.raw" ||
			fail "guest $i: $(tail -n 2 "$state/net-clone-$i.raw")"
	done
	[ -z "$(pidof passt ld.so)" ] || fail "passt is left"
}

# passt is killed under a guest: its link goes down, with one line, and it goes on.
case_net_killed() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_begin
	rm -f /tmp/net/killed.sock
	(
		PATH=/tmp/net/bin:$PATH
		exec thaw run -k "$(kernel_image 6.12 plain)" -m 128M \
			-i /guest/initrd-6.12 --net user,loopback \
			-p "$quirk quiet t=net net=live" --control /tmp/net/killed.sock \
			</dev/null >"$state/net-killed.raw" 2>"$state/net-killed.err"
	) &
	net_await 300 "$state/net-killed.raw" 2 'FACT net.client=.* word'
	kill -KILL $(pidof ld.so passt)
	net_await 60 "$state/net-killed.err" 1 'net0: passt has ended; the link is down'
	lines=$(grep -c 'FACT net.client' "$state/net-killed.raw")
	net_await 60 "$state/net-killed.raw" $((lines + 2)) 'FACT net.client'
	thaw ctl /tmp/net/killed.sock quit
	wait
	same "lines" "$(wc -l <"$state/net-killed.err")" 1
}
