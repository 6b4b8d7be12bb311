# Three vNVDIMMs: one stretch, pieces, and one that can only be read.
section() { echo "=== $1"; }
section kernel; uname -r
section shell; for name in mke2fs chattr tune2fs; do command -v $name; done
section tools; mkfs.xfs -V; xfs_io -V; daxctl --version; pmempool --version
section list; ndctl list -BDRNi
section iomem; cat /proc/iomem
section acpi; for table in NFIT FACP APIC; do ls /sys/firmware/acpi/tables/$table; done
section write; seq 1 20000 | dd of=/dev/pmem0 bs=4096 seek=100 conv=fsync 2>/dev/null
section pieces; seq 1 20000 | dd of=/dev/pmem1 conv=fsync 2>/dev/null; md5sum /dev/pmem1
section ro
cat /sys/block/pmem2/ro
md5sum < /dev/pmem2
dd if=/dev/zero of=/dev/pmem2 bs=4096 count=1 conv=fsync 2>/dev/null; echo "$?"
echo 0 > /sys/bus/nd/devices/region2/read_only; blockdev --setrw /dev/pmem2; cat /sys/block/pmem2/ro
dd if=/dev/zero of=/dev/pmem2 bs=4096 count=1 conv=fsync 2>/dev/null
echo 3 > /proc/sys/vm/drop_caches
md5sum < /dev/pmem2
section taint; cat /proc/sys/kernel/tainted
section dmesg; dmesg
section end
