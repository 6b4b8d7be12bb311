# What a guest finds of errors: one that was there before it, by scrubbing, and one that comes while it runs.
section() { echo "=== $1"; }
pmem=/sys/bus/nd/devices
section before; ndctl list -NM
section read; dd if=/dev/pmem0 of=/dev/null bs=512 skip=8 count=1 iflag=direct 2>&1 | grep -o 'I/O error'
section waiting
turns=0; while [ "$(wc -l < $pmem/region0/badblocks)" -lt 2 ] && [ $turns -lt 200 ]; do sleep 0.1; turns=$((turns + 1)); done
section after; cat $pmem/region0/badblocks
section checks; grep -E 'MCE:|MCP:' /proc/interrupts
section cleared; ndctl clear-errors -s namespace0.0 2>&1
section health; ndctl list -DH
section dmesg; dmesg | grep -iE 'mce|memory failure|hardware error'
section end
