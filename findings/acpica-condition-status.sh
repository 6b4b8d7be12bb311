#!/bin/sh
# An empty Buffer is no Integer: AE_AML_BUFFER_LIMIT. A reference is none either: AE_AML_OPERAND_TYPE. Where an operator
# gets both, ACPICA reports the right one, as it converts operands from right to left; and as the condition of an If the
# reference is AE_TYPE, a third status for the same mistake. Who compares logs of two interpreters by status is misled.
#
# Seen with acpica-tools 20200925-8 (Debian 12), as with 20260408:
#   LOr (reference, empty buffer)  AE_AML_BUFFER_LIMIT
#   LOr (empty buffer, reference)  AE_AML_OPERAND_TYPE
#   If (reference)                 AE_TYPE
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
cat >t.asl <<'ASL'
DefinitionBlock ("", "DSDT", 2, "TEST", "TABLE", 1)
{
    Name (NUMB, 1)
    Name (EMPT, Buffer (0) {})
    Method (RGHT, 0) { Local0 = RefOf (NUMB) Return (LOr (Local0, EMPT)) }
    Method (LEFT, 0) { Local0 = RefOf (NUMB) Return (LOr (EMPT, Local0)) }
    Method (COND, 0) { Local0 = RefOf (NUMB) If (Local0) { Return (1) } Return (2) }
}
ASL
iasl -oa -f -vs t.asl >iasl.txt 2>&1 || { cat iasl.txt; exit 2; }
seen=$(for name in RGHT LEFT COND; do
    acpiexec -b "evaluate \\$name" t.aml 2>&1 | grep -o "failed with status AE_[A-Z_]*" | grep -o "AE_.*"
done | tr '\n' ' ')
echo "$seen"
[ "$seen" = "AE_AML_BUFFER_LIMIT AE_AML_OPERAND_TYPE AE_TYPE " ]
