"""CPUID: the bits that persistent memory is about."""

import pytest

from xlpy.hw.cpu import EAX, EBX, ECX, EDX, cpuid
from xlpy.hw.machine import CpuSpec

CLFLUSHOPT, CLWB, PCOMMIT = 1 << 23, 1 << 24, 1 << 22


def registers(leaf, subleaf=0, **spec):
    return cpuid(CpuSpec(**spec), leaf, subleaf)


@pytest.mark.parametrize(
    ("features", "bits"),
    [
        ((), 0),
        (("clflushopt",), CLFLUSHOPT),
        (("clwb",), CLWB),
        (("clflushopt", "clwb"), CLFLUSHOPT | CLWB),
        (("pcommit",), 0),
    ],
)
def test_flush_instructions(features, bits):
    assert registers(7, features=features)[EBX] & (CLFLUSHOPT | CLWB | PCOMMIT) == bits


@pytest.mark.parametrize("line", [16, 32, 64, 128])
def test_line_size_is_in_units_of_8_bytes(line):
    assert registers(1, line=line)[EBX] >> 8 & 0xFF == line // 8
    assert registers(0x80000006, line=line)[ECX] & 0xFF == line


def test_clflush_is_always_there():
    assert registers(1, features=())[EDX] >> 19 & 1


def test_identity():
    highest, ebx, ecx, edx = registers(0)
    assert highest == 7
    assert b"".join(word.to_bytes(4, "little") for word in (ebx, edx, ecx)) == b"GenuineIntel"
    assert registers(0x80000000)[EAX] == 0x80000008
    brand = b"".join(word.to_bytes(4, "little") for leaf in (2, 3, 4) for word in registers(0x80000000 + leaf))
    assert brand.rstrip(b"\0") == b"xlpy emulated processor"


def test_address_width_and_long_mode():
    assert registers(0x80000008, physical_bits=39)[EAX] == 48 << 8 | 39
    edx = registers(0x80000001)[EDX]
    assert [edx >> bit & 1 for bit in (29, 26, 20)] == [1, 1, 1]  # long mode, 1 GiB pages, no-execute


def test_count():
    assert registers(1, count=8)[EBX] >> 16 & 0xFF == 8


@pytest.mark.parametrize(
    ("leaf", "subleaf"), [(2, 0), (7, 1), (8, 0), (0x40000000, 0), (0x80000009, 0), (0xFFFFFFFF, 3)]
)
def test_absent_leaves_are_zero(leaf, subleaf):
    assert registers(leaf, subleaf) == (0, 0, 0, 0)
