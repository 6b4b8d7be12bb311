#!/bin/sh
# GRUB cannot read a file on ext4 that begins with a hole: "something wrong with extent". A hole anywhere else is fine, and so
# is one at the start when the file is mapped by indirect blocks. mke2fs -d, debugfs write and cp --sparse make a hole of
# leading zeros, so an image of a file system or disk whose first block is zeros, which GRUB is to `loopback`, is such a file;
# one that is all hole (truncate) is too.
#
# Seen with grub-common 2.06-13+deb12u2 and e2fsprogs 1.47.0-2+b2 (Debian 12), and so in GRUB 2.12 and 2.14; e2fsck finds
# nothing wrong:
#   zeros, data           extents: something wrong with extent       indirect blocks: read
#   data, zeros, data     extents: read                              indirect blocks: read
# Exit status: 0 as seen; 1 the behaviour has changed; 2 the packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q grub-common=2.06-13+deb12u2 e2fsprogs=1.47.0-2+b2 libext2fs2 libss2 libcom-err2 libblkid1 libuuid1 \
  libdevmapper1.02.1 libudev1 libselinux1 libpcre2-8-0 >/dev/null 2>&1 || { echo "the packages cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu"
PATH="$folder/root/sbin:$folder/root/usr/sbin:$folder/root/usr/bin:$PATH"
export LD_LIBRARY_PATH PATH
{ head -c 8192 /dev/zero; printf data; } >first
{ printf data; head -c 8192 /dev/zero; printf data; } >later
seen=$(for features in extent ^extent,^64bit; do
  rm -f image
  truncate -s 16M image
  mke2fs -q -F -t ext4 -b 4096 -O $features image
  printf 'write first first\nwrite later later\n' | debugfs -w -f - image >/dev/null 2>&1
  e2fsck -fn image >/dev/null 2>&1 || echo "e2fsck finds something"
  for one in first later; do
    grub-fstest image cat "(loop0)/$one" >out 2>words || true
    echo "$features $one: $(cmp -s $one out && echo read || sed -n 's/.*: //p' words)"
  done
done)
echo "$seen"
[ "$seen" = "extent first: something wrong with extent.
extent later: read
^extent,^64bit first: read
^extent,^64bit later: read" ] || { echo "changed: only the first was refused"; exit 1; }
