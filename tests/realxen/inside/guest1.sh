#!/bin/dash
# Runs in the first guest, an unmodified Linux on a stock Xen: labels, a namespace, a file system, a file.
say() { echo "=== $1"; }
# what the kernel runs when xl asks it to shut down
printf '#!/bin/sh\nexec /usr/bin/busybox poweroff -f\n' >/sbin/poweroff
chmod +x /sbin/poweroff
say list
ndctl list -DRN
say size
blockdev --getsize64 /dev/pmem0
say labels
ndctl disable-region region0
ndctl init-labels -f nmem0
ndctl enable-region region0
ndctl check-labels nmem0
say namespace
ndctl create-namespace -f -r region0 -m fsdax --map=mem -n data
say file
/usr/sbin/mke2fs -q -F -t ext4 -b 4096 /dev/pmem0
mount -t ext4 -o dax /dev/pmem0 /mnt
grep pmem0 /proc/mounts
seq 1 20000 >/mnt/known
sync
md5sum </mnt/known
umount /mnt
say dmesg
dmesg
say taint
cat /proc/sys/kernel/tainted
say end
exec sleep 9999 # until xl shuts it down
