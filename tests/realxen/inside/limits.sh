# Runs in Dom0, in the campaign only: what libxl and Xen take of the two keys that an export uses.
cd /root || exit 1
say() { echo "=== $1"; }
try() { "$@"; echo "[status $?]"; }
python3 /out/limits.py
for number in 1000 4000; do
  say "entries$number"
  try xl create -q -p entries$number.cfg
  xl dmesg -c | grep -c memory_map:add
  xl destroy limit
done
say twice
try xl create -q -p one.cfg
try xl create -q -p one.cfg 'name="other"'
xl destroy limit
xl destroy other
say save
try xl create -q -p one.cfg
try xl save limit /root/saved
xl destroy limit
xl destroy limit--incoming 2>/dev/null
for size in 256 1024; do
  say "blob$size"
  xl dmesg -c >/dev/null
  try xl create -q blob.cfg "acpi_firmware=\"blob$size\""
  for _ in $(seq 20); do xl dmesg | grep -q 'Invoking SeaBIOS' && break; sleep 1; done
  xl dmesg | grep -c 'Invoking SeaBIOS'
  xl destroy limit
done
for number in 16 17; do
  say "tables$number"
  xl dmesg -c >/dev/null
  try xl create -q blob.cfg "acpi_firmware=\"tables$number\""
  for _ in $(seq 20); do xl dmesg | grep -q 'Invoking SeaBIOS' && break; sleep 1; done
  xl dmesg | grep -a 'tables\|ACPI'
  xl destroy limit
done
say end
