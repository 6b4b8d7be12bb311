#!/bin/sh
# In dissect.volume every partition of a GPT lacks its last sector: the size is last block minus first. Partitions of an MBR
# are whole. With blocks of 4096 bytes 4 KiB are missing, which is where a BTT or a RAID has its second superblock.
#
# Seen with dissect.volume 3.18, and sfdisk 2.38.1-5+deb12u3 as the writer (Debian 12), a partition of 2048 sectors from 2048:
#   gpt: 1048064 bytes, without what is in sector 4095; dos: 1048576 bytes, with it
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q fdisk=2.38.1-5+deb12u3 libfdisk1=2.38.1-5+deb12u3 libsmartcols1 libblkid1 libmount1 libuuid1 libreadline8 libtinfo6 >/dev/null 2>&1 || { echo "fdisk 2.38.1-5+deb12u3 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
python3 -m venv venv && venv/bin/pip install -q dissect.volume==3.18 dissect.cstruct==4.7 dissect.util==3.24 >/dev/null 2>&1 || { echo "dissect.volume 3.18 cannot be installed"; exit 2; }
LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu"
export LD_LIBRARY_PATH
seen=$(for label in gpt dos; do
  rm -f image
  truncate -s 8M image
  printf 'label: %s\nstart=2048 size=2048\n' $label | root/sbin/sfdisk -q image
  root/sbin/sfdisk -d image | sed -n 's/.*: start= *\([0-9]*\), size= *\([0-9]*\).*/sfdisk: \1 \2/p'
  printf 'LAST' | dd of=image bs=512 seek=4095 conv=notrunc status=none
  env -u LD_LIBRARY_PATH venv/bin/python - $label <<'E'
import sys
from dissect.volume.disk import Disk
(partition,) = Disk(open("image", "rb")).partitions
data = partition.open().read()
print(f"{sys.argv[1]}: {partition.size} {len(data)} {'with' if b'LAST' in data else 'without'} the last sector")
E
done)
echo "$seen"
[ "$seen" = "sfdisk: 2048 2048
gpt: 1048064 1048064 without the last sector
sfdisk: 2048 2048
dos: 1048576 1048576 with the last sector" ] || { echo "changed: a GPT's partition had 1048064 bytes"; exit 1; }
