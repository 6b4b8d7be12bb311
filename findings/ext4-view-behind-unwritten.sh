#!/bin/sh
# The Rust crate ext4-view takes the length field of an unwritten extent (32768 and its blocks) for the number of its blocks.
# So it does not only show what lay in them instead of zeros: of a file that goes on behind such an extent it never shows its
# own data, but the blocks that follow the extent on the device, which are another file's. Size and checksums are right.
#
# Seen with ext4-view 0.9.3 in the PyPI package ext4-cli 0.0.5, and e2fsprogs 1.47.0-2+b2 (Debian 12): of a file with 4
# unwritten blocks and then 4 of "C", debugfs prints 16384 zeros and 16384 C; ext4-cli no zero and no C, but 16384 B, which
# are in the file behind it. e2fsck finds nothing wrong.
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q e2fsprogs=1.47.0-2+b2 libext2fs2 libss2 libcom-err2 libblkid1 libuuid1 >/dev/null 2>&1 || { echo "e2fsprogs 1.47.0 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
python3 -m venv venv && venv/bin/pip install -q ext4-cli==0.0.5 >/dev/null 2>&1 || { echo "ext4-cli 0.0.5 cannot be installed"; exit 2; }
grep -rhoE 'ext4-view[@#-]0[0-9.]*' venv/lib/python*/site-packages/ext4_cli-0.0.5.dist-info/sboms | sort -u || true
run() { program=$1; shift; LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" "$folder/root/sbin/$program" "$@"; }
yes before | head -c 16777216 >image
run mke2fs -q -F -t ext4 -b 4096 -E nodiscard image
head -c 16384 /dev/zero >data # its zeros become a hole
head -c 16384 /dev/zero | tr '\0' C >>data
head -c 16384 /dev/zero | tr '\0' B >behind
printf 'write data file\nfallocate file 0 3\nwrite behind behind\n' | run debugfs -w -f - image >/dev/null 2>&1
run debugfs -R 'ex file' image 2>/dev/null
run e2fsck -fn image >/dev/null 2>&1 || { echo "changed: e2fsck finds something"; exit 1; }
count() { echo "$1: $(wc -c <out) bytes, $(tr -cd '\0' <out | wc -c) zeros, $(tr -cd C <out | wc -c) C, $(tr -cd B <out | wc -c) B"; }
seen=$(run debugfs -R 'cat file' image >out 2>/dev/null
count debugfs
venv/bin/ext4-cli --source image cat --output text /file >out
count ext4-cli)
echo "$seen"
[ "$seen" = "debugfs: 32768 bytes, 16384 zeros, 16384 C, 0 B
ext4-cli: 32768 bytes, 0 zeros, 0 C, 16384 B" ] || { echo "changed: ext4-cli showed no zero and no C, but 16384 B"; exit 1; }
