#!/bin/sh
# One `ndctl create-namespace -m sector` that is too small for a BTT (16 MiB, the least size that other modes take) makes
# every further create-namespace in that region fail with "No space left on device", in every mode and size, although
# ndctl lists nearly all of the region as available. What is left behind is a disabled namespace that only
# `ndctl list -i` shows; after destroying it all is well.
#
# Seen with ndctl 76.1-1, Linux 6.1.0-56-amd64 (6.1.192-2) and the nvdimm device of QEMU 7.2 (Debian 12), region of 256 MiB:
#   sector 16M:   namespace0.0: failed to enable; No such device or address                      -> 237
#   raw 32M:      No space left on device (251658240 bytes available)                            -> 237
#   fsdax 64M:    No space left on device                                                        -> 237
#   destroy -f all, then raw 32M                                                                 -> 0
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had. Takes half a minute (no KVM needed).
set -eu
command -v qemu-system-x86_64 >/dev/null || { echo "needs qemu-system-x86"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
kernel=6.1.0-56-amd64
apt-get download -q "linux-image-$kernel=6.1.192-2" busybox-static=1:1.35.0-4+deb12u1+b1 ndctl=76.1-1 libndctl6=76.1-1 \
  libdaxctl1=76.1-1 libcxl1=76.1-1 libc6 libkmod2 libudev1 libuuid1 libjson-c5 libkeyutils1 libiniparser1 libtraceevent1 \
  libtracefs1 liblzma5 libzstd1 libssl3 >/dev/null 2>&1 || { echo "the packages cannot be downloaded"; exit 2; }
mkdir root
for deb in *.deb; do case $deb in linux-image*) dpkg-deb -x "$deb" linux ;; *) dpkg-deb -x "$deb" root ;; esac; done
rm -rf root/usr/share
mkdir -p root/dev root/proc root/sys root/modules root/tmp
at=0
for name in libnvdimm nd_btt nd_pmem nfit; do
  at=$((at + 1))
  cp "$(find linux -name "$name.ko")" "root/modules/$at.ko"
done
cat >root/init <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
try() { ndctl create-namespace -r region0 -m $1 -s $2 >/tmp/out 2>&1; status=$?; echo "SEEN $1 $2: $(grep failed /tmp/out | tail -n 1) -> $status"; }
(ndctl disable-region all; ndctl init-labels -f all; ndctl enable-region all) >/dev/null 2>&1
try sector 16M
echo "SEEN available: $(ndctl list -R | sed -n 's/.*"available_size":\([0-9]*\),/\1/p')"
try raw 32M
try fsdax 64M
ndctl destroy-namespace -f all >/dev/null 2>&1
try raw 32M
poweroff -f
END
chmod +x root/init
(cd root && find . | bin/busybox cpio -o -H newc 2>/dev/null | gzip -1 >../initrd)
truncate -s $(((256 << 20) + (128 << 10))) nvdimm
timeout 300 qemu-system-x86_64 -accel tcg -cpu max -machine pc,nvdimm=on -m 512M,slots=2,maxmem=2G -display none -nodefaults \
  -no-reboot -serial stdio -object memory-backend-file,id=m,share=on,mem-path=nvdimm,size=$(((256 << 20) + (128 << 10))) \
  -device nvdimm,memdev=m,label-size=131072 -kernel "linux/boot/vmlinuz-$kernel" -initrd initrd \
  -append "console=ttyS0 quiet panic=-1" | tr -d '\r' | sed -n 's/^SEEN //p' >seen
cat seen
sed 's/[0-9]\{8,\}/N/' seen >plain
cat >expected <<'END'
sector 16M: failed to create namespace: No such device or address -> 237
available: N
raw 32M: failed to create namespace: No space left on device -> 237
fsdax 64M: failed to create namespace: No space left on device -> 237
raw 32M:  -> 0
END
cmp -s plain expected || { echo "changed; this was seen:"; cat expected; exit 1; }
