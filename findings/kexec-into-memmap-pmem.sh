#!/bin/sh
# Memory that memmap=SIZE!START sets aside as persistent memory keeps its data over every reboot but kexec's: kexec -l puts
# the next kernel and its initrd there. kexec-tools takes the free memory from /sys/firmware/memmap, the map as the firmware
# gave it, in which the range is RAM, and begins at its top, where such a range usually is. /proc/iomem knows better.
# kexec-tools 2.0.29 of Debian 13 prefers the system call in which the kernel chooses the place (-s); with -c it is the same.
#
# Seen with kexec-tools 1:2.0.25-3+deb12u3 and Linux 6.1.176 (Debian 12), in QEMU with 2 GiB and memmap=512M!1536M:
#   60000000-7ffdffff : Persistent Memory (legacy)
#   Loaded 64bit kernel at 0x7c000000, purgatory at 0x7ffd7000
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
kexec=1:2.0.25-3+deb12u3
kernel=linux-image-6.1.0-50-amd64
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
mkdir -p archives/partial
apt-get -q -o Dir::State::status=/dev/null -o Dir::Cache::archives="$folder/archives" --no-install-recommends --download-only \
    -y install "kexec-tools=$kexec" busybox-static qemu-system-x86 >/dev/null 2>&1 &&
    apt-get download -q "$kernel=6.1.176-1" >/dev/null 2>&1 || { echo "kexec-tools $kexec or $kernel is not to be had"; exit 2; }
for deb in archives/*.deb ./*.deb; do dpkg -x "$deb" .; done
libraries=$folder/usr/lib/x86_64-linux-gnu
# the packages' own loader: their C library may be newer than the machine's
run() { "$folder"/lib64/ld-linux-x86-64.so.2 --library-path "$libraries:$folder/lib/x86_64-linux-gnu" "$@"; }
vmlinuz=$(echo boot/vmlinuz-*)

mkdir -p guest/bin guest/lib guest/lib64 guest/proc guest/sys guest/dev
cp bin/busybox guest/bin
cp sbin/kexec guest/bin
cp "$vmlinuz" guest/vmlinuz
cp lib64/ld-linux-x86-64.so.2 guest/lib64
for library in $(run --list sbin/kexec | grep -o '/[^ ]*\.so[^ ]*'); do cp -L "$library" guest/lib; done
cat >guest/init <<'END'
#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
export LD_LIBRARY_PATH=/lib
busybox grep -m 1 Persistent /proc/iomem
kexec -d -l /vmlinuz --append=console=ttyS0 2>&1 | busybox grep "^Loaded"
busybox poweroff -f
END
chmod +x guest/init
(cd guest && find . | "$folder"/bin/busybox cpio -o -H newc) 2>/dev/null | gzip >initrd
export QEMU_MODULE_DIR="$libraries/qemu"
run usr/bin/qemu-system-x86_64 -L usr/share/qemu -L usr/share/seabios -accel tcg -cpu max -m 2G -nodefaults -display none \
    -serial stdio -no-reboot -kernel "$vmlinuz" -initrd initrd -append "console=ttyS0 quiet panic=-1 memmap=512M!1536M" \
    </dev/null | tr -d '\r' | grep "Persistent\|Loaded" >seen
cat seen
start=$(grep -o '^[0-9a-f]*-[0-9a-f]* : Persistent' seen | head -n 1 | cut -d- -f1)
at=$(sed -n 's/^Loaded 64bit kernel at 0x//p' seen)
[ "$start" = 60000000 ] && [ $((0x$at)) -ge $((0x$start)) ]
