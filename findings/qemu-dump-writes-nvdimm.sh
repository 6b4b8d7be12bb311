#!/bin/sh
# QEMU's dump-guest-memory writes all of an NVDIMM into the core file. It is meant to leave it out (memory_mapping.c passes
# over non-volatile regions, since 3.1), and `info mtree -f` does call the range nv-ram; but the NVDIMM marks the alias that it
# maps, and the dump asks the memory back end behind it, which is plain RAM. So the core of a small guest is as large as
# its NVDIMMs.
#
# Seen with QEMU 7.2.22 (Debian 12, 1:7.2+dfsg-7+deb12u18+b3), as with 10.0.13 and 11.1.3:
#   0000000100000000-0000000101ffffff (prio 0, nv-ram): m1
#   LOAD ... 0x0000000100000000 ... 0x2000000
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
version=1:7.2+dfsg-7+deb12u18+b3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
mkdir -p archives/partial
apt-get -q -o Dir::State::status=/dev/null -o Dir::Cache::archives="$folder/archives" --no-install-recommends --download-only \
    -y install "qemu-system-x86=$version" binutils >/dev/null 2>&1 || { echo "qemu-system-x86 $version is not to be had"; exit 2; }
for deb in archives/*.deb; do dpkg -x "$deb" .; done
libraries=$folder/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$libraries/qemu"
# the packages' own loader: their C library may be newer than the machine's
run() { "$folder"/lib64/ld-linux-x86-64.so.2 --library-path "$libraries:$folder/lib/x86_64-linux-gnu" "$folder/usr/bin/$@"; }
run qemu-system-x86_64 --version | head -n 1
cat >qmp <<END
{"execute": "qmp_capabilities"}
{"execute": "human-monitor-command", "arguments": {"command-line": "info mtree -f"}}
{"execute": "dump-guest-memory", "arguments": {"paging": false, "protocol": "file:$folder/guest.core"}}
{"execute": "quit"}
END
run qemu-system-x86_64 -L "$folder/usr/share/qemu" -L "$folder/usr/share/seabios" -accel tcg -nodefaults -display none -S \
    -machine pc,nvdimm=on -m 64,slots=2,maxmem=4G -object memory-backend-ram,id=m1,size=32M -device nvdimm,memdev=m1 \
    -qmp stdio <qmp >answers
row=$(grep -o '[0-9a-f]*-[0-9a-f]* (prio 0, [a-z-]*): m1' answers | head -n 1)
segment=$(run readelf -lW guest.core | grep 'LOAD.*0x0000000100000000' || true)
echo "$row"
echo "$segment"
case "$row $segment" in
"0000000100000000-0000000101ffffff (prio 0, nv-ram): m1 "*" 0x2000000 0x2000000 "*) ;;
*) exit 1 ;;
esac
