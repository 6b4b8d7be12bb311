#!/bin/sh
# A package that names an Integer has the value of the moment: after a Store to that name the package shows the new one.
# After CopyObject to the same name, which the specification describes as a Store without conversion, it keeps the old
# one for good: a package of ACPICA holds the object, and CopyObject puts another object under the name. So does an
# explicit conversion that changes the type (ToHexString with the Integer as target), and a Store through an argument
# that is a reference, even of the same type.
#
# Seen with acpica-tools 20200925-8 (Debian 12), as with 20260408, the element of Package () {INT} after INT was 1 and
#   INT = 2                            2
#   Increment (INT)                    2
#   CopyObject (2, INT)                1
#   CopyObject (2, INT) INT = 3        1
#   SET (RefOf (INT), 2)               1   Method (SET, 2) { Arg0 = Arg1 }
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
element() {
    cat >t.asl <<ASL
DefinitionBlock ("", "DSDT", 2, "TEST", "TABLE", 1)
{
    Name (INT, 1)
    Name (PKG, Package () {INT})
    Method (SET, 2) { Arg0 = Arg1 }
    Method (TEST, 0) { $1 Return (DerefOf (PKG [0])) }
}
ASL
    iasl -oa -f -vs t.asl >iasl.txt 2>&1 || { cat iasl.txt; exit 2; }
    acpiexec -b "evaluate \\TEST" t.aml 2>&1 | grep -o "\[Integer\] = 0*[0-9A-F]" | sed 's/.* 0*//'
}
seen=""
for statement in "INT = 2" "Increment (INT)" "CopyObject (2, INT)" "CopyObject (2, INT) INT = 3" "SET (RefOf (INT), 2)"; do
    value=$(element "$statement")
    echo "$statement: $value"
    seen="$seen $value"
done
[ "$seen" = " 2 2 1 1 1" ]
