#!/bin/dash
# Runs in a second guest on the same file: what the first one left is there, and it leaves something too.
say() { echo "=== $1"; }
say labels
ndctl check-labels nmem0
say namespace
ndctl list -N
say file
mount -t ext4 -o dax /dev/pmem0 /mnt
grep pmem0 /proc/mounts
md5sum </mnt/known
seq 20001 30000 >/mnt/second
sync
umount /mnt
say dmesg
dmesg
say taint
cat /proc/sys/kernel/tainted
say end
exec sleep 9999 # until xl destroys it
