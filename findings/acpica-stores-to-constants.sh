#!/bin/sh
# A store through DerefOf is refused, AE_AML_OPERAND_TYPE, as DerefOf gives a value and no place. But if that value came
# from the opcode Zero, One or Ones, however many stores ago, the store succeeds and is lost. Whether One is an opcode or
# a byte 1 is up to the compiler: iasl optimizes 1 to One, unless it is told not to (-oa), so the same ASL fails or not.
#
# Seen with acpica-tools 20200925-8 (Debian 12), as with 20260408:
#   iasl      1  (the value that stays: the store was lost)
#   iasl -oa  AE_AML_OPERAND_TYPE
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
    Method (TEST, 0) { Local0 = 1 Local1 = RefOf (Local0) DerefOf (Local1) = 3 Return (Local0) }
}
ASL
answer() {
    iasl "$@" -f -vs t.asl >iasl.txt 2>&1 || { cat iasl.txt; exit 2; }
    acpiexec -b "evaluate \\TEST" t.aml 2>&1 | grep -o "failed with status AE_[A-Z_]*\|\[Integer\] = 0*[0-9A-F]" | sed 's/.* 0*//'
}
seen="$(answer -of) $(answer -oa)"
echo "$seen"
[ "$seen" = "1 AE_AML_OPERAND_TYPE" ]
