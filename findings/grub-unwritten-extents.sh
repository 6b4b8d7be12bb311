#!/bin/sh
# GRUB knows no unwritten extents on ext4. It takes the length field of one (32768 and its blocks) for the length itself:
# blocks that read as zeros in Linux show what was on the device before, and a hole behind them shows the blocks that follow
# on the device, which are another file's. Nothing is reported. A file that was only allocated (fallocate), or zeroed with
# `fallocate -z`, is another one in GRUB than in Linux.
#
# Seen with grub-common 2.06-13+deb12u2 (Debian 12), and so in 2.12 and 2.14: of a file with 4 unwritten blocks and 4 of a
# hole, debugfs prints 32768 zeros; grub-fstest the 16384 bytes that lay there before mke2fs, and then the file behind it.
# e2fsck finds nothing wrong.
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
grub-fstest --version
yes BEFORE | head -c 16777216 >image
mke2fs -q -F -t ext4 -b 4096 -E nodiscard image
head -c 20000 /dev/zero | tr '\0' B >behind
printf 'write /dev/null file\nfallocate file 0 3\nsif file size 32768\nwrite behind behind\n' | debugfs -w -f - image >/dev/null 2>&1
debugfs -R 'ex file' image 2>/dev/null
e2fsck -fn image >/dev/null 2>&1 || { echo "changed: e2fsck finds something"; exit 1; }
count() { # bytes of each kind in what a reader prints: zeros, letters of BEFORE, and B that is not of it
  head -c 16384 out >first; tail -c +16385 out >last
  echo "$1: $(tr -d '\0' <first | tr -cd 'EFOR' | wc -c) of BEFORE, then $(tr -cd B <last | wc -c) B; $(tr -cd '\0' <out | wc -c) zeros"
}
debugfs -R 'cat file' image >out 2>/dev/null
count debugfs | tee seen
grub-fstest image cat '(loop0)/file' >out
count grub-fstest | tee -a seen
cat >expected <<'E'
debugfs: 0 of BEFORE, then 0 B; 32768 zeros
grub-fstest: 11703 of BEFORE, then 16384 B; 0 zeros
E
cmp -s seen expected || { echo "changed; this was seen:"; cat expected; exit 1; }
