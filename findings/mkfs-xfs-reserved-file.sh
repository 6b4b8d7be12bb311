#!/bin/sh
# mkfs.xfs has an undocumented file type of protofiles that allocates blocks without content (`r`, with a length); the file
# has them afterwards, but its size is 0 and all of them are unwritten: a program that opens it finds an empty file. Who
# wants a file of that length has to set the size (and, for DAX without page faults that allocate, write it).
#
# Seen with xfsprogs 6.1.0-1 (Debian 12): core.size = 0, core.nblocks = 1024, extent flag 1 (unwritten); xfs_repair -n
# finds nothing wrong.
# Exit status: 0 as seen; 1 the behaviour has changed; 2 the package cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q xfsprogs=6.1.0-1 libedit2 libinih1 liburcu8 libbsd0 libmd0 >/dev/null 2>&1 || { echo "xfsprogs 6.1.0-1 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu"
export LD_LIBRARY_PATH
"$folder/root/sbin/mkfs.xfs" -V
truncate -s 400M image
printf '/dev/null\n0 0\nd--755 0 0\nfile r--600 0 0 4194304\n$\n' >proto
"$folder/root/sbin/mkfs.xfs" -q -f -p proto image
seen=$("$folder/root/usr/sbin/xfs_db" -r -c 'path /file' -c 'p core.size core.nblocks' -c bmap image)
echo "$seen"
"$folder/root/sbin/xfs_repair" -n image >/dev/null 2>&1 || { echo "changed: xfs_repair finds something"; exit 1; }
case $seen in
*"core.size = 0"*"core.nblocks = 1024"*"count 1024 flag 1"*) exit 0 ;;
*) echo "changed: size 0 and 1024 unwritten blocks were seen"; exit 1 ;;
esac
