#!/bin/sh
# In Debian's busybox-static a shell runs busybox's own applets before anything on PATH, without a word: `mke2fs` in an
# initramfs is then busybox's, whatever /usr/sbin holds, and `command -v` and `type` do not show a path. Its mke2fs makes
# ext2 and knows no -t, -O or -E. A path, another shell, or `env NAME` gets the program that PATH names.
#
# Seen with busybox-static 1:1.35.0-4+deb12u1+b1 (Debian 12):
#   busybox sh -c 'mke2fs --help'   -> busybox's usage, although PATH has one folder with a mke2fs of its own
#   command -v mke2fs      -> mke2fs
#   /path/mke2fs           -> the program
#   dash -c mke2fs         -> the program
# Exit status: 0 as seen; 1 the behaviour has changed; 2 the package cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q busybox-static=1:1.35.0-4+deb12u1+b1 >/dev/null 2>&1 || { echo "busybox-static 1:1.35.0-4+deb12u1+b1 cannot be downloaded"; exit 2; }
dpkg-deb -x busybox-static_*.deb root
busybox="$folder/root/bin/busybox"
"$busybox" | head -n 1
mkdir own
printf '#!/bin/sh\necho the program on PATH\n' >own/mke2fs
chmod +x own/mke2fs

changed=0
see() { # EXPECTED-TEXT WHAT WORDS...
  expected=$1 what=$2; shift 2
  out=$(PATH="$folder/own" "$@" 2>&1) || true
  echo "$what: $(echo "$out" | grep -v '^$' | head -n 1)"
  case $out in *"$expected"*) ;; *) echo "  changed: '$expected' was seen"; changed=1 ;; esac
}
see "multi-call binary" "busybox sh -c 'mke2fs --help'" "$busybox" sh -c 'mke2fs --help'
[ "$(PATH="$folder/own" "$busybox" sh -c 'command -v mke2fs')" = mke2fs ] || { echo "changed: command -v shows a path"; changed=1; }
see "the program on PATH" "busybox sh -c /path/mke2fs" "$busybox" sh -c "$folder/own/mke2fs"
see "the program on PATH" "dash -c mke2fs" /bin/dash -c mke2fs
exit $changed
