#!/bin/sh
# pool.sh IMAGE NAME: when the pool's flag is set, its record is there. e2fsprogs reads the file out of the image.
set -e
copy=$(mktemp)
trap 'rm -f "$copy" "$copy.pool"' EXIT
cp --sparse=always "$1" "$copy"
PATH=$PATH:/usr/sbin:/sbin
e2fsck -fy -E journal_only "$copy" >/dev/null 2>&1 || true
debugfs -R "dump $2 $copy.pool" "$copy" >/dev/null 2>&1
[ -s "$copy.pool" ] || exit 0   # not there yet
flag=$(od -An -N8 -tu8 "$copy.pool" | tr -d ' ')
[ "$flag" = 1 ] || exit 0
record=$(od -An -v -c -j4096 -N128 "$copy.pool" | tr -d ' \n')
expected=$(printf '%128s' '' | tr ' ' r)
[ "$record" = "$expected" ] || { echo "the flag of $2 is set, its record is: $record"; exit 1; }
