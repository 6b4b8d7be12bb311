"""The numbers agree with Xen's public headers (Debian's libxen-dev), where those are installed."""

import re
from pathlib import Path

from programs import needs_other

from xlpy import abi

HEADERS = Path("/usr/include/xen")
FILES = ("xen.h", "memory.h", "platform.h", "domctl.h", "sysctl.h", "sched.h", "hvm/dm_op.h", "hvm/params.h")
OURS = {"XENMEM_PMEM_MAP": 48, "XENMEM_PMEM_UNMAP": 49, "XENMEM_PMEM_CLEAR_ERROR": 50, "XENPF_PMEM_ADD": 1000}


def header_numbers() -> dict[str, int]:
    numbers = {}
    for name in FILES:
        text = (HEADERS / name).read_text()
        text = re.sub(r"#define\s+_(XEN_DOM\w+)\s+(\d+)", lambda m: f"#define {m[1]} {1 << int(m[2])}", text)
        for key, value in re.findall(r"#\s*define\s+(\w+)\s+\(?(?:xen_mk_uint\()?(0x[0-9a-fA-F]+|\d+)\b", text):
            numbers.setdefault(key.upper(), int(value, 0))
    for key, value in re.findall(r"XEN_ERRNO\((\w+),\s*(\d+)\)", (HEADERS / "errno.h").read_text()):
        numbers[key] = int(value)
    return numbers


@needs_other("Xen's headers", HEADERS.is_dir(), "libxen-dev")
def test_numbers_are_those_of_the_headers() -> None:
    theirs = header_numbers()
    ours = {k: v for k, v in vars(abi).items() if k.isupper() and isinstance(v, int)}
    common = ours.keys() & theirs.keys()
    assert len(common) > 110
    assert {k: ours[k] for k in common} == {k: theirs[k] for k in common}


def test_proposed_operations_collide_with_nothing() -> None:
    for name, number in OURS.items():
        assert getattr(abi, name) == number
    used = [v for k, v in vars(abi).items() if k.startswith("XENMEM_") and k not in OURS]
    assert max(used) < 48
    assert all(number < 64 for name, number in OURS.items() if name.startswith("XENMEM_"))
