#!/bin/sh
# The npm package partitioninfo finds a GPT on a disk with sectors of 4096 bytes and then takes its numbers for sectors of 512:
# offsets and sizes are an eighth of the right ones, without an error. Package gpt, which it uses, takes the same 512 unless it
# is told otherwise. An image of a namespace in sector mode, or of any disk with such sectors, has these.
#
# Seen with partitioninfo 6.0.3, file-disk 8.0.1, and fdisk 2.38.1-5+deb12u3 as the writer (Debian 12) for a partition from 1 MiB:
#   512: offset 1048576, size 16777216; 4096: offset 131072, size 2097152
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had. It needs node and npm.
set -eu
command -v npm >/dev/null || { echo "needs nodejs and npm"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q fdisk=2.38.1-5+deb12u3 libfdisk1=2.38.1-5+deb12u3 libsmartcols1 libblkid1 libmount1 libuuid1 libreadline8 libtinfo6 >/dev/null 2>&1 || { echo "fdisk 2.38.1-5+deb12u3 cannot be downloaded"; exit 2; }
for deb in *.deb; do dpkg-deb -x "$deb" root; done
npm install --silent --no-audit --no-fund partitioninfo@6.0.3 file-disk@8.0.1 >/dev/null 2>&1 || { echo "partitioninfo 6.0.3 cannot be installed"; exit 2; }
cat >read.js <<'E'
const { getPartitions } = require('partitioninfo');
const { FileDisk, withOpenFile } = require('file-disk');
withOpenFile('image', 'r', async (handle) => {
  const { type, partitions } = await getPartitions(new FileDisk(handle));
  console.log(type, partitions.map(({ offset, size }) => `offset ${offset}, size ${size}`).join('; '));
});
E
seen=$(for sector in 512 4096; do
  rm -f image
  truncate -s 64M image
  printf 'g\nn\n1\n%d\n%d\nw\n' $((1048576 / sector)) $((17825792 / sector - 1)) |
    LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" root/sbin/fdisk -b $sector image >/dev/null 2>&1
  echo "$sector: $(node read.js)"
done)
echo "$seen"
[ "$seen" = "512: gpt offset 1048576, size 16777216
4096: gpt offset 131072, size 2097152" ] || { echo "changed: with sectors of 4096 bytes the offset was 131072"; exit 1; }
