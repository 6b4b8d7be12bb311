#!/bin/dash
# Runs in the guest kit's initramfs: Dom0's root is a disk of unpacked packages below a layer in memory. What the machine
# is started for runs there; its status and what it prints go to /out.
word() { sed -n "s/.* $1=\([^ ]*\).*/\1/p" /proc/cmdline; }
mkdir -p /tree /layer /root
mount -t ext4 -o ro /dev/vda /tree || poweroff -f
mount -t tmpfs -o size=70% tmpfs /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/tree,upperdir=/layer/upper,workdir=/layer/work overlay /root || poweroff -f
cd /root || poweroff -f
mkdir -p out libraries mnt/dax
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out out || poweroff -f
mount -t ext4 -o ro /dev/vdb libraries || poweroff -f
mount -t proc proc proc
mount -t sysfs sys sys
mount -t devtmpfs dev dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs run run
mount -t tmpfs tmp tmp
[ -d proc/xen ] && mount -t xenfs xenfs proc/xen
ifconfig lo 127.0.0.1
export PYTHONPATH=/libraries PYTHONDONTWRITEBYTECODE=1 HOME=/root
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if [ -e proc/xen/capabilities ]; then
  PATH=$(echo /root/usr/lib/xen-4.*/bin | sed s,^/root,,):$PATH
  chroot /root /bin/bash /out/services.sh
fi
chroot /root /bin/bash "/out/$(word realxen)" >out/log 2>&1 </dev/null
echo $? >out/status
sync
poweroff -f
