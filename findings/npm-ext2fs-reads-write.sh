#!/bin/sh
# The npm package ext2fs (libext2fs in WebAssembly, with a file-disk) stores into an image when a file in it is only read: the
# file's access time, and with it the superblock. So of an image opened with "r" directories can be listed and no file can be
# read, "EIO", unless the FileDisk is told to be read-only, which keeps the stores in memory. libext2fs' own programs leave an
# image alone: debugfs reads the same file and no byte changes.
#
# Seen with ext2fs 4.2.5, file-disk 8.0.1 and e2fsprogs 1.47.0-2+b2 (Debian 12):
#   debugfs cat                     5 bytes, the image is as it was
#   opened "r", FileDisk(handle)    EIO
#   opened "r", read-only FileDisk  5 bytes, the image is as it was
#   opened "r+", FileDisk(handle)   5 bytes, the image has changed
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had. It needs node and npm.
set -eu
command -v npm >/dev/null || { echo "needs nodejs and npm"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q e2fsprogs=1.47.0-2+b2 libext2fs2 libss2 libcom-err2 libblkid1 libuuid1 >/dev/null 2>&1 || { echo "e2fsprogs 1.47.0 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
npm install --silent --no-audit --no-fund ext2fs@4.2.5 file-disk@8.0.1 >/dev/null 2>&1 || { echo "ext2fs 4.2.5 cannot be installed"; exit 2; }
run() { program=$1; shift; LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" "$folder/root/sbin/$program" "$@"; }
truncate -s 8M image
export E2FSPROGS_FAKE_TIME=1700000000
run mke2fs -q -F -t ext4 -b 4096 image
printf hello >hello
run debugfs -w -R 'write hello file' image >/dev/null 2>&1
unset E2FSPROGS_FAKE_TIME
cp image before
cat >read.js <<'E'
const { withMountedDisk } = require('ext2fs');
const { FileDisk, withOpenFile } = require('file-disk');
const [mode, readOnly] = process.argv.slice(2);
withOpenFile('image', mode, (handle) => withMountedDisk(new FileDisk(handle, readOnly === 'true'), 0, async ({ promises: fs }) => {
  const names = await fs.readdir('/');
  if (!names.includes('file')) throw new Error('not listed');
  console.log((await fs.readFile('/file')).length, 'bytes');
})).catch((error) => console.log(/EIO/.test(error) ? 'EIO' : error));
E
state() { cmp -s image before && echo "$1 (as it was)" || echo "$1 (changed)"; }
seen=$(state "debugfs: $(run debugfs -R 'cat file' image 2>/dev/null | wc -c) bytes"
state "r: $(node read.js r false)"
state "r, read-only: $(node read.js r true)"
state "r+: $(node read.js r+ false)")
echo "$seen"
run e2fsck -fn image >/dev/null 2>&1 || { echo "changed: e2fsck finds something"; exit 1; }
[ "$seen" = "debugfs: 5 bytes (as it was)
r: EIO (as it was)
r, read-only: 5 bytes (as it was)
r+: 5 bytes (changed)" ] || { echo "changed: EIO was seen with r, and a changed image with r+"; exit 1; }
