# SPDX-License-Identifier: BSD-2-Clause
#
# net.sh - networks of Debian guests over passt and over a tap device: addresses, a
# name, a file each way with its hash, connections and datagrams in both directions, by
# IPv4 and by IPv6.

net_bytes=16000000
net_forwards6='tcp=::1/8083:80,udp=::1/8084:84,mac=02:00:00:00:00:07'

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
				/guest/passt/lib /guest/passt/passt "$@"' passt "$@"
	END
	chmod +x /tmp/net/bin/passt
	net_file
	echo word >/tmp/net/www/word
	ifconfig lo 127.0.0.1 up
	tunctl -t outside >/dev/null
	tunctl -t inside >/dev/null
	# No other host has these addresses.
	echo 0 >/proc/sys/net/ipv6/conf/outside/accept_dad
	echo 0 >/proc/sys/net/ipv6/conf/inside/accept_dad
	ifconfig outside 192.0.2.2 netmask 255.255.255.0 up
	route add default gw 192.0.2.1
	# Without a carrier the interface has no address of its own.
	ip -6 addr add fe80::2/64 dev outside
	ip -6 addr add 2001:db8::2/64 dev outside
	ip -6 route add default via 2001:db8::1 dev outside
	mkdir -p /etc
	# For the guests the name server is that of the host, where every name is the
	# host as they see it.
	echo 'nameserver 192.0.2.2' >/etc/resolv.conf
	cp /guest/xfer /tmp/net/bin/names
	/tmp/net/bin/names dns 10.0.2.2 &
	# As root, passt becomes this user.
	echo 'nobody:x:65534:65534::/:/bin/false' >>/etc/passwd
	ifconfig inside 10.7.0.1 netmask 255.255.255.0 up
	ip -6 addr add fd07::1/64 dev inside
	httpd -p 8000 -h /tmp/net/www
}

# Run server $1 of port $2 until it is killed; what came last is in $3.  A guest that
# hangs is booted again (lib.sh), and sends again.
net_serve_one() {
	while /guest/xfer "$1" "$2" >"$3.new"; do
		mv "$3.new" "$3"
	done
}

# The servers of one guest, which end with it: a file and a datagram, of each family.
net_serve() {
	net_serve_one listen 8001 "/tmp/net/$1.sent" &
	net_serve_one udp-listen 8002 "/tmp/net/$1.datagram" &
	net_serve_one listen 8003 "/tmp/net/$1.sent6" &
	net_serve_one udp-listen 8004 "/tmp/net/$1.datagram6" &
}

# End the servers of the case.
net_stop_servers() {
	for pid in $(pidof xfer); do
		kill "$pid"
	done
}

# Talk to guest $1 by IPv6, at address $2 and ports $3 (80) and $4 (84).
net_reach6() {
	wget -q -O - "http://[$2]:$3/file" | md5sum | cut -d' ' -f1 \
		>"$state/$1.fetched6"
	echo from-outside6 | /guest/xfer udp-send "$2" "$4"
}

# Run guest $1 with kernel $2, addresses as $3 says and the network $4, whose guest
# is reached at $5 and at ports $6 (80), $7 (81), $8 (82); $9 connections, and further
# options.  $six: its address and ports 80 and 84 for IPv6.
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
			-p "$quirk quiet t=net net=$how conns=$conns six=${six:+1}" "$@"
	) &
	booting=$!
	n=0
	until grep -q 'FACT net.serving' "$state/$name.raw" 2>/dev/null ||
		[ -e "$state/$name.rc" ] || [ $n -gt "${limit:-600}" ]; do
		sleep 1
		n=$((n + 1))
	done
	wget -q -O - "http://$at:$web/file" | md5sum | cut -d' ' -f1 \
		>"$state/$name.fetched"
	[ -z "${six-}" ] || net_reach6 "$name" $six
	echo from-outside | /guest/xfer udp-send "$at" "$datagrams"
	echo the-word | /guest/xfer send "$at" "$words"
	wait $booting
	net_stop_servers
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

# What is true of every guest that was reached by IPv6 as well.
net_check6() {
	name=net-$1
	same "the file received by IPv6" "$(fact_of "$name" net.received6)" \
		"$(cat /tmp/net/md5)"
	same "the file sent by IPv6" "$(md5sum <"/tmp/net/$name.sent6" | cut -d' ' -f1)" \
		"$(cat /tmp/net/md5)"
	same "the datagram sent by IPv6" "$(cat "/tmp/net/$name.datagram6")" datagram6
	same "the file fetched by IPv6" "$(cat "$state/$name.fetched6")" \
		"$(cat /tmp/net/md5)"
	same "the datagram received by IPv6" \
		"$(fact_of "$name" net.datagram6.received)" from-outside6
}

# Over passt with kernel $1.
net_user() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	six='::1 8083 8084'
	net_guest "user-$1" "$1" dhcp \
		"user,loopback,tcp=8080:80,tcp=8081:81,udp=8082:82,$net_forwards6" \
		127.0.0.1 8080 8081 8082 "${2-}"
	net_check "user-$1" "${2-}"
	net_check6 "user-$1"
	# Beyond the router, and an address that passt announces.
	same "what it gets of another network" "$(fact_of "net-user-$1" net.beyond6)" word
	same "addresses that were announced" "$(fact_of "net-user-$1" net.announced6)" 1
	same "the address" "$(fact_of "net-user-$1" net.address)" 10.0.2.15/24
	same "the router" "$(fact_of "net-user-$1" net.router)" 10.0.2.2
	same "the name server" "$(fact_of "net-user-$1" net.dns)" 192.0.2.2
	same "what it gets by name" "$(fact_of "net-user-$1" net.named)" word
	same "the mac" "$(fact_of "net-user-$1" net.mac)" 02:00:00:00:00:07
	same "the mtu" "$(fact_of "net-user-$1" net.mtu)" 65520
	[ -z "$(pidof passt ld.so)" ] || fail "passt is left"
}

# Over a tap device with kernel $1.
net_tap() {
	six='fd07::2 80 84'
	net_guest "tap-$1" "$1" static tap=inside 10.7.0.2 80 81 82 "${2-}"
	net_check "tap-$1" "${2-}"
	net_check6 "tap-$1"
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

# The command line of guest $1 on one end of a pair of sockets.
net_six() {
	echo "exec timeout -s KILL 600 thaw run -k '$(kernel_image 6.12 plain)' \
		-m 256M -i /guest/initrd-6.12 --net fd=3,mac=02:00:00:00:06:0$1 \
		-p '$quirk quiet t=net net=six$1' </dev/null \
		>'$state/net-six-$1.raw' 2>'$state/net-six-$1.err'"
}

# IPv6 between two guests: a file each way, and a datagram.
case_net_ipv6() {
	/guest/xfer pair "$(net_six 1)" "$(net_six 2)" || fail "a guest:" \
		"$(tail -n 1 "$state/net-six-1.err") $(tail -n 1 "$state/net-six-2.err")"
	for i in 1 2; do
		tr -d '\r' <"$state/net-six-$i.raw" >"$state/net-six-$i.log"
	done
	same "the file, there" "$(fact_of net-six-1 net.received)" \
		"$(fact_of net-six-2 net.file)"
	same "the file, and back" "$(fact_of net-six-2 net.received)" \
		"$(fact_of net-six-2 net.file)"
	same "the datagram" "$(fact_of net-six-1 net.datagram.received)" six
}

# 256 MB each way and 1,000 connections.  The guest keeps the file in its memory, of
# which it gives half to files.
case_net_large() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_bytes=256000000
	# A try of `boot' has 400 seconds, and the emulated x86 host needs more.
	limit=3000
	net_guest large 6.12 dhcp 'user,loopback,tcp=8080:80,tcp=8081:81,udp=8082:82' \
		127.0.0.1 8080 8081 8082 1000 -m 640M
	info "bytes sent: $(stat -c %s /tmp/net/net-large.sent)," \
		"free here: $(df -k /tmp | awk 'END { print $4 }') KiB"
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
			ip -6 addr show dev eth0 scope global |
				sed -n "s/.*inet6 \([^ ]*\).*/\1/p"
			cat /etc/resolv.conf
			/guest/xfer resolve host.test 10.0.2.3
			wget -q -O - http://10.0.2.2:8000/file | md5sum
			wget -q -O - http://10.0.2.2:8000/word
			wget -q -O - "http://[fd74:6861:7700::2]:8000/word"
			wget -q -O - "http://[2001:db8::2]:8000/word"'
	)
	exec_status "net-$1" 0
	same "what it said" "$(tr '\n' ' ' <"$state/exec-net-$1.out")" \
		"10.0.2.15/24 fd74:6861:7700::15/64 nameserver 10.0.2.3 10.0.2.2 $(cat \
			/tmp/net/md5)  - $1 $1 $1 "
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
	same "what ctl and snapshot said" \
		"$(sed 's/,"pause_us".*}/}/' /tmp/net-pause.said | uniq -c |
			tr -s ' \n' ' ')" ' 7 {"ok":true} '
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

# Print how often the event loop of thaw, process $1, has waited.
net_waits() {
	for task in "/proc/$1/task"/*; do
		[ "$(cat "$task/comm")" != loop ] ||
			awk '/^voluntary/ { print $2 }' "$task/status"
	done
}

# Print the processor time of process $1 in ticks.
net_ticks() {
	awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# A guest whose network $2 is up and idle, reached at $3 and port $4: nothing wakes
# the event loop.  The ticks are a figure only.
net_idle() {
	log=$state/net-idle-$1
	(
		PATH=/tmp/net/bin:$PATH
		exec thaw run -k "$(kernel_image 6.12 plain)" -m 128M \
			-i /guest/initrd-6.12 --net "$2" \
			-p "$quirk quiet t=net net=idle-$1" </dev/null \
			>"$log.raw" 2>"$log.err"
	) &
	pid=$!
	net_await 300 "$log.raw" 1 'FACT net.serving'
	# The last of the addresses' own messages.
	sleep 10
	before=$(net_waits $pid) ticks=$(net_ticks $pid)
	sleep 5
	after=$(net_waits $pid)
	info "idle network over $1: $((after - before)) wakeups of the event loop and" \
		"$(($(net_ticks $pid) - ticks)) ticks of 10 ms in 5 s"
	echo word | /guest/xfer send "$3" "$4"
	wait $pid
	[ "$before" -gt 0 ] || fail "no event loop"
	within "wakeups in 5 s" $((after - before)) 0 5
}

case_net_idle() {
	net_begin
	net_idle tap tap=inside 10.7.0.2 81
	[ ! -e /guest/passt/passt ] ||
		net_idle user user,tcp=8081:81 127.0.0.1 8081
}

# Run a guest of the case by the words after $1, where it sends a file twice, unless
# $1 is `none'; then save it as /tmp/net/moves-$1.
net_move() {
	host=$1
	shift
	log=$state/net-moves-$host
	rm -f /tmp/net/moves.sent
	# A connection of the host side before may hang.
	net_serve_one listen 8001 /tmp/net/moves.sent &
	thaw "$@" --control /tmp/net/move.sock </dev/null >"$log.raw" 2>"$log.err" &
	pid=$!
	until [ -S /tmp/net/move.sock ]; do sleep 1; done
	if [ "$host" != none ]; then
		net_await 300 "$log.raw" 2 'FACT net.pushed=1'
		same "what came over $host" \
			"$(md5sum </tmp/net/moves.sent | cut -d' ' -f1)" \
			"$(sed -n 's/^FACT net.file=//p' "$state/net-moves-tap.raw" | tr -d '\r')"
	fi
	thaw snapshot --stop /tmp/net/move.sock "/tmp/net/moves-$host" || fail "save"
	wait $pid
	net_stop_servers
	same "lines over $host" "$(cat "$log.err")" ""
}

# A guest is saved on a tap device, whose offloads it uses, and restored over passt,
# with nothing, and on the tap device again.  passt takes the guest's address as it is.
case_net_moves() {
	[ -e /guest/passt/passt ] || skip "no passt here"
	net_begin
	PATH=/tmp/net/bin:$PATH
	rm -rf /tmp/net/moves* /tmp/net/move.sock
	net_move tap run -k "$(kernel_image 6.12 plain)" -m 128M -i /guest/initrd-6.12 \
		--net tap=inside -p "$quirk quiet t=net net=moves"
	net_move user restore --net user /tmp/net/moves-tap
	net_move none restore --net none /tmp/net/moves-user
	net_move back restore --net tap=inside /tmp/net/moves-none
}
