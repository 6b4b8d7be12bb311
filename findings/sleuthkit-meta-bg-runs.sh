#!/bin/sh
# The Sleuth Kit reads an ext4 with meta_bg only up to the first run of block groups: it looks for all group descriptors behind
# the superblock, where meta_bg has those of the first run alone, and calls the file system corrupt from there on. resize2fs
# turns meta_bg on by itself once the room for descriptors is used up. (dissect.extfs 3.15, the PyPI package ext4 1.4.1 and
# the crate ext4-view 0.9.3 cannot read such files either; GRUB, 7-Zip, libfsext and e2fsprogs can.)
#
# Seen with the Sleuth Kit 4.15.0 (PyPI package pytsk3 20260715; 4.11.1 and 4.12.1 of Debian are the same) and e2fsprogs
# 1.47.0-2+b2: 1 KiB blocks, descriptors of 64 bytes, 16 groups a run, 16 inodes a group. Inode 256 is read; inode 257, the
# first of group 16, is "File system is corrupt (... descriptor block locations too large ...)". e2fsck finds nothing wrong.
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q e2fsprogs=1.47.0-2+b2 libext2fs2 libss2 libcom-err2 libblkid1 libuuid1 >/dev/null 2>&1 || { echo "e2fsprogs 1.47.0 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
python3 -m venv venv && venv/bin/pip install -q pytsk3==20260715 >/dev/null 2>&1 || { echo "pytsk3 20260715 cannot be installed"; exit 2; }
run() { program=$1; shift; LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" "$folder/root/sbin/$program" "$@"; }
truncate -s 64M image
run mke2fs -q -F -t ext4 -b 1024 -g 1024 -N 1024 -O meta_bg,^resize_inode image
echo content >file
for number in $(seq 300); do echo "write file f$number"; done | run debugfs -w -f - image >/dev/null 2>&1
run e2fsck -fn image >/dev/null 2>&1 || { echo "changed: e2fsck finds something"; exit 1; }
cat >read.py <<'E'
import pytsk3
volume = pytsk3.FS_Info(pytsk3.Img_Info("image"))
for inode in (256, 257):
    try:
        print(f"pytsk3 {inode}:", volume.open_meta(inode).read_random(0, 7).decode())
    except OSError as error:
        print(f"pytsk3 {inode}:", "File system is corrupt" if "descriptor block locations too large" in str(error) else error)
E
seen=$(for inode in 256 257; do echo "debugfs $inode: $(run debugfs -R "cat <$inode>" image 2>/dev/null)"; done
venv/bin/python read.py)
echo "$seen"
[ "$seen" = "debugfs 256: content
debugfs 257: content
pytsk3 256: content
pytsk3 257: File system is corrupt" ] || { echo "changed: pytsk3 read inode 256 and not 257"; exit 1; }
