# Runs on Linux without Xen: labels, a namespace, a file system, and a file system with room in pieces.
# Page structures in RAM (map=mem): a PV Dom0 cannot have them on the NVDIMM ("no cpu support for altmap allocations").
set -ex
ndctl disable-region all
ndctl init-labels -f -V 1.2 all
ndctl enable-region all
ndctl create-namespace -r region0 -m fsdax --map=mem -n data
mke2fs -q -F -t ext4 -b 4096 /dev/pmem0
mount -t ext4 -o dax /dev/pmem0 /mnt/dax
grep -q dax=always /proc/mounts
python3 /out/files.py
umount /mnt/dax
