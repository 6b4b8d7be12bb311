set -x
date; uptime
xl list
xl info
ls -la /dev/pmem*
python3 -c 'import xlpy.cli.main'
time python3 -m xlpy --help | head -3
time python3 -m xlpy --help | head -3
xl dmesg | tail -5
xenstore-ls -fp
