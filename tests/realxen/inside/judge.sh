# Runs in Dom0: xlpy exports, the real xl starts. Each section of the log is one question of the tests.
cd /root || exit 1
say() { echo "=== $1"; }
xlpy() { python3 -m xlpy "$@"; }
status() { echo "[status $?]"; }
# A guest that powers itself off is gone from the listing; one that hangs is ended.
gone() { for _ in $(seq "$2"); do xl domid "$1" >/dev/null 2>&1 || return 0; sleep 2; done; return 1; }
mount -t ext4 -o dax /dev/pmem0 /mnt/dax
grep pmem0 /proc/mounts
cp /out/kernel /out/guest1 /out/guest2 .
for n in 1 2; do
  cat >vm$n.cfg <<C
name = "vm$n"
type = "hvm"
memory = 384
vga = "none"
vnc = 0
kernel = "/root/kernel"
ramdisk = "/root/guest$n"
cmdline = "console=hvc0 quiet mitigations=off"
on_poweroff = "preserve"
vnvdimm = [ 'file=/mnt/dax/vm1.img,label_file=/mnt/dax/vm1.labels' ]
C
done
say resolve
xlpy pmem resolve --dom0 linux --json /mnt/dax/vm1.img >/out/vm1.img.json
xlpy pmem resolve --dom0 linux --json /mnt/dax/vm1.labels >/out/vm1.labels.json
say export
xlpy export vm1.cfg -o /out/export
status
say check
xlpy export check /out/export/vm1.json
status
say create
xl create -q /out/export/vm1.cfg
status
say refused
xlpy export vm2.cfg -o /out/export2
status
say moved
mv /mnt/dax/vm1.img /mnt/dax/other
status
say commands
[ ! -e /out/steps.json ] || python3 /out/steps.py
say first
for _ in $(seq 120); do xl list vm1 | grep -q -- '--s' && break; sleep 1; done
xl list vm1
xl destroy vm1
status
cat /var/log/xen/console/guest-vm1.log >/out/console1
xl dmesg | grep -a 'd1' >/out/xen1
say release
xlpy export release /out/export/vm1.json
status
debugfs -R "cat /known" "/mnt/dax/vm1.img?offset=2097152" 2>/dev/null | md5sum
md5sum </mnt/dax/vm1.img
md5sum </mnt/dax/vm1.labels
say again
xlpy export vm2.cfg -o /out/export2
status
xl create -q /out/export2/vm2.cfg
status
for _ in $(seq 120); do xl list vm2 | grep -q -- '--s' && break; sleep 1; done
xl list vm2
xl destroy vm2
cat /var/log/xen/console/guest-vm2.log >/out/console2
xlpy export release /out/export2/vm2.json
status
md5sum </mnt/dax/vm1.img
umount /mnt/dax
say end
