#!/bin/sh
# The programs of e2fsprogs take `image?offset=N` for a file system inside an image. dumpe2fs did so too; a later one refuses
# it with a message about an argument that is none of its devices: given -h it cannot "resolve '-h'".
#
# Seen with e2fsprogs 1.47.0-2+b2 (Debian 12) and 1.47.2-3+b12 (Debian 13), as with 1.47.4 (sid): dumpe2fs -h 0, then 1
# ("Unable to resolve '-h'"); debugfs, e2fsck, tune2fs, resize2fs and e2label take it in all three.
# Exit status: 0 as seen; 1 the behaviour has changed; 2 packages cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
sorry() { echo "$1 cannot be downloaded"; exit 2; }
mkdir -p old new lists/partial cache/archives/partial
(cd old && apt-get download -q e2fsprogs=1.47.0-2+b2 libext2fs2 libss2 libcom-err2 libblkid1 libuuid1 libc6) >/dev/null 2>&1 || sorry "e2fsprogs 1.47.0"
uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri trixie main" >sources.list
apt="-o Dir::Etc::sourcelist=$folder/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$folder/lists
  -o Dir::Cache=$folder/cache -o Acquire::Languages=none"
apt-get $apt update -q >/dev/null 2>&1 || sorry "the lists of trixie"
(cd new && apt-get $apt download -q e2fsprogs=1.47.2-3+b12 libext2fs2t64 libss2 libcom-err2 libblkid1 libuuid1 libc6) >/dev/null 2>&1 || sorry "e2fsprogs 1.47.2"
for one in old new; do for deb in $one/*.deb; do dpkg-deb -x "$deb" $one; done; done
run() {
  one=$1 program=$2
  shift 2
  "$(find "$folder/$one" -name 'ld-linux-x86-64.so.2' ! -type l | head -n 1)" --argv0 "$program" \
    --library-path "$folder/$one/lib/x86_64-linux-gnu:$folder/$one/usr/lib/x86_64-linux-gnu" \
    "$(find "$folder/$one" -name "$program" -path '*bin/*' | head -n 1)" "$@"
}
truncate -s 9M image
run old mke2fs -q -F -t ext4 -b 4096 -E offset=1048576 image 2048 2>/dev/null
seen=$(for one in old new; do
  for words in 'dumpe2fs -h' 'debugfs -R stats' 'e2fsck -fn' 'tune2fs -l' 'resize2fs -P' e2label; do
    status=0
    run $one $words "image?offset=1048576" >out 2>&1 || status=$?
    echo "$one $words: $status $(grep -m 1 resolve out || true)"
  done
done)
echo "$seen"
echo "$seen" | grep -v ': 0 $' >failed || true
[ "$(cat failed)" = "new dumpe2fs -h: 1 dumpe2fs: Unable to resolve '-h'" ] || { echo "changed: of all only the new dumpe2fs -h failed"; exit 1; }
