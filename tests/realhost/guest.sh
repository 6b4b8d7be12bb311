#!/bin/dash
# Runs in the guest kit: puts a real Linux into one situation after the other, and asks xlpy about each. All on ttyS1 is
# the answer. Arguments: Python interpreter, folder of this script, folder of the package xlpy (as seen outside), and
# the groups of situations to make.
exec >/dev/ttyS1
exec 2>&1
stty raw </dev/ttyS1
for place in proc sys dev; do mount --bind /$place /host/$place; done
mount -t tmpfs tmpfs /host/mnt
mount -t tmpfs tmpfs /tmp
ln -s /proc/mounts /tmp/mtab
cd /host/mnt || exit 1
export PYTHONPATH="$3" PYTHONDONTWRITEBYTECODE=1 XLPY_ROOT=/mnt/state
busybox mkfifo request done
chroot /host "$1" "$2/server.py" serve &

please() { echo "$*" >request; read -r word <done; }
ask() { please ask "$@"; }
say() { echo "$*"; }
dev() { # make a namespace of so many MiB; its device is left in $new
  size=$1; shift
  ndctl create-namespace -r "$nvdimm" -m "${1:-fsdax}" ${2:-${1:+}} -s "${size}M" >/tmp/made || { say "failed [\"namespace $size\"]"; return 1; }
  new=$(sed -n 's/.*"blockdev":"\([^"]*\)".*/\1/p; s/.*"chardev":"\([^"]*\)".*/\1/p' /tmp/made)
}
fsdax() { dev "$1" fsdax --map=mem; }
ext4() { # DEVICE FOLDER [mount options] [mke2fs options]: a file system at a place below /mnt
  device=$1; folder=$2; options=${3:-dax=always}; shift 3
  mkdir -p "$folder"
  /usr/sbin/mke2fs -q -F -t ext4 -b 4096 "$@" "/dev/$device" && mount -t ext4 -o "$options" "/dev/$device" "$folder"
}
table() { chroot /host sfdisk -q --no-reread --no-tell-kernel "/dev/$1"; blockdev --rereadpt "/dev/$1"; }

uses() {
  fsdax 32; printf 'label: gpt\nstart=2048,size=16384\nstart=18432,size=16384\n' | table "$new"
  if dmsetup create vg0-root --table "0 16384 linear /dev/${new}p1 0" >/dev/null; then
    ask dm "/dev/${new}p1"; ask dm-disk "/dev/$new"; ask beside-dm "/dev/${new}p2"; ask on-dm /dev/dm-0
    dmsetup remove vg0-root
  fi
  ask free "/dev/$new"
  fsdax 16; busybox mkswap "/dev/$new" >/dev/null; swapon "/dev/$new"; ask swap "/dev/$new"; swapoff "/dev/$new"
  losetup /dev/loop5 "/dev/$new"; ask loop "/dev/$new"; losetup -d /dev/loop5
  please exclusive "/dev/$new"; ask exclusive "/dev/$new"
  fsdax 16; ext4 "$new" journalled dax=always; umount journalled
  ns=$new
  unshare -m sh -c "mount -t ext4 -o dax=always /dev/$ns /host/mnt/journalled; touch /tmp/mounted; exec sleep 1000" &
  while [ ! -e /tmp/mounted ]; do sleep 0.1; done
  ask namespace "/dev/$ns"
  fsdax 16; journal=$new
  /usr/sbin/mke2fs -q -F -O journal_dev -b 4096 "/dev/$journal"
  fsdax 16; ext4 "$new" external dax=always -J device="/dev/$journal" && ask journal "/dev/$journal"
  ask mounted "/dev/$new"
  please write /mnt/external/loopfile 64
  losetup /dev/loop6 external/loopfile; ask loop-file /mnt/external/loopfile; losetup -d /dev/loop6
  ask no-loop-file /mnt/external/loopfile
  fsdax 16; ro=$new
  please setro "/dev/$ro" 1; ask ro-device "/dev/$ro"; ask ro-device-for-a-reader "/dev/$ro" --mode ro; please setro "/dev/$ro" 0
  ext4 "$ro" old dax=always; please write /mnt/old/file 16; mount -o remount,ro old
  ask ro-mount /mnt/old/file; ask ro-mount-for-a-reader /mnt/old/file --mode ro; umount old
}

dax() {
  fsdax 32; ext4 "$new" always dax=never -O verity,encrypt # a file that has DAX cannot be sealed
  please write /mnt/always/sealed 16; please verity /mnt/always/sealed; umount always
  mount -t ext4 -o dax=always,nodelalloc "/dev/$new" always; ask verity /mnt/always/sealed
  please write /mnt/always/file 64; ask always /mnt/always/file
  mkdir always/journal; chattr +j always/journal; please write /mnt/always/journal/file 16; ask journal-data /mnt/always/journal/file
  mkdir always/secret; please encrypt /mnt/always/secret; please write /mnt/always/secret/file 16; ask encrypted /mnt/always/secret/file
  fsdax 32; ext4 "$new" inode dax=inode
  please write /mnt/inode/file 16; ask inode-without /mnt/inode/file
  mkdir inode/x; chattr +x inode/x; please write /mnt/inode/x/file 64; ask inode-with /mnt/inode/x/file
  umount inode; mount -t ext4 "/dev/$new" inode; ask plain-with /mnt/inode/x/file; ask plain-without /mnt/inode/file
  umount inode; mount -t ext4 -o dax=never "/dev/$new" inode; ask never-with /mnt/inode/x/file; umount inode
}

names() {
  fsdax 64; printf 'label: dos\nstart=2048,size=65536,type=83\n' | table "$new"
  ext4 "${new}p1" mbr dax=always; please pieces /mnt/mbr/file 100; ask mbr /mnt/mbr/file
  fsdax 64; printf 'label: gpt\nstart=2048,size=65536\n' | table "$new"
  ext4 "${new}p1" gpt dax=always; please pieces /mnt/gpt/file 100; ask gpt /mnt/gpt/file
  ln -s file gpt/soft; ln gpt/file gpt/hard; ask symlink /mnt/gpt/soft; ask hardlink /mnt/gpt/hard
  mkdir gpt/below; please write /mnt/gpt/below/file 64 below; mkdir bound; mount --bind gpt/below bound; ask bind /mnt/bound/file
  touch one; mount --bind gpt/file one; ask bind-file /mnt/one
  mkdir hidden; mount -t tmpfs tmpfs hidden; mount --bind gpt hidden; ask over-a-mount /mnt/hidden/file
}

features() {
  for set in default: nojournal:-O,^has_journal noextents:-O,^extents,^64bit bigalloc:-O,bigalloc,-C,65536 \
    plain128:-I,128,-O,^metadata_csum,^64bit csumseed:-O,metadata_csum_seed,flex_bg orphan:-O,orphan_file; do
    name=${set%%:*}; words=$(echo "${set#*:}" | sed 's/,\([-0-9C]\)/ \1/g; s/-O /-O /; s/-O,/-O /; s/-I,/-I /; s/-C,/-C /')
    fsdax 32
    # shellcheck disable=SC2086 # a list of words
    ext4 "$new" "$name" dax=always $words || { say "absent [\"ext4-$name\"]"; continue; }
    please write "/mnt/$name/file" 300 "ext4-$name"; ask "ext4-$name" "/mnt/$name/file"; umount "$name"
  done
  fsdax 32; mkdir ext2 small; /usr/sbin/mke2fs -q -F -t ext2 -b 4096 "/dev/$new"
  if mount -t ext2 -o dax "/dev/$new" ext2; then please write /mnt/ext2/file 300; ask ext2 /mnt/ext2/file; umount ext2; else say 'absent ["ext2"]'; fi
  fsdax 32; /usr/sbin/mke2fs -q -F -t ext4 -b 1024 "/dev/$new"; mount -t ext4 -o dax "/dev/$new" small && say 'failed ["1 KiB blocks have DAX"]'
  mount -t ext4 "/dev/$new" small; please write /mnt/small/file 16; ask small-blocks /mnt/small/file; umount small
  fsdax 16
  /usr/sbin/mke2fs -q -F -t ext4 -b 4096 -O inline_data "/dev/$new"; mount -t ext4 -o dax "/dev/$new" small && say 'failed ["inline data have DAX"]'
}

xfs() {
  fsdax 320; x=$new; fsdax 80; log=$new; fsdax 32; rt=$new; mkdir x y
  mkfs.xfs -q -f -l logdev="/dev/$log",size=64m -r rtdev="/dev/$rt" -m reflink=0,rmapbt=0 "/dev/$x" >/tmp/xfs ||
    { cat /tmp/xfs; say 'absent ["xfs"]'; return; }
  mount -t xfs -o "dax=always,logdev=/dev/$log,rtdev=/dev/$rt" "/dev/$x" y
  ask xfs-log "/dev/$log"; ask xfs-realtime "/dev/$rt"
  please write /mnt/y/file 300 xfs-old; ask xfs-old /mnt/y/file
  mkdir y/rt; xfs_io -c 'chattr +t' y/rt; please write /mnt/y/rt/file 16; ask xfs-realtime-file /mnt/y/rt/file
  umount y; fsdax 320; x=$new
  mkfs.xfs -q -f "/dev/$x"; mount -t xfs -o dax=always "/dev/$x" x || say 'absent ["xfs-reflink"]'
  please write /mnt/x/file 300 xfs; ask xfs /mnt/x/file
  please allocate /mnt/x/new 16; ask xfs-unwritten /mnt/x/new
  xfs_io -f -c 'extsize 1m' x/hint; please write /mnt/x/hint 300 xfs-extsize; ask xfs-extsize /mnt/x/hint
  please write /mnt/x/a 64 xfs-unshared; xfs_io -f -c 'reflink /host/mnt/x/a' x/b >/dev/null 2>&1 && {
    ask xfs-shared /mnt/x/a; ask xfs-clone /mnt/x/b
    xfs_io -c 'funshare 0 256k' x/b || please write /mnt/x/b 64 xfs-unshared
    ask xfs-unshared /mnt/x/b; }
  please pieces /mnt/x/scattered 64; please race xfs_fsr /mnt/x/scattered "'touch /mnt/fsr; while [ -e /mnt/fsr ]; do sleep 0.1; done'" &
  racing=$!
  while [ ! -e fsr ] && kill -0 $racing; do sleep 0.1; done
  xfs_fsr -v x/scattered >/tmp/fsr 2>&1; rm -f fsr; wait $racing
  ask xfs-moved /mnt/x/scattered
  umount x; mount -t xfs -o dax=inode "/dev/$x" x; ask xfs-inode-without /mnt/x/file
  mkdir x/x; xfs_io -c 'chattr +x' x/x; please write /mnt/x/x/file 64 xfs-inode; ask xfs-inode /mnt/x/x/file; umount x
}

races() {
  fsdax 32; ext4 "$new" race dax=always
  please write /mnt/race/cut 64; please race truncate /mnt/race/cut "'truncate -s 128K /mnt/race/cut'"
  please write /mnt/race/moved 64; please race replaced /mnt/race/moved "'cp /mnt/race/moved /mnt/race/other; mv /mnt/race/other /mnt/race/moved'"
  please write /mnt/race/still 64; please race nothing /mnt/race/still true
  please held truncate /mnt/race/still "'truncate -s 128K /mnt/race/still'"
  please pieces /mnt/race/scattered 100
  please race e4defrag /mnt/race/scattered "'e4defrag /mnt/race/scattered'"
  please held e4defrag /mnt/race/scattered "'e4defrag /mnt/race/scattered'"
  ask scattered /mnt/race/scattered
}

other() {
  dev 288 devdax --map=mem && { ask devdax "/dev/$new" # as RAM it must have a whole block of 128 MiB
    if [ -e /sys/bus/dax/drivers/kmem ]; then
      echo offline >/sys/devices/system/memory/auto_online_blocks
      daxctl reconfigure-device --mode=system-ram --no-online "$new" >/tmp/dax 2>&1 && ask system-ram "/dev/$new" || say "absent [\"system-ram\"] $(cat /tmp/dax)"; fi; }
  dev 32 sector; ask sector "/dev/$new"
  dev 16 raw; ask raw "/dev/$new"
}

regions() {
  for region in /sys/bus/nd/devices/region*; do
    provider=$(cat "$region/../provider")
    [ "$provider" = ACPI.NFIT ] && continue
    for block in "$region"/*/block/pmem*; do
      [ -e "$block" ] || continue
      ask "$provider" "/dev/${block##*/}"
      ext4 "${block##*/}" "on-$provider" dax=always && { please write "/mnt/on-$provider/file" 64 "$provider-file"
        ask "$provider-file" "/mnt/on-$provider/file"; }
    done
  done
}

ndctl disable-region all >/dev/null 2>&1
ndctl init-labels -f all >/dev/null 2>&1
ndctl enable-region all >/dev/null 2>&1
python="$1"; shift 3
for region in /sys/bus/nd/devices/region*; do
  say "region [\"$(cat "$region/../provider")\", \"$(cat "$region/resource")\"]"
  [ "$(cat "$region/../provider")" = ACPI.NFIT ] && nvdimm=${region##*/}
done
say "kernel $(uname -r)"
for group; do $group; done
echo end >request
sync
dmesg | grep -E 'kernel BUG|BUG: unable|WARNING: CPU|Oops' | sed 's/^/dmesg /'
say complete
