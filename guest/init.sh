#!/bin/dash
# /init of the guest kit: mount what tools expect, load the modules in order, run what was asked for, power off.
# The shell is dash, because busybox's runs its own applets before anything on PATH, and its mke2fs is another one.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox --install -s /usr/bin 2>/dev/null
ln -sf dash /usr/bin/sh
mkdir -p /proc /sys /tmp /mnt /run
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
for module in /modules/*.ko; do
  insmod "$module" 2>/dev/null
done
command=$(sed -n 's/.*xlpy\.run=\([^ ]*\).*/\1/p' /proc/cmdline | tr + ' ')
if [ -n "$command" ]; then
  sh -c "$command"
elif [ -f /run.sh ]; then
  sh /run.sh
else
  setsid cttyhack sh
fi
echo "guest: exit status $?"
sync
poweroff -f
