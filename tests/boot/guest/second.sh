# The same backings in a new domain: everything is found again.
section() { echo "=== $1"; }
run() { echo "\$ $*"; "$@" 2>&1; echo "-> $?"; }
section labels; run ndctl check-labels all
section namespaces; ndctl list -N
section listed; ndctl list -NRiv
section seeds; for region in 0 1; do cat /sys/bus/nd/devices/region$region/namespace_seed; done
section files
dd if=/dev/pmem0 bs=4096 count=100 2>/dev/null | head -n 20000 | md5sum
for disk in pmem0.1 pmem1; do
  mkdir /mnt/$disk
  run mount -t ext4 -o dax /dev/$disk /mnt/$disk
  md5sum < /mnt/$disk/known
done
section taint; cat /proc/sys/kernel/tainted
section dmesg; dmesg
section end
