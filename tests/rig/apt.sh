# SPDX-License-Identifier: BSD-2-Clause
#
# apt.sh - packages of another suite or architecture, without touching the
# machine's own apt state.  Sourced, not run.
#
# The mirror, its signing key, proxy and credentials all come from the machine's
# own apt configuration, in either of its two formats; only the suite (and the
# architecture) changes.  Lists and downloads live under the cache.
#
#	rig_cache			print (and make) the cache directory
#	rig_codename			print the machine's own release name
#	rig_apt SUITE ARCH TOOL ARGS	run apt-get/apt-cache against a suite
#	rig_apt_ready SUITE ARCH	make sure its lists are there; 1 = not had
#	rig_deb SUITE ARCH 'PKG...' DIR	download packages, unpack them into DIR
#	rig_tree SUITE ARCH 'PKG...' DIR	the same with all that they depend on
#	rig_tool NAME PKG		print the path of a program, fetched if need be
#
# Everything here is safe to run concurrently: lists are fetched under a lock,
# packages are unpacked to a temporary name and renamed.

# Print the directory that holds what was fetched or built; never in the tree.
rig_cache() {
	_c=${THAW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/thaw}
	mkdir -p "$_c" && printf '%s\n' "$_c"
}

# Print the release name of this machine (bookworm, trixie, ...).
rig_codename() {
	sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
}

# Print deb822 stanzas for suite $1: the machine's own entries for its base
# suite, of either format, with the suite changed and binary packages only.
rig_apt_sources() {
	_own=$(rig_codename)
	_parts=/etc/apt/sources.list.d
	for _f in "$_parts"/*.sources; do
		[ -r "$_f" ] || continue
		awk -v own="$_own" -v suite="$1" -v RS= -F '\n' '
		{
			uris = key = ""; debian = bin = multi = 0
			for (i = 1; i <= NF; i++) {
				line = $i
				if (line ~ /^#/) continue
				name = tolower(line); sub(/:.*/, "", name)
				val = line; sub(/^[^:]*:[ \t]*/, "", val)
				if (line ~ /^[ \t]/) {
					if (multi) key = key "\n" line
					continue
				}
				multi = 0
				if (name == "types") bin = (" " val " ") ~ / deb /
				if (name == "uris") uris = val
				if (name == "signed-by") {
					key = "Signed-By: " val; multi = 1
				}
				if (name == "suites")
					debian = (" " val " ") ~ (" (" own "|stable) ")
			}
			if (debian && bin && uris != "")
				printf "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n%s\n",
					uris, suite, key == "" ? "" : key "\n"
		}' "$_f"
	done
	for _f in /etc/apt/sources.list "$_parts"/*.list; do
		[ -r "$_f" ] || continue
		awk -v own="$_own" -v suite="$1" '
		$1 == "deb" {
			line = $0; key = ""
			if (match(line, /\[[^]]*\]/)) {
				opts = substr(line, RSTART + 1, RLENGTH - 2)
				line = substr(line, 1, RSTART - 1) " " \
					substr(line, RSTART + RLENGTH)
				n = split(opts, o, " ")
				for (i = 1; i <= n; i++)
					if (o[i] ~ /^signed-by=/)
						key = "Signed-By: " substr(o[i], 11) "\n"
			}
			n = split(line, w, " ")
			if (w[3] != own && w[3] != "stable") next
			printf "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n%s\n",
				w[2], suite, key
		}' "$_f"
	done
}

# Run an apt tool ($3...) on suite $1 and architecture $2, and on nothing else.
rig_apt() {
	_d=$(rig_cache)/apt/$1-$2
	_arch=$2 _tool=$3
	shift 3
	"$_tool" \
		-o Dir::Etc::sourcelist="$_d/main.sources" \
		-o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State="$_d/state" \
		-o Dir::State::status="$_d/status" \
		-o Dir::Cache="$_d/cache" \
		-o APT::Architecture="$_arch" \
		-o APT::Architectures="$_arch" \
		-o APT::Get::List-Cleanup=false \
		-o APT::Sandbox::User=root \
		-o Acquire::Languages=none \
		-o Acquire::Retries=3 \
		"$@"
}

# Fetch the lists of suite $1, architecture $2, when absent or a day old (the
# old versions leave a mirror within days).  Returns 1 with the reason on
# standard error when the suite is not available.
rig_apt_ready() {
	_d=$(rig_cache)/apt/$1-$2
	mkdir -p "$_d/state/lists/partial" "$_d/cache/archives/partial" || return 1
	(
		flock 9
		find "$_d/fresh" -mtime -1 2>/dev/null | grep -q . && exit 0
		: >"$_d/status"
		rig_apt_sources "$1" >"$_d/main.sources"
		if ! [ -s "$_d/main.sources" ]; then
			echo "apt: no Debian source for $(rig_codename) on this machine" >&2
			exit 1
		fi
		if ! rig_apt "$1" "$2" apt-get -qq update >"$_d/log" 2>&1; then
			echo "apt: suite $1 ($2) is not available:" >&2
			tail -n 3 "$_d/log" >&2
			exit 1
		fi
		: >"$_d/fresh"
	) 9>"$_d/lock"
}

# Unpack packages $3 (a list of words) of suite $1, architecture $2, into the new
# directory $4: all of them or none.  With $5, DIR is laid out as the root of a
# system, with /usr merged.
rig_deb() {
	rig_apt_ready "$1" "$2" || return 1
	_t=$4.tmp.$$
	rm -rf "$_t" && mkdir -p "$_t/deb" "$_t/root" || return 1
	# shellcheck disable=SC2086 # a list of words
	if ! (cd "$_t/deb" && rig_apt "$1" "$2" apt-get -qq download $3) >&2; then
		rm -rf "$_t"
		echo "apt: cannot download $3 ($2) of $1" >&2
		return 1
	fi
	[ -z "${5-}" ] || (
		cd "$_t/root"
		mkdir usr
		for _link in bin sbin lib lib64; do
			mkdir "usr/$_link"
			ln -s "usr/$_link" $_link
		done
	)
	for _deb in "$_t"/deb/*.deb; do
		# dpkg-deb -x would replace those links.
		if ! dpkg-deb --fsys-tarfile "$_deb" |
			tar -x -C "$_t/root" --no-same-owner --keep-directory-symlink; then
			rm -rf "$_t"
			return 1
		fi
	done
	# A concurrent run may have been first; its result is as good.
	mkdir -p "${4%/*}"
	[ -e "$4" ] || mv -T "$_t/root" "$4" 2>/dev/null || [ -e "$4" ]
	_r=$?
	rm -rf "$_t"
	return $_r
}

# Unpack packages $3 (a list of words) and those that they depend on, as rig_deb
# does, into $4: a system whose packages are not configured.
rig_tree() {
	rig_apt_ready "$1" "$2" || return 1
	# shellcheck disable=SC2086 # a list of words
	_all=$(rig_apt "$1" "$2" apt-get -s -y --no-install-recommends \
		install $3 | sed -n 's/^Inst \([^ ]*\).*/\1/p')
	if [ -z "$_all" ]; then
		echo "apt: cannot find all of $3 ($2) in $1" >&2
		return 1
	fi
	rig_deb "$1" "$2" "$_all" "$4" merged
}

# Print the path of program $1: the machine's own, else one out of package $2,
# which must need no library that apt itself does not need.
rig_tool() {
	command -v "$1" && return
	_tools=$(rig_cache)/tools/$2
	[ -e "$_tools" ] || rig_deb "$(rig_codename)" \
		"$(dpkg --print-architecture)" "$2" "$_tools" || return 1
	echo "$_tools/usr/bin/$1"
}
