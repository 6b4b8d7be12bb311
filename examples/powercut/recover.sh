# For a fresh guest on what a failure has left: one of the two names is there, with the file's data.
mount -t ext4 -o dax /dev/pmem0 /mnt && cat /mnt/[ab] && umount /mnt
