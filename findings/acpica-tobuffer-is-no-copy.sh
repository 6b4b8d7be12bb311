#!/bin/sh
# ToBuffer of a Buffer, and ToDecimalString or ToHexString of a String, convert nothing, and do not copy either: their
# result is the operand itself. A store into the "result" changes the operand; with a named object of another type as
# target, that name and the operand are one buffer from then on. A local as target gets a copy.
# In the same spirit, a buffer that is stored to a field of itself is read while it is written: it smears. It does so for
# CreateField only, whose accesses are of one byte; CreateDWordField takes all four bytes before it writes them.
#
# Seen with acpica-tools 20200925-8 (Debian 12), as with 20260408, for BUF = {01 02 03 04 05 06}:
#   Index (ToBuffer (BUF), 0) = 0x55                        BUF = 55 02 03 04 05 06
#   ToBuffer (BUF, INT) INT [0] = 0x55                      BUF = 55 02 03 04 05 06
#   ToBuffer (BUF, Local0) Local0 [0] = 0x55                BUF = 01 02 03 04 05 06
#   CreateField (BUF, 8, 32, FLD) FLD = BUF                 BUF = 01 01 01 01 01 06
#   CreateDWordField (BUF, 1, FLD) FLD = BUF                BUF = 01 01 02 03 04 06
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q acpica-tools=20200925-8 >/dev/null 2>&1 || { echo "acpica-tools 20200925-8 cannot be downloaded"; exit 2; }
dpkg -x acpica-tools_*.deb .
PATH=$folder/usr/bin:$PATH
acpiexec -v | grep -o 'version [0-9]*' | head -n 1
after() {
    cat >t.asl <<ASL
DefinitionBlock ("", "DSDT", 2, "TEST", "TABLE", 1)
{
    Name (INT, 1)
    Name (BUF, Buffer () {1, 2, 3, 4, 5, 6})
    Method (TEST, 0, Serialized) { $1 Return (BUF) }
}
ASL
    iasl -oa -f -vs t.asl >iasl.txt 2>&1 || { cat iasl.txt; exit 2; }
    acpiexec -b "evaluate \\TEST" t.aml 2>&1 | sed -n 's/.*\[Buffer\] Length 06 = *\(0000: \)\{0,1\}\(\([0-9A-F][0-9A-F] \)\{6\}\).*/\2/p'
}
seen=""
for statement in "Index (ToBuffer (BUF), 0) = 0x55" "ToBuffer (BUF, INT) INT [0] = 0x55" \
    "ToBuffer (BUF, Local0) Local0 [0] = 0x55" "CreateField (BUF, 8, 32, FLD) FLD = BUF" \
    "CreateDWordField (BUF, 1, FLD) FLD = BUF"; do
    value=$(after "$statement")
    echo "$statement: $value"
    seen="$seen$value/"
done
[ "$seen" = "55 02 03 04 05 06 /55 02 03 04 05 06 /01 02 03 04 05 06 /01 01 01 01 01 06 /01 01 02 03 04 06 /" ]
