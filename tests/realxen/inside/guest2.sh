#!/bin/busybox sh
# Runs in a second guest on the same file: what the first one left is there.
say() { echo "=== $1"; }
say labels
ndctl check-labels nmem0
say namespace
ndctl list -N
say file
mount -t ext4 -o dax /dev/pmem0 /mnt
grep pmem0 /proc/mounts
md5sum </mnt/known
umount /mnt
say dmesg
dmesg
say taint
cat /proc/sys/kernel/tainted
say end
