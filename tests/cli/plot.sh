#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# thaw plot: a good trace becomes a picture that is well-formed XML; a bad one
# gets one line and status 70, and no picture.
. "$(dirname "$0")/lib.sh"
trace=$work/trace

# A trace of the lines that come in: header first.
trace() {
	{
		echo '# thaw fault trace 1'
		echo '# memory 268435456'
		echo '# time_us vcpu gpa pages cause stall_us'
		cat
	} >"$trace"
}

# A good trace but for the line $1.
trace_with() {
	printf '%s\n' '1.0 0 0x1000 1 vcpu 1.0' "$1" | trace
}

# The picture on standard output is SVG, with a mark for each of $1 faults.
is_picture() {
	[ "$status" -eq 0 ] || fail "status $status of a good trace"
	[ ! -s "$work/err" ] || fail 'something on standard error'
	python3 - "$work/out" "$1" <<'EOT' || fail 'not the picture that it should be'
import re, sys
import xml.etree.ElementTree as tree
svg = '{http://www.w3.org/2000/svg}'
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == svg + 'svg'
width, height = map(float, root.get('viewBox').split()[2:])
marks = [e for e in root.iter(svg + 'rect') if e.find(svg + 'title') is not None]
assert len(marks) == int(sys.argv[2]), len(marks)
for e in root.iter(svg + 'rect'):
    x, y = float(e.get('x', 0)), float(e.get('y', 0))
    w, h = float(e.get('width')), float(e.get('height'))
    # Half a unit of line may stand out.
    assert -1 <= x and x + w <= width + 1 and -1 <= y and y + h <= height + 1, e.attrib
points = root.find(svg + 'polyline').get('points')
assert re.fullmatch(r'[-0-9., ]+', points), points
EOT
}

trace <<'EOT'
# a remark
325.5 - 0x9f000 1 device 30.1
1234.5 0 0x1f3000 16 vcpu 12.3
1300.0 - 0x100000 16 background 0.0
1299.9 254 0x102000 64 vcpu 1299.9
9.5 - 0xf000 7 uffd 8.0
EOT
run plot "$trace"
is_picture 5
grep -q 'vCPU 254' "$work/out" || fail 'no word on who faulted'

# Standard input is as good as a file.
checks=$((checks + 1)) status=0
"$thaw" plot - <"$trace" >"$work/out" 2>"$work/err" || status=$?
is_picture 5

# The limits of what a trace may say.
trace <<'EOT'
0 - 0x0 1 uffd 0
1000000000000000 2147483647 0xffffffffff000 1 vcpu 1000000000000000
EOT
run plot "$trace"
is_picture 2

# A machine that boots again writes its header again.
trace <<'EOT'
1.0 0 0x1000 1 vcpu 1.0
# thaw fault trace 1
# memory 268435456
1.0 0 0x1000 1 vcpu 1.0
EOT
run plot "$trace"
is_picture 2

refuses 70 "open $work/none: No such file" plot "$work/none"
refuses 70 "read $work: .*directory" plot "$work"
: >"$trace"
refuses 70 "$trace: no faults" plot "$trace"
trace </dev/null
refuses 70 "$trace: no faults" plot "$trace"
echo '1.0 0 0x1000 1 vcpu 1.0' >"$trace"
refuses 70 "$trace: not a fault trace" plot "$trace"
echo '# thaw fault trace 2' >"$trace"
refuses 70 "$trace: not a fault trace" plot "$trace"
head -c 10000 /dev/urandom >"$trace"
refuses 70 "$trace: " plot "$trace"
head -c 100000 /dev/zero >"$trace"
refuses 70 "$trace: " plot "$trace"

# A line of another length.
trace_with '1234.5 0 0x1f3000 16 vcpu'
refuses 70 "$trace: line 5 is malformed" plot "$trace"
trace_with '1234.5 0 0x1f3000 16 vcpu 1.0 1.0'
refuses 70 "$trace: line 5 is malformed" plot "$trace"
trace_with '1234.5 0  0x1f3000 16 vcpu 1.0'
refuses 70 "$trace: line 5 is malformed" plot "$trace"
trace_with ''
refuses 70 "$trace: line 5 is malformed" plot "$trace"
trace_with "$(printf '%02000d' 0)"
refuses 70 "$trace: line 5 is truncated" plot "$trace"
printf '1.0 0 0x1000 1 vcpu 1' | trace
refuses 70 "$trace: line 4 is truncated" plot "$trace"
printf '1.0 0 0x1000 1 vc\0pu 1\n' | trace
refuses 70 "$trace: line 4 is truncated" plot "$trace"

# Each field with what it cannot be.
for word in x -1 1e3 0x10 nan inf 1.2.3 . 1000000000000001 1x; do
	trace_with "$word 0 0x1000 1 vcpu 1.0"
	refuses 70 "$trace: line 5 is malformed" plot "$trace"
	trace_with "1.0 0 0x1000 1 vcpu $word"
	refuses 70 "$trace: line 5 is malformed" plot "$trace"
done
for word in x -1 -- 1x 2147483648 99999999999999999999 1.0; do
	trace_with "1.0 $word 0x1000 1 vcpu 1.0"
	refuses 70 "$trace: line 5 is malformed" plot "$trace"
done
for word in x 0x -0x1000 1000 0xg000 0x10000000000000 0xfffffffffffff000 \
	0x99999999999999999999; do
	trace_with "1.0 0 $word 1 vcpu 1.0"
	refuses 70 "$trace: line 5 is malformed" plot "$trace"
done
for word in x 0 -1 257 4294967295 18446744073709551616 1.0; do
	trace_with "1.0 0 0x1000 $word vcpu 1.0"
	refuses 70 "$trace: line 5 is malformed" plot "$trace"
done
trace_with '1.0 0 0xffffffffff000 2 vcpu 1.0'
refuses 70 "$trace: line 5 is malformed" plot "$trace"
trace_with '1.0 0 0x1000 1 ghost 1.0'
refuses 70 "$trace: line 5 is malformed" plot "$trace"

refuses 64 'FILE|argument|operand' plot
refuses 64 'unexpected argument' plot "$trace" "$trace"

finish
