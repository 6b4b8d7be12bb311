# Runs in Dom0: xlpy exports, the real xl starts. Each section of the log is one question of the tests.
cd /root || exit 1
say() { echo "=== $1"; }
xlpy() { python3 -m xlpy "$@"; }
status() { echo "[status $?]"; }
# Until a guest has said its last word, or it is too late.
ended() {
  until=$((SECONDS + 600))
  while [ $SECONDS -lt $until ] && ! grep -q '^=== end' "/out/guests/guest-$1.log" 2>/dev/null; do sleep 1; done
  xl list "$1"
}
say commands
python3 /out/steps.py
say prepare
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
vnvdimm = [ 'file=/mnt/dax/vm1.img,label_file=/mnt/dax/vm1.labels' ]
C
done
# The minute of README.md, line by line; what a person would look at meanwhile comes after the line that starts the guest.
say minute
while read -r line <&3; do
  case $line in
    'xlpy export vm1.cfg'*)
      for name in vm1.img vm1.labels; do
        xlpy pmem resolve --dom0 linux --json /mnt/dax/$name >/out/$name.json
      done
      ;;
  esac
  echo "\$ $line"
  eval "$line"
  status
  case $line in
    *'xl create'*)
      xl domid vm1 >/out/domid
      cp -r exported /out/exported
      say refused
      xlpy export vm2.cfg -o exported2
      status
      say moved
      mv /mnt/dax/vm1.img /mnt/dax/other
      say first
      ended vm1
      say minute2
      ;;
  esac
done 3</out/minute
say found
debugfs -R "cat /known" "/mnt/dax/vm1.img?offset=2097152" 2>/dev/null | md5sum
say again
xlpy export vm2.cfg -o exported2
status
xl create -q exported2/vm2.cfg
status
ended vm2
xl destroy vm2
status
xlpy export release exported2/vm2.json
status
say left
debugfs -R "cat /second" "/mnt/dax/vm1.img?offset=2097152" 2>/dev/null | md5sum
md5sum </mnt/dax/vm1.img
umount /mnt/dax
say end
