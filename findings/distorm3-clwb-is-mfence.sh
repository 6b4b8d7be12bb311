#!/bin/sh
# distorm3 prints CLWB as `MFENCE [RAX]` and CLFLUSHOPT as `SFENCE [RAX]`. So the write-backs of a program for persistent
# memory read as fences, and whoever counts fences in its output, or looks for missing write-backs, finds what is not there.
#
# Seen with distorm3 3.5.2 (capstone 5.0.9 beside it):
#   clwb: MFENCE [RAX]; clflushopt: SFENCE [RAX]; clflush: CLFLUSH [RAX]; mfence: MFENCE; sfence: SFENCE
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv && venv/bin/pip install -q distorm3==3.5.2 capstone==5.0.9 >/dev/null 2>&1 ||
    { echo "distorm3 3.5.2 or capstone 5.0.9 cannot be installed"; exit 2; }
cat >decode.py <<'PY'
import capstone
import distorm3

engine, words = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64), []
for text in ("660fae30", "660fae38", "0fae38", "0faef0", "0faef8"):
    code = bytes.fromhex(text)
    (name,) = [one.mnemonic for one in engine.disasm(code, 0)]
    words.append(f"{name}: {distorm3.Decode(0, code, distorm3.Decode64Bits)[0][2]}")
print("; ".join(words))
PY
seen=$(venv/bin/python decode.py)
echo "$seen"
[ "$seen" = "clwb: MFENCE [RAX]; clflushopt: SFENCE [RAX]; clflush: CLFLUSH [RAX]; mfence: MFENCE; sfence: SFENCE" ]
