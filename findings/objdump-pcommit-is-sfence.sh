#!/bin/sh
# objdump prints 66 0F AE F8 as `data16 sfence`, a fence with a prefix that means nothing. It was PCOMMIT, which flushed what
# was on its way to persistent memory, and was withdrawn before any processor had it: processors refuse it as an invalid
# opcode. So in a program of 2015 or 2016 the instruction that kills it looks harmless. Other disassemblers see no instruction.
#
# Seen with binutils 2.40-2 (Debian 12), as with 2.44 and 2.47.50; capstone 5.0.9 and iced-x86 1.21.0 beside it; every CPU
# model of unicorn 2.1.4 refuses to run it:
#   objdump: data16 sfence; capstone: none; iced: (bad); unicorn: refused by all of 38 models
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q binutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2 libjansson4 >/dev/null 2>&1 ||
    { echo "binutils 2.40-2 is not to be had"; exit 2; }
for deb in *.deb; do dpkg -x "$deb" .; done
python3 -m venv venv && venv/bin/pip install -q capstone==5.0.9 iced-x86==1.21.0 unicorn==2.1.4 >/dev/null 2>&1 ||
    { echo "capstone, iced-x86 or unicorn cannot be installed"; exit 2; }
printf '\146\017\256\370' >code
LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu usr/bin/x86_64-linux-gnu-objdump -D -b binary -m i386:x86-64 code >listing
objdump=$(tail -n 1 listing | cut -f 3 | sed 's/ *$//')
cat >others.py <<'PY'
import capstone
import iced_x86
import unicorn
from unicorn import x86_const as x86

code = open("code", "rb").read()
print("capstone:", [one.mnemonic for one in capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64).disasm(code, 0)] or "none", end="; ")
print("iced:", iced_x86.Formatter(iced_x86.FormatterSyntax.INTEL).format(iced_x86.Decoder(64, code).decode()), end="; ")
models = [number for name, number in vars(x86).items() if name.startswith("UC_CPU_X86_") and name != "UC_CPU_X86_ENDING"]
refused = 0
for model in models:
    machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    machine.ctl_set_cpu_model(model)
    machine.mem_map(0x1000, 0x1000)
    machine.mem_write(0x1000, code)
    try:
        machine.emu_start(0x1000, 0x1000 + len(code))
    except unicorn.UcError as error:
        refused += error.errno == unicorn.UC_ERR_INSN_INVALID
print(f"unicorn: refused by {'all' if refused == len(models) else refused} of {len(models)} models")
PY
seen="objdump: $objdump; $(venv/bin/python others.py)"
echo "$seen"
[ "$seen" = "objdump: data16 sfence; capstone: none; iced: (bad); unicorn: refused by all of 38 models" ]
