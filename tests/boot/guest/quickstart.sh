# What a guest sees of one vNVDIMM without labels, and what it writes to it.
section() { echo "=== $1"; }
section list; ndctl list -BDRNi
section iomem; cat /proc/iomem
section cpus; nproc
section acpi; for table in NFIT FACP APIC; do ls /sys/firmware/acpi/tables/$table; done
section memmap; for row in /sys/firmware/memmap/*; do echo $(cat $row/start $row/end $row/type); done
section dmi; cd /sys/class/dmi/id; cat bios_vendor sys_vendor product_name product_uuid; cd /
section write; seq 1 20000 | dd of=/dev/pmem0 bs=4096 seek=100 conv=fsync 2>/dev/null; seq 1 20000 | md5sum
section taint; cat /proc/sys/kernel/tainted
section dmesg; dmesg
section end
