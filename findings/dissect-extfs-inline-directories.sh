#!/bin/sh
# dissect.extfs reads a directory whose entries are in its inode (inline_data) from the first byte on. There the number of the
# parent directory is, and the entries begin 4 bytes later: the names that it lists are not there, and what is there cannot be
# opened. It says so in a warning about an entry of length zero. Files with inline data are read right.
#
# Seen with dissect.extfs 3.15 and e2fsprogs 1.47.0-2+b2 (Debian 12), a directory with two names that e2fsck finds sound:
#   debugfs: name1 name2; dissect.extfs: one empty name, "File not found: /folder/name1"; a file of 6 bytes beside it: read
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q e2fsprogs=1.47.0-2+b2 libext2fs2 libss2 libcom-err2 libblkid1 libuuid1 >/dev/null 2>&1 || { echo "e2fsprogs 1.47.0 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
python3 -m venv venv && venv/bin/pip install -q dissect.extfs==3.15 dissect.cstruct==4.7 dissect.util==3.24 >/dev/null 2>&1 || { echo "dissect.extfs 3.15 cannot be installed"; exit 2; }
run() { program=$1; shift; LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" "$folder/root/sbin/$program" "$@"; }
truncate -s 16M image
run mke2fs -q -F -t ext4 -b 4096 -O inline_data image
printf 'hello\n' >file
printf 'write file file\nmkdir folder\ncd folder\nwrite file name1\nwrite file name2\n' | run debugfs -w -f - image >/dev/null 2>&1
run e2fsck -fn image >/dev/null 2>&1 || { echo "changed: e2fsck finds something"; exit 1; }
run debugfs -R 'stat folder' image 2>/dev/null | grep -o 'Flags: .*'
cat >read.py <<'E'
import logging
from dissect.extfs import ExtFS
logging.disable()
disk = ExtFS(open("image", "rb"))
print("file:", disk.get("/file").open().read())
print("folder:", sorted(disk.get("/folder").listdir()))
try:
    print(disk.get("/folder/name1").open().read())
except FileNotFoundError as error:
    print(error)
E
seen=$(venv/bin/python read.py 2>/dev/null)
run debugfs -R 'ls folder' image 2>/dev/null | grep -o 'name[12]'
printf '%s\n' "$seen"
[ "$seen" = "file: b'hello\n'
folder: ['']
File not found: /folder/name1" ] || { echo "changed: an empty name was listed"; exit 1; }
