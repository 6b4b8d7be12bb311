#!/bin/sh
# `apt-get download --print-uris PACKAGE` prints nothing, and exits 0, when the package's file lies in the current folder
# already: the same command in the same folder gives another answer the second time. Who asks apt for file names before
# unpacking must ask from an empty folder. (Only a size that fits counts: a file cut short is listed again.)
#
# Seen with apt 2.6.1 (Debian 12), package hostname:
#   empty folder:       1 line
#   after downloading:  0 lines, exit 0
#   file cut short:     1 line
# Exit status: 0 as seen; 1 the behaviour has changed; 2 another version of apt, or no packages.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get --version | head -n 1
apt-get --version | head -n 1 | grep -q '^apt 2\.6\.1 ' || { echo "this was seen with apt 2.6.1"; exit 2; }
lines() { apt-get download --print-uris -q hostname=3.23+nmu1 2>/dev/null | grep -c "^'" || true; }
before=$(lines)
[ "$before" = 1 ] || { echo "hostname 3.23+nmu1 is not known"; exit 2; }
apt-get download -q hostname=3.23+nmu1 >/dev/null 2>&1 || { echo "hostname 3.23+nmu1 cannot be downloaded"; exit 2; }
after=$(lines)
for deb in *.deb; do truncate -s 100 "$deb"; done
short=$(lines)
echo "empty folder: $before, after downloading: $after, file cut short: $short"
[ "$before $after $short" = "1 0 1" ]
