# A vNVDIMM as memory of its node: device-DAX first, then system RAM.
section() { echo "=== $1"; }
section numa; cat /sys/bus/nd/devices/region*/numa_node /sys/bus/nd/devices/region*/target_node
section before; cat /sys/devices/system/node/has_memory
section namespace; ndctl disable-region all 2>&1; ndctl init-labels all 2>&1; ndctl enable-region all 2>&1
section devdax; ndctl create-namespace -f -r region0 -m devdax -a 2M
section free; node=$(cat /sys/bus/dax/devices/dax0.0/target_node); grep MemTotal /sys/devices/system/node/node$node/meminfo
section reconfigure; daxctl reconfigure-device -m system-ram dax0.0 2>/dev/null
section iomem; cat /proc/iomem
section after; node=$(cat /sys/bus/dax/devices/dax0.0/target_node); grep MemTotal /sys/devices/system/node/node$node/meminfo
section taint; cat /proc/sys/kernel/tainted
section dmesg; dmesg
section end
