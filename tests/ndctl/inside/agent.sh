#!/bin/dash
# Runs in the guest kit: what comes in on ttyS1, line by line, is run in /work; what goes out is the status, the lengths
# of the two outputs, and the outputs. Nothing is bound to the NVDIMMs until somebody says @bind.
mkdir -p /work
cd /work || exit 1
for one in /sys/bus/acpi/drivers/nfit/ACPI0012* /sys/bus/platform/drivers/*nfit*/ACPI0012*; do # the latter since 7.0
  [ -e "$one" ] && driver=${one%/*} device=${one##*/}
done
legacy=/sys/bus/platform/drivers/e820_pmem
echo "$device" >"$driver/unbind"
echo e820_pmem >$legacy/unbind
exec 3<>/dev/ttyS1
stty raw -echo <&3
echo ready >&3
while IFS= read -r line <&3; do
  case $line in
    @bind) echo "$device" >"$driver/bind" 2>/tmp/err; status=$?; : >/tmp/out ;;
    @legacy) echo e820_pmem >$legacy/bind 2>/tmp/err; status=$?; : >/tmp/out ;;
    @unbind)
      umount /mnt 2>/dev/null
      [ -e $legacy/e820_pmem ] && echo e820_pmem >$legacy/unbind
      [ -e "$driver/$device" ] && echo "$device" >"$driver/unbind"
      status=$?; : >/tmp/out; : >/tmp/err; cd / && rm -rf /work && mkdir /work && cd /work ;;
    @off) break ;;
    *) sh -c "$line" >/tmp/out 2>/tmp/err </dev/null; status=$? ;;
  esac
  printf '%d %d %d\n' "$status" "$(stat -c %s /tmp/out)" "$(stat -c %s /tmp/err)" >&3
  cat /tmp/out /tmp/err >&3
done
