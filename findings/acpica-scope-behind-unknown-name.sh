#!/bin/sh
# A term at a table's top level, in a Device, whose operand names nothing: ACPICA tells "ignoring error and continuing
# table load" and does. But it never leaves the Device any more: what the table makes at its root behind that Device is
# made in it. Other errors (an index beyond a package here) are passed over without that. Linux has the same code, and
# vendors' tables that name what only some models have lose names this way: \OUTS becomes \DEV0.OUTS.
#
# Seen with acpica-tools 20200925-8 (Debian 12), as with 20260408:
#   an operand that names nothing  \DEV0.OUTS
#   an index beyond the package    \OUTS
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
where() {
    cat >"$1.asl" <<ASL
DefinitionBlock ("", "DSDT", 2, "TEST", "TABLE", 1)
{
    External (\\NONE, IntObj)
    Name (PACK, Package () { 1 })
    Name (NUMB, 1)
    Device (DEV0) { Name (_HID, "TEST0001") $2 }
    Name (OUTS, 1)
}
ASL
    iasl -oa -f -vs "$1.asl" >iasl.txt 2>&1 || { cat iasl.txt; exit 2; }
    for path in '\OUTS' '\DEV0.OUTS'; do
        acpiexec -b "evaluate $path" "$1.aml" 2>&1 | grep -q "Evaluation of .*OUTS returned" && printf '%s ' "$path"
    done || true
}
seen="$(where name 'NUMB = \NONE')$(where index 'NUMB = DerefOf (PACK [9])')"
echo "$seen"
[ "$seen" = '\DEV0.OUTS \OUTS ' ]
