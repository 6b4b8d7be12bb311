#!/bin/sh
# dissect.xfs reads unwritten extents as what lies in their blocks, where Linux reads zeros: of a file that was allocated
# with fallocate, or zeroed with `fallocate -z`, it shows what the blocks held before. (Its sister dissect.extfs reads zeros
# there, and shows such extents as holes.)
#
# Seen with dissect.xfs 3.13 and a file system of mkfs.xfs 6.1.0 that xfs_repair finds sound: an extent of 1024 blocks with
# flag 1 (unwritten); dissect reads "before" at its start.
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q xfsprogs=6.1.0-1 libedit2 libinih1 liburcu8 libbsd0 libmd0 >/dev/null 2>&1 || { echo "xfsprogs 6.1.0-1 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
python3 -m venv venv && venv/bin/pip install -q dissect.xfs==3.13 dissect.cstruct==4.7 dissect.util==3.24 >/dev/null 2>&1 || { echo "dissect.xfs 3.13 cannot be installed"; exit 2; }
run() { program=$1; shift; LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" "$folder/root/$program" "$@"; }
truncate -s 400M image
printf '/dev/null\n0 0\nd--755 0 0\nfile r--600 0 0 4194304\n$\n' >proto
run sbin/mkfs.xfs -q -f -p proto image
run usr/sbin/xfs_db -x -c 'path /file' -c 'write core.size 4194304' image >/dev/null
map=$(run usr/sbin/xfs_db -r -c 'path /file' -c bmap image)
echo "$map"
block=$(echo "$map" | sed 's/.*startblock \([0-9]*\) (0.*/\1/') # in the first allocation group: the number of the block
printf before | dd of=image bs=4096 seek="$block" conv=notrunc status=none
run sbin/xfs_repair -n image >/dev/null 2>&1 || { echo "changed: xfs_repair finds something"; exit 1; }
seen=$(venv/bin/python -c '
from dissect.xfs import XFS
print(XFS(open("image", "rb")).get("/file").open().read(8))')
echo "dissect.xfs reads $seen"
case $map$seen in
*"count 1024 flag 1"*"before"*) exit 0 ;;
*) echo "changed: it read what lay in an unwritten extent"; exit 1 ;;
esac
