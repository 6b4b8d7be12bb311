# What a guest finds of errors: one that was there before it, by scrubbing, and others that come while it runs. Then a
# vNVDIMM that comes and goes. Each section whose name begins with "do_" asks the test to do something.
section() { echo "=== $1"; }
pmem=/sys/bus/nd/devices
until_true() { turns=0; while ! "$@" && [ $turns -lt 200 ]; do sleep 0.1; turns=$((turns + 1)); done; }
bad() { [ "$(wc -l < $pmem/region0/badblocks)" = "$1" ]; }
section before; ndctl list -NM
section read; dd if=/dev/pmem0 of=/dev/null bs=512 skip=8 count=1 iflag=direct 2>&1 | grep -o 'I/O error'
section do_check
until_true bad 2
section after; cat $pmem/region0/badblocks
section checks; grep -E 'MCE:|MCP:' /proc/interrupts
section cleared; ndctl clear-errors -s namespace0.0 2>&1
section health; ndctl list -DH
section do_poison
until_true bad 1
section poisoned; cat $pmem/region0/badblocks
ndctl monitor -l /monitor 2>&1 &
until_true grep -qs temperature_celsius /monitor
section events; cat /sys/firmware/acpi/interrupts/gpe03; : > /monitor
section do_health
until_true grep -qs temperature_celsius /monitor
section monitor; cat /monitor
section worse; cat /sys/firmware/acpi/interrupts/gpe03
section do_attach
until_true test -b /dev/pmem1
section attached; ndctl list -DR -r region1; seq 1 20000 | dd of=/dev/pmem1 bs=1M conv=fsync 2>/dev/null
section disabled; ndctl disable-region region1 2>&1
section do_detach
until_true sh -c 'dmesg | grep -q "new nfit"'
section detached; ndctl enable-region region1 > /dev/null 2>&1; head -c 4096 /dev/pmem1 | md5sum
section taint; cat /proc/sys/kernel/tainted
section dmesg; dmesg
section end
