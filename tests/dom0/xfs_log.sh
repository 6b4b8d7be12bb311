# An XFS in three states: unmounted (pmem0), in use (a copy on pmem1), frozen (a copy on pmem2); and what Linux says of each.
section() { echo "=== $1"; }
section make; mkfs.xfs -q -f -m reflink=0 -l size=64m /dev/pmem0 2>&1
mkdir -p /m; mount -t xfs /dev/pmem0 /m; mkdir /m/d
n=0; while [ $n -lt 1300 ]; do echo $n > /m/d/f$n; n=$((n + 1)); done
seq 1 200000 > /m/large; cp /m/large /m/other; sync
n=0; while [ $n -lt 1300 ]; do rm /m/d/f$n; n=$((n + 2)); done
sync
section used; dd if=/dev/pmem0 of=/dev/pmem1 bs=1M 2>/dev/null; sync
section frozen; fsfreeze -f /m 2>&1 || xfs_freeze -f /m 2>&1; dd if=/dev/pmem0 of=/dev/pmem2 bs=1M 2>/dev/null; sync; fsfreeze -u /m 2>/dev/null || xfs_freeze -u /m
section sums; (cd /m && md5sum large other d/f1 d/f1299); umount /m
for disk in pmem0 pmem1 pmem2; do
  section $disk; blockdev --setro /dev/$disk; mount -t xfs -o ro,nouuid /dev/$disk /m 2>/dev/null && { echo clean; umount /m; } || echo dirty
done
section extents; blockdev --setrw /dev/pmem0
section dmesg; dmesg | grep -i xfs
section end
