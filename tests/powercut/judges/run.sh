# What the recorded guest does; $PARTS says which of it. A mark stands before and behind whatever is cut afterwards.
make() { ndctl disable-region "$1"; ndctl init-labels -f "$2"; ndctl enable-region "$1"; shift 2; ndctl create-namespace -f "$@"; }
rename() { echo one > /mnt/a; sync; mark "$1"; mv /mnt/a /mnt/b; sync; mark "$2"; }
for part in $PARTS; do
  case $part in
    plain) # ext4 without a journal
      make region0 nmem0 -r region0 -m fsdax --map=mem
      /usr/sbin/mke2fs -q -t ext4 -b 4096 -O ^has_journal /dev/pmem0
      mount -o dax /dev/pmem0 /mnt
      rename 1 2
      umount /mnt ;;
    journal) # ext4 as it is usual, and PMDK on it; the memory is zero already, so the journal needs no 524,288 stores
      /usr/sbin/mke2fs -q -F -t ext4 -b 4096 -E lazy_journal_init=1 /dev/pmem0
      mount -o dax /dev/pmem0 /mnt
      rename 3 4
      for name in right wrong; do dd if=/dev/zero of=/mnt/$name bs=4096 count=16 2>/dev/null; done
      sync
      if [ -x /usr/bin/pool ]; then
        mark 5; pool /mnt/right right; mark 6; pool /mnt/wrong wrong; mark 7
      fi
      umount /mnt ;;
    labels)
      mark 10; ndctl create-namespace -f -r region1 -m raw -s 16M -n second; mark 11 ;;
    sectors)
      make region1 nmem1 -r region1 -m sector -s 32M -l 4096
      fill() { dd if=/dev/zero bs=4096 count=4 2>/dev/null | tr '\0' "$1" | dd of=/dev/pmem1s bs=4096 oflag=direct 2>/dev/null; }
      fill A; sync; mark 8; fill B; fill C; mark 9 ;;
    xfs)
      make region2 nmem2 -r region2 -m fsdax --map=mem
      mkfs.xfs --unsupported -q -f -m reflink=0 -l size=8m /dev/pmem2  # as small as it can be: the log is stored zero by zero
      mount -t xfs -o dax=always /dev/pmem2 /mnt
      rename 12 13
      umount /mnt ;;
  esac
done
