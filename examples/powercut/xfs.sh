# For a fresh guest on what a failure has left: XFS replays its log, one of the two names is there, and all is consistent.
mount -t xfs -o dax=always /dev/pmem2 /mnt && cat /mnt/[ab] && umount /mnt && xfs_repair -n /dev/pmem2
