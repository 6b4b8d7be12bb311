#!/bin/sh
# chipsec prints the id of an I/O APIC as `Reserved`, and the reserved byte beside it as `I/O APIC ID`: whatever a MADT says,
# every I/O APIC has the id 0. Two of them cannot be told apart.
#
# Seen with chipsec 1.13.16, and a MADT with one I/O APIC, which iasl 20200925 (Debian 12, acpica-tools 20200925-8) reads:
#   iasl:    I/O Apic ID : 02, Reserved : 00
#   chipsec: Reserved            : 0x02, I/O APIC ID         : 0x00
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q acpica-tools=20200925-8 >/dev/null 2>&1 || { echo "acpica-tools 20200925-8 is not to be had"; exit 2; }
dpkg -x acpica-tools_*.deb .
python3 -m venv venv
# the sources alone: an installation builds a kernel module
venv/bin/pip download -q --no-deps --no-binary :all: chipsec==1.13.16 >/dev/null 2>&1 || { echo "chipsec 1.13.16 is not to be had"; exit 2; }
tar xzf chipsec-1.13.16.tar.gz
venv/bin/python - <<'PY'
from struct import pack

body = pack("<II", 0xFEE00000, 1) + pack("<BBBBII", 1, 12, 2, 0, 0xFEC00000, 0)
table = bytearray(pack("<4sIBB6s8sI4sI", b"APIC", 36 + len(body), 3, 0, b"TEST  ", b"ONE APIC", 1, b"TEST", 1) + body)
table[9] = -sum(table) & 0xFF
open("madt.aml", "wb").write(table)
PY
usr/bin/iasl -d -p back madt.aml >/dev/null 2>&1
iasl=$(grep -A 3 'Subtable Type : 01' back.dsl | sed -n 's/.*I\/O Apic ID : \(.*\)/I\/O Apic ID : \1/p; s/.*Reserved : \(.*\)/Reserved : \1/p' | paste -sd , | sed 's/,/, /')
PYTHONPATH=chipsec-1.13.16 venv/bin/python - >seen <<'PY'
from chipsec.hal.acpi_tables import APIC

table = APIC()
table.parse(open("madt.aml", "rb").read()[36:])
print(table)
PY
chipsec=$(grep -A 4 'I/O APIC (0x01)' seen | sed -n 's/^ *\(Reserved .*\|I\/O APIC ID .*\)/\1/p' | paste -sd , | sed 's/,/, /')
echo "iasl:    $iasl"
echo "chipsec: $chipsec"
[ "$iasl; $chipsec" = "I/O Apic ID : 02, Reserved : 00; Reserved            : 0x02, I/O APIC ID         : 0x00" ]
