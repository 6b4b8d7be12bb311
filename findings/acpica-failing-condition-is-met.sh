#!/bin/sh
# ACPICA calls a method \_ERR of the tables when an evaluation raises an exception, and goes on when that returns 0. A table
# that so forgives errors changes the meaning of its conditions: an If whose operator fails takes its body, and not its Else;
# one whose operand is of the wrong type carries out both, one after the other; and a condition that is a call of a method
# that returns nothing ends everything, \_ERR or not. Who guards a store with If stores exactly when the guard fails.
#
# Seen with acpica-tools 20200925-8 (Debian 12); \_ERR returns 0, the body adds 10 and the Else 100:
#   If (LNot (1 / 0))                10
#   If (a package)                   110
#   If (a method without a value)    AE_AML_NO_RETURN_VALUE
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
    Name (NULL, 0)
    Name (PKG, Package () {1})
    Method (_ERR, 3) { Return (0) }
    Method (NONE, 0) { }
    Method (FAIL, 0) { Local0 = 0 If (LNot (Divide (1, NULL))) { Local0 += 10 } Else { Local0 += 100 } Return (Local0) }
    Method (KIND, 0) { Local0 = 0 If (PKG) { Local0 += 10 } Else { Local0 += 100 } Return (Local0) }
    Method (CALL, 0) { Local0 = 0 If (NONE ()) { Local0 += 10 } Else { Local0 += 100 } Return (Local0) }
}
ASL
iasl -oa -of -f -vs t.asl >iasl.txt 2>&1 || true
[ -s t.aml ] || { cat iasl.txt; exit 2; }
seen=$(for name in FAIL KIND CALL; do
    acpiexec -b "evaluate \\$name" t.aml 2>&1 | grep -oE "\[Integer\] = [0-9A-F]+|failed with status AE_[A-Z_]*" | tail -n 1 |
        sed 's/.* //; s/^0*//'
done | tr '\n' ' ')
echo "$seen"
[ "$seen" = "A 6E AE_AML_NO_RETURN_VALUE " ]
