# Two blank vNVDIMMs: labels, a raw and two fsdax namespaces, two DAX file systems with a file of known content.
section() { echo "=== $1"; }
run() { echo "\$ $*"; "$@" 2>&1; echo "-> $?"; }
section list; ndctl list -BDRNi
section iomem; cat /proc/iomem
section labels
run ndctl disable-region all
run ndctl init-labels -f all
run ndctl enable-region all
run ndctl check-labels all
section raw; ndctl create-namespace -f -r region0 -m raw -s 16M
section fsdax0; ndctl create-namespace -f -r region0 -m fsdax --map=dev
section fsdax1; ndctl create-namespace -f -r region1 -m fsdax --map=mem -s 48M -n data
section devdax; ndctl create-namespace -f -r region1 -m devdax --map=mem -s 32M
section sector; ndctl create-namespace -f -r region1 -m sector -l 512 -s 32M
section files
seq 1 20000 | dd of=/dev/pmem0 conv=fsync 2>/dev/null
for disk in pmem0.1 pmem1; do
  run /usr/sbin/mke2fs -q -t ext4 -b 4096 /dev/$disk
  mkdir /mnt/$disk
  run mount -t ext4 -o dax /dev/$disk /mnt/$disk
  seq 1 20000 > /mnt/$disk/known
done
mount | grep pmem
umount /mnt/pmem*
section resources; for disk in pmem0 pmem0.1 pmem1; do cat /sys/block/$disk/device/resource; done
section namespaces; ndctl list -N
section taint; cat /proc/sys/kernel/tainted
section dmesg; dmesg
section end
