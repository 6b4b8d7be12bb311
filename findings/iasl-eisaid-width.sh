#!/bin/sh
# iasl writes an EisaId whose four digits are 0 as a Word constant. The ACPI specification has EISAID yield a DWord
# constant (6.5, 19.6: EISAID => DWordConst), and every other id comes out as one. The value is the same, but
# whoever builds AML that is to equal iasl's, or looks for the five bytes 0C xx xx xx xx behind _HID, meets the other
# form with PNP0000, the interrupt controller of every PC. Switching optimizations off (-oa) changes nothing.
#
# Seen with iasl 20200925 (Debian 12, acpica-tools 20200925-8), bytes behind the name:
#   EisaId ("PNP0A03"): 0c 41 d0 0a 03
#   EisaId ("PNP0000"): 0b 41 d0          (with -oa too)
# Exit status: 0 as seen; 1 the behaviour has changed; 2 the package is not to be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q acpica-tools=20200925-8 >/dev/null 2>&1 || { echo "acpica-tools 20200925-8 is not to be had"; exit 2; }
dpkg-deb -x acpica-tools_*.deb .
iasl=$folder/usr/bin/iasl
"$iasl" -v | sed -n 's/^.*version \([0-9]*\).*/iasl \1/p'
cat > id.asl <<'END'
DefinitionBlock ("", "SSDT", 2, "TEST", "EISAID", 1)
{
    Name (LONG, EisaId ("PNP0A03"))
    Name (WORD, EisaId ("PNP0000"))
}
END
seen=""
for option in "" "-oa"; do
    rm -f id.aml
    # shellcheck disable=SC2086 # no word, or one
    "$iasl" $option id.asl >/dev/null 2>&1
    # the header has 36 bytes; each Name is 08 and four letters
    bytes=$(od -An -v -tx1 -j36 id.aml | tr -d ' \n')
    echo "iasl $option: $bytes"
    seen="$seen $bytes"
done
want=084c4f4e470c41d00a0308574f52440b41d0
[ "$seen" = " $want $want" ]
