#!/bin/sh
# On tmpfs a store through a shared mapping changes no time of the file when the page was read through the mapping before,
# not even with msync (POSIX wants it marked then): the first read maps the page writable, so the kernel does not learn of
# the store. Whatever goes by modification times keeps what is stale: make here. inotify's IN_CLOSE_WRITE tells of it.
#
# Seen with make 4.3-4.1 (Debian 12) and Linux 6.1 to 6.18:
#   make: 'target' is up to date.   (source: new, target: old)
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no package, or /dev/shm is no tmpfs.
set -eu
folder=$(mktemp -d)
shm=$(mktemp -d -p /dev/shm) || { echo "there is no /dev/shm"; exit 2; }
trap 'rm -rf "$folder" "$shm"' EXIT
[ "$(stat -f -c %T "$shm")" = tmpfs ] || { echo "/dev/shm is no tmpfs"; exit 2; }
chmod 755 "$folder"
cd "$folder"
apt-get download -q make=4.3-4.1 >/dev/null 2>&1 || { echo "make 4.3-4.1 cannot be downloaded"; exit 2; }
dpkg -x make_*.deb .
make=$folder/usr/bin/make
$make --version | head -n 1
uname -r
cd "$shm"
printf 'target: source\n\t@cp source target\n' >Makefile
printf old >source
touch -d '2020-01-01' source
$make
python3 - <<'PY'
import mmap
with open("source", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
    assert mapping[0] == ord("o")
    mapping[:] = b"new"
    mapping.flush()
PY
said=$($make)
echo "$said   (source: $(cat source), target: $(cat target))"
[ "$said" = "make: 'target' is up to date." ] && [ "$(cat source)" = new ] && [ "$(cat target)" = old ]
