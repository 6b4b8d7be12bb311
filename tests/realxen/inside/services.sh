# What Debian's /etc/init.d/xen does, without start-stop-daemon: xenstored, Dom0's nodes, xenconsoled.
mkdir -p /run/xenstored /run/xen /var/lib/xen/dump /var/lib/xenstored /var/log/xen /out/guests
folder=$(echo /usr/lib/xen-4.*/bin)
"$folder/oxenstored" --pid-file /run/xenstored.pid
for _ in 1 2 3 4 5 6 7 8 9 10; do
  xenstore-read -s / >/dev/null 2>&1 && break
  sleep 1
done
"$folder/xen-init-dom0"
"$folder/xenconsoled" --log=guest --log-dir=/out/guests --pid-file=/run/xenconsoled.pid
