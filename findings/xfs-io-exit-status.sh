#!/bin/sh
# xfs_io exits 0 when a command does not exist or has the wrong number of arguments, and goes on with the next one;
# only an operation that was tried and failed makes it exit 1. A script that says `xfs_io -c unshare ... || fallback`
# (the command is called funshare) never sees that nothing was done.
#
# Seen with xfsprogs 6.1.0-1 (Debian 12):
#   no such command:    command "no-such-command" not found                                      -> 0
#   too few arguments:  bad argument count 1 to pwrite, expected at least 2 arguments            -> 0
#   the next command:   still run, exit 0
#   a failed write:     pwrite: Bad file descriptor                                              -> 1
# Exit status: 0 as seen; 1 the behaviour has changed; 2 the package cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q xfsprogs=6.1.0-1 libedit2 libdevmapper1.02.1 libbsd0 libmd0 >/dev/null 2>&1 || { echo "xfsprogs 6.1.0-1 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu"
export LD_LIBRARY_PATH
xfs_io="$folder/root/usr/sbin/xfs_io"
"$xfs_io" -V
echo hello >file

changed=0
try() { # EXPECTED-STATUS TEXT-EXPECTED WHAT WORDS...
  expected=$1 text=$2 what=$3; shift 3
  status=0
  out=$("$xfs_io" "$@" file 2>&1) || status=$?
  echo "$what: $(echo "$out" | head -n 1) -> $status"
  [ "$status" = "$expected" ] && case $out in *"$text"*) ;; *) false ;; esac || { echo "  changed: $expected and '$text' were seen"; changed=1; }
}
try 0 'command "no-such-command" not found' "no such command" -c no-such-command
try 0 'bad argument count 1 to pwrite' "too few arguments" -c 'pwrite 0'
try 0 'read 5/5 bytes' "the next command" -c no-such-command -c 'pread 0 5'
try 1 'pwrite: Bad file descriptor' "a failed write" -r -c 'pwrite 0 1'
exit $changed
