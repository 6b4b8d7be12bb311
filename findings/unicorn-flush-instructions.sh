#!/bin/sh
# Unicorn refuses CLWB and CLFLUSHOPT, with which programs for persistent memory flush caches, unless the CPU model is
# changed before the first instruction: its default has neither. The model EPYC still lacks CLWB, EPYC_ROME has it. On a
# model that has them they run, and no memory hook tells of them. CLDEMOTE is taken by every model, a 486 included.
#
# Seen with unicorn 2.1.4:
#   clwb:       default refused, SKYLAKE_SERVER ok, EPYC refused, EPYC_ROME ok, 486 refused
#   clflushopt: default refused, SKYLAKE_SERVER ok, EPYC ok, EPYC_ROME ok, 486 refused
#   clflush:    default ok, SKYLAKE_SERVER ok, EPYC ok, EPYC_ROME ok, 486 refused
#   cldemote:   ok with all five
#   memory hooks called for a line that was written back: 0
# Exit status: 0 as seen; 1 the behaviour has changed; 2 the package is not to be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv && venv/bin/pip install -q unicorn==2.1.4 >/dev/null 2>&1 || { echo "unicorn 2.1.4 cannot be installed"; exit 2; }
cat >try.py <<'PY'
import sys

import unicorn
from unicorn import x86_const as x86

print("unicorn", unicorn.__version__)
NAMES = {"clwb": "660fae30", "clflushopt": "660fae38", "clflush": "0fae38", "cldemote": "0f1c00"}
MODELS = ["default", "SKYLAKE_SERVER", "EPYC", "EPYC_ROME", "486"]
called = []

def runs(code, model):
    machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    if model != "default":
        machine.ctl_set_cpu_model(getattr(x86, f"UC_CPU_X86_{model}"))
    machine.mem_map(0x1000, 0x2000)
    machine.mem_write(0x1000, code)
    machine.reg_write(x86.UC_X86_REG_RAX, 0x2000)
    machine.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, lambda *event: called.append(event))
    try:
        machine.emu_start(0x1000, 0x1000 + len(code))
    except unicorn.UcError as error:
        assert error.errno == unicorn.UC_ERR_INSN_INVALID, error
        return "refused"
    return "ok"

seen = {name: [runs(bytes.fromhex(code), model) for model in MODELS] for name, code in NAMES.items()}
for name, answers in seen.items():
    print(f"{name}:", ", ".join(map(" ".join, zip(MODELS, answers))))
print("memory hooks called:", len(called))
ok, refused = "ok", "refused"
want = {
    "clwb": [refused, ok, refused, ok, refused],
    "clflushopt": [refused, ok, ok, ok, refused],
    "clflush": [ok, ok, ok, ok, refused],
    "cldemote": [ok] * 5,
}
sys.exit(seen != want or bool(called))
PY
venv/bin/python try.py
