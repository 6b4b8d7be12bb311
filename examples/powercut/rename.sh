# For the guest: ext4 without a journal renames a file, between marks 1 and 2.
ndctl disable-region region0
ndctl init-labels -f nmem0
ndctl enable-region region0
ndctl create-namespace -f -r region0 -m fsdax --map=mem > /dev/null
/usr/sbin/mke2fs -q -F -t ext4 -E lazy_itable_init=0 -b 4096 -O ^has_journal /dev/pmem0
mount -t ext4 -o dax /dev/pmem0 /mnt
echo one > /mnt/a
sync
mark 1
mv /mnt/a /mnt/b
sync
mark 2
umount /mnt
