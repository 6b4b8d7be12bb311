#!/bin/busybox sh
# Runs in the guest kit: three namespaces, a partition table and a DAX file system on a real NVDIMM, then inside.py under
# the file system of the machine outside, which is mounted read-only on /host. All on ttyS1 is the answer.
# Arguments: Python interpreter, folder of this script, folder that holds the package xlpy (all as seen outside)
set -e
exec >/dev/ttyS1
exec 2>&1
stty raw </dev/ttyS1
for place in proc sys dev; do mount --bind /$place /host/$place; done
mount -t tmpfs tmpfs /host/mnt

ndctl disable-region all
ndctl init-labels -f -V 1.2 all
ndctl enable-region all
ndctl create-namespace -r region0 -m fsdax --map=dev -s 128M -n data
ndctl create-namespace -r region0 -m raw -s 32M -n raw
ndctl create-namespace -r region0 -m sector -l 4096 -s 32M -n sector

# The first partition has the file system, the second is whole pages and free, the third begins inside a page.
printf 'label: gpt\nstart=2048,size=196608\nstart=198656,size=16384\nstart=215047,size=8192\n' |
  chroot /host sfdisk -q --no-reread --no-tell-kernel /dev/pmem0
blockdev --rereadpt /dev/pmem0
/usr/sbin/mke2fs -q -F -t ext4 -b 4096 /dev/pmem0p1
/usr/sbin/mke2fs -q -F -t ext4 -b 4096 /dev/pmem0.1
mkdir /host/mnt/dax /host/mnt/plain
mount -t ext4 -o dax /dev/pmem0p1 /host/mnt/dax
mount -t ext4 /dev/pmem0.1 /host/mnt/plain

export PYTHONPATH="$3" PYTHONDONTWRITEBYTECODE=1 XLPY_ROOT=/mnt/state
chroot /host "$1" "$2/inside.py" mounted
umount /host/mnt/plain
chroot /host "$1" "$2/inside.py" free
for file in /host/mnt/dax/*; do
  echo "filefrag $(basename "$file")$(filefrag -v "$file" | grep '^ *[0-9]*:' | tr '\n' ';')"
done
umount /host/mnt/dax
echo complete
