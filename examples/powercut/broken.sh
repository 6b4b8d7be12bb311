# For the guest: a program with PMDK's libpmem sets a flag without a flush of its record, between marks 1 and 2.
ndctl disable-region region0
ndctl init-labels -f nmem0
ndctl enable-region region0
ndctl create-namespace -f -r region0 -m fsdax --map=mem > /dev/null
/usr/sbin/mke2fs -q -F -t ext4 -E lazy_itable_init=0 -b 4096 /dev/pmem0
mount -t ext4 -o dax /dev/pmem0 /mnt
dd if=/dev/zero of=/mnt/wrong bs=4096 count=16 2> /dev/null
sync
mark 1
pool /mnt/wrong wrong
mark 2
umount /mnt
