#!/bin/sh
# libfsxfs cannot open a file on XFS whose extents are in a tree of two levels, and says "unsupported B+ tree node level";
# neither the file's size nor its times can be had, since the error comes with the path. With 4 KiB blocks a file gets there
# with some 5,000 extents, or fewer when attributes share its inode: an image that a guest filled piece by piece.
#
# Seen with libfsxfs-python 20260901 and a file system of mkfs.xfs 6.1.0 that xfs_repair finds sound: 287 extents under a
# root of level 1 can be opened, 1,237 under one of level 2 cannot.
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had. It needs 100 MiB.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q xfsprogs=6.1.0-1 libedit2 libinih1 liburcu8 libbsd0 libmd0 >/dev/null 2>&1 || { echo "xfsprogs 6.1.0-1 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
python3 -m venv venv && venv/bin/pip install -q libfsxfs-python==20260901 >/dev/null 2>&1 || { echo "libfsxfs-python 20260901 cannot be installed"; exit 2; }
run() { program=$1; shift; LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" "$folder/root/$program" "$@"; }
seen=$(for groups in 300 1300; do # one extent in each allocation group: GiB that are holes in the image
  rm -f image
  truncate -s $((groups * 80))M image
  printf '/dev/null\n0 0\nd--755 0 0\nfile r--600 0 0 %d\n$\n' $(((groups * 80 - groups * 4) << 20)) >proto
  run sbin/mkfs.xfs -q -f -b size=1024 -d agcount=$groups -m reflink=0,rmapbt=0,finobt=0 -l size=64m -p proto image
  run usr/sbin/xfs_db -r -c 'path /file' -c 'p u3.bmbt.level core.nextents' image
  run sbin/xfs_repair -n image >/dev/null 2>&1 || echo "xfs_repair finds something"
  venv/bin/python - <<'E'
import pyfsxfs
volume = pyfsxfs.volume()
volume.open("image")
try:
    print("opened,", volume.get_file_entry_by_path("/file").get_number_of_extents(), "extents")
except OSError as error:
    print("level" in str(error) and "refused: unsupported B+ tree node level" or error)
E
done)
echo "$seen"
levels=$(echo "$seen" | sed 's/core.nextents = .*/core.nextents/; s/opened.*/opened/' | tr '\n' ' ')
[ "$levels" = "u3.bmbt.level = 1 core.nextents opened u3.bmbt.level = 2 core.nextents refused: unsupported B+ tree node level " ] ||
  { echo "changed: level 1 was opened, level 2 refused"; exit 1; }
