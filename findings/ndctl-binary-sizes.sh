#!/bin/sh
# The same options mean something else in a rebuilt ndctl, although its source has not changed: built against glibc 2.38 or
# later, where strtoull is that of C23, it takes sizes, alignments and offsets in binary. What was a usage error becomes a
# number, in every program that reads numbers with base 0 and is compiled as GNU C.
#
# Seen with ndctl 76.1-1 (Debian 12, glibc 2.36) and 81-1 (Debian 13, glibc 2.41), as with 85-1 (sid, glibc 2.43):
#   write-infoblock -c -s 64M                           8192 bytes -> 0       8192 bytes -> 0
#   write-infoblock -c -s 0b100000000000000000000000000    0 bytes -> 129     8192 bytes -> 0, the same block
#   write-infoblock -c -s 0b                               0 bytes -> 129        0 bytes -> 129
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had. No NVDIMM is needed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
sorry() { echo "$1 cannot be downloaded"; exit 2; }
libraries="libc6 libkmod2 libudev1 libuuid1 libjson-c5 libkeyutils1 liblzma5 libzstd1 libcap2"
mkdir -p old new lists/partial cache/archives/partial
(cd old && apt-get download -q ndctl=76.1-1 libndctl6=76.1-1 libdaxctl1=76.1-1 libcxl1=76.1-1 libiniparser1 libssl3 \
  libtraceevent1 libtracefs1 $libraries) >/dev/null 2>&1 || sorry "ndctl 76.1-1"
uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri trixie main" >sources.list
apt="-o Dir::Etc::sourcelist=$folder/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$folder/lists
  -o Dir::Cache=$folder/cache -o Acquire::Languages=none"
apt-get $apt update -q >/dev/null 2>&1 || sorry "the lists of trixie"
(cd new && apt-get $apt download -q ndctl=81-1 libndctl6=81-1 libdaxctl1=81-1 libiniparser4 libssl3t64 libtraceevent1 \
  libtracefs1 $libraries) >/dev/null 2>&1 || sorry "ndctl 81-1"
for one in old new; do for deb in $one/*.deb; do dpkg-deb -x "$deb" $one; done; done
run() {
  one=$1
  shift
  places=$folder/$one/lib/x86_64-linux-gnu:$folder/$one/usr/lib/x86_64-linux-gnu
  "$(find "$folder/$one" -name 'ld-linux-x86-64.so.2' ! -type l | head -n 1)" --library-path "$places" \
    "$folder/$one/usr/bin/ndctl" "$@"
}
uuid=11111111-2222-3333-4444-555555555555
seen=$(for one in old new; do
  run $one --version
  for size in 64M 0b100000000000000000000000000 0b; do
    status=0
    run $one write-infoblock -c -s $size -u $uuid >$one.$size 2>/dev/null || status=$?
    echo "$size: $(wc -c <$one.$size) bytes -> $status"
  done
done)
echo "$seen"
cmp new.64M new.0b100000000000000000000000000
[ "$seen" = "76.1
64M: 8192 bytes -> 0
0b100000000000000000000000000: 0 bytes -> 129
0b: 0 bytes -> 129
81
64M: 8192 bytes -> 0
0b100000000000000000000000000: 8192 bytes -> 0
0b: 0 bytes -> 129" ]
