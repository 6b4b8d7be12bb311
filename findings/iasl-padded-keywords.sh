#!/bin/sh
# iasl -d cuts the padding off names, also where what is left is a word of the language: an object ADD_ is printed as
# ADD, and iasl then refuses its own text. The AML is valid, ASL can say it (ADD_ is taken), and the interpreter runs it.
# Who decompiles, edits and recompiles a table that has names such as ADD_, NOT_, MOD_ or OR__ must pad them again.
#
# Seen with iasl 20200925 (Debian 12, acpica-tools 20200925-8):
#   compiled from ADD_:  0 errors
#   disassembled:        Name (ADD, 0x07)
#   compiled again:      syntax error
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
cat > names.asl <<'END'
DefinitionBlock ("", "SSDT", 2, "TEST", "NAMES", 1)
{
    Name (ADD_, 7)
}
END
"$iasl" names.asl >first.txt 2>&1 || true
errors=$(sed -n 's/.* \([0-9]*\) Errors.*/\1/p' first.txt)
"$iasl" -d names.aml >/dev/null 2>&1
printed=$(grep -o 'Name (.*)' names.dsl)
"$iasl" names.dsl >second.txt 2>&1 || true
again=$(grep -o 'syntax error' second.txt | head -n 1 || true)
echo "compiled: $errors errors; disassembled: $printed; compiled again: ${again:-fine}"
[ "$errors/$printed/$again" = "0/Name (ADD, 0x07)/syntax error" ]
