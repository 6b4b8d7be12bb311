#!/bin/sh
# 7-Zip reports "Headers Error", exit status 2, for a sound ext4 image with a block group whose inodes were never used, when
# old bytes lie where that group's inode bitmap is. mke2fs writes no bitmap there and says so in the group's descriptor
# (INODE_UNINIT); 7-Zip counts the bits all the same. So it lists a file system on a device that was empty without an error,
# and not the same one on a device that was in use.
#
# Seen with 7zip 22.01+really26.01+dfsg-0+deb12u1 and e2fsprogs 1.47.0-2+b2 (Debian 12): e2fsck -fn finds nothing wrong with
# either; `7zz l` exits 0 with zeros in the inode bitmap of group 1, and 2 with "BEFORE" there. So does 26.05.
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q 7zip=22.01+really26.01+dfsg-0+deb12u1 e2fsprogs=1.47.0-2+b2 libext2fs2 libss2 libcom-err2 libblkid1 libuuid1 \
  >/dev/null 2>&1 || { echo "the packages cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu"
PATH="$folder/root/sbin:$folder/root/usr/sbin:$folder/root/usr/bin:$PATH"
export LD_LIBRARY_PATH PATH
yes BEFORE | head -c 16777216 >old
truncate -s 16M empty
for one in empty old; do
  mke2fs -q -F -t ext4 -b 1024 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 $one
  e2fsck -fn $one >/dev/null 2>&1 || { echo "changed: e2fsck finds something"; exit 1; }
done
dumpe2fs old 2>/dev/null | grep -A 4 '^Group 1:'
bitmap=$(dumpe2fs old 2>/dev/null | grep -A 4 '^Group 1:' | sed -n 's/.*Inode bitmap at \([0-9]*\).*/\1/p')
cp old repaired # the same, but for the bytes of that bitmap
dd if=/dev/zero of=repaired bs=1024 seek="$bitmap" count=1 conv=notrunc status=none
e2fsck -fn repaired >/dev/null 2>&1 || { echo "changed: e2fsck finds something"; exit 1; }
seen=$(for one in empty old repaired; do
  status=0
  7zz l $one >out 2>&1 || status=$?
  echo "$one: $status $(grep -m 1 -x 'Headers Error' out || true)"
done)
echo "$seen"
[ "$seen" = "empty: 0 
old: 2 Headers Error
repaired: 0 " ] || { echo "changed: old had an error in its headers, the others none"; exit 1; }
