#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The values of --share and --root, and directories that cannot be shared.
. "$(dirname "$0")/lib.sh"

dir=$work/dir
mkdir "$dir"

for option in what ro=1 cache cache= cache=some uid uid= uid=x uid=-1 \
	uid=4294967295 gid=1x squash squash=1 squash=1: squash=:1 squash=x:1 \
	dev=1 '' 'ro,'; do
	refuses 64 "share $dir,$option: bad option: ${option##*,}; known are ro" \
		run --share "$dir,$option"
	refuses 64 "share $dir,$option: bad option" run --root "$dir,$option"
done
refuses 64 "share $dir,squash=1:1,dev: dev needs root" \
	run --share "$dir,squash=1:1,dev"
refuses 64 'share : no directory' run --share ''
refuses 64 'share :tag: no directory' run --share :tag
refuses 64 'no directory' run --root ,ro
refuses 64 'a tag has 1 to 36 bytes' run --share "$dir:"
refuses 64 'a tag has 1 to 36 bytes' \
	run --share "$dir:0123456789012345678901234567890123456"
refuses 64 'tag x is used twice' run --share "$dir:x" --share "$work:x"
refuses 64 'tag root is used twice' run --root "$dir" --share "$work:root"
set --
for n in 1 2 3 4 5 6 7 8 9; do
	set -- "$@" --share "$dir:$n"
done
refuses 64 'more than 8 shares' run "$@"

need_kvm
shared() {
	shows . run -k "$guest" "$@"
}
shared --share "$dir" --share "$dir:x,ro,cache=always"

# Commas and colons in names.
mkdir "$work/a,b" "$work/,a,,b," "$work/c:d" "$work/c:d,"
shared --share "$work/a,,b:t,,t,ro" --share "$work/,,a,,,,b,,,ro" \
	--share "$work/c:d:tag" --root "$work/c:d"
shared --root "$work/c:d,,,ro"
refuses 64 "share $work/a,b: bad option" run --share "$work/a,b"
refuses 70 "share $work/a,b,: No such file" run -k "$guest" \
	--share "$work/a,,b,,"
refuses 70 "share $work/c: No such file" run -k "$guest" \
	--share "$work/c:d"
refuses 70 "share $work/dir:tag: No such file" run -k "$guest" \
	--root "$dir:tag"
touch "$work/file"
refuses 70 "share $work/none: No such file" run -k "$guest" --share "$work/none"
refuses 70 "share $work/file: Not a directory" \
	run -k "$guest" --share "$work/file:x"

# Root without privileges is a user that owns /dev/kvm.
if command -v setpriv >/dev/null && [ "$(id -u)" -eq 0 ]; then
	run run -k "$guest" --share "$dir,uid=1"
	grep -q "share $dir: uid and gid have no effect" "$work/err" ||
		fail 'no warning about uid'
	chmod 700 "$dir"
	refuses 70 "share $dir: Permission denied" \
		run -k "$guest" --share "$dir,squash=1:1"
	chmod 755 "$dir" "$work"
	shared --share "$dir,squash=1:1,uid=5"
	set -- --inh-caps=-all --bounding-set=-all
	cat >"$work/plain" <<END
#!/bin/sh
exec setpriv $* "$thaw" "\$@"
END
	chmod 755 "$work/plain"
	thaw=$work/plain
fi
chmod 000 "$dir"
if ! sh -c 'cd "$1"' sh "$dir" 2>/dev/null || [ "$thaw" = "$work/plain" ]; then
	refuses 70 "share $dir: Permission denied" run -k "$guest" --share "$dir"
	chmod 755 "$dir"
	refuses 70 "share $dir: dev needs root with CAP_MKNOD" \
		run -k "$guest" --share "$dir,dev"
	refuses 70 "share $dir: squash: Operation not permitted" \
		run -k "$guest" --share "$dir,squash=1:1"
	shared --share "$dir,uid=1,gid=2"
fi
chmod 755 "$dir"

finish
