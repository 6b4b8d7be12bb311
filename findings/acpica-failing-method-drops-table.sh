#!/bin/sh
# At the top level of an ACPI table ACPICA passes over an operator that fails, and goes on. But where a control method that
# the top level calls fails, the whole table is dropped: everything that it declared before and behind is gone, and for a
# DSDT that is the machine. The two look the same in ASL, and iasl says nothing of either.
#
# Seen with acpica-tools 20200925-8 (Debian 12), as with 20260408; the same division by zero, in the table and in a method:
#   in the table:  \LAST is there
#   in a method:   \FRST and \LAST are not there, "AE_AML_DIVIDE_BY_ZERO, [DSDT] table load failed"
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

table() {
    cat >t.asl <<ASL
DefinitionBlock ("", "DSDT", 2, "TEST", "TABLE", 1)
{
    Name (NULL, 0)
    Name (FRST, 1)
    Name (RSLT, 0)
    Method (HALF, 1) { Return (8 / Arg0) }
    RSLT = $1
    Name (LAST, 1)
}
ASL
    iasl -oa -vs t.asl >iasl.txt 2>&1 || { cat iasl.txt; exit 2; }
    for name in FRST LAST; do
        acpiexec -b "evaluate \\$name" t.aml 2>&1 | grep -c "Evaluation of .* returned object" || true
    done | tr '\n' ' '
    acpiexec -b "quit" t.aml 2>&1 | grep -o "AE_[A-Z_]*, .DSDT. table load failed" || echo "loaded"
}

operator=$(table "8 / NULL")
method=$(table "HALF (NULL)")
echo "FRST and LAST (1: there) with the operator: $operator"
echo "FRST and LAST with the method:              $method"
[ "$operator" = "1 1 loaded" ] && [ "$method" = "0 0 AE_AML_DIVIDE_BY_ZERO, [DSDT] table load failed" ]
