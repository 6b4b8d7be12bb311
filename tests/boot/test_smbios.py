"""SMBIOS structures as the emulator takes them."""

from __future__ import annotations

from struct import pack
from uuid import UUID

import pytest

from xlpy.addr import Gpa
from xlpy.boot.smbios import structures
from xlpy.firmware.hvmloader.smbios import entry_point

UUID_TEXT = "00112233-4455-6677-8899-aabbccddeeff"
BIOS = pack("<BBH", 0, 6, 0) + b"\1\2" + b"Xen\x004.17\0\0"
SYSTEM = pack("<BBH", 1, 27, 0x100) + b"\1\2\0\0" + UUID(UUID_TEXT).bytes + b"\6\0\0" + b"Xen\0HVM domU\0\0"
OLD_SYSTEM = pack("<BBH", 1, 8, 0x100) + b"\1\0\0\0" + b"Xen\0\0"  # of SMBIOS 2.0: no UUID
PROCESSOR = pack("<BBH", 4, 5, 0x401) + b"\1" + b"CPU 1\0\0"
BARE = pack("<BBH", 32, 11, 0x2000) + bytes(7) + b"\0\0"  # no strings
END = pack("<BBH", 127, 4, 0x7F00) + b"\0\0"


def memory(parts, entry):
    """Guest memory with an entry point and, at 0x3000, the structures."""
    content = bytearray(0x100000)
    table = b"".join(parts)
    content[0x3000 : 0x3000 + len(table)] = table
    if entry is not None:
        content[entry : entry + 31] = entry_point(Gpa(0x3000), parts)
    return lambda gpa, length: bytes(content[gpa : gpa + length])


def read(parts, entry=0x10020, tables=(0x10040, 0x10020)):
    return list(structures(memory(parts, entry), map(Gpa, tables)))


def test_each_structure_alone():
    """Without processors and the end; those without strings, and with an empty one at the end."""
    assert read([BIOS, PROCESSOR, BARE, END]) == [BIOS, BARE]


def test_the_uuid_reads_the_same_behind_a_later_entry_point():
    (found,) = read([SYSTEM, END])
    assert UUID(bytes_le=found[8:24]) == UUID(UUID_TEXT)
    assert found[:8] + found[24:] == SYSTEM[:8] + SYSTEM[24:]


def test_a_system_without_a_uuid():
    assert read([OLD_SYSTEM, END]) == [OLD_SYSTEM]


def test_where_ovmf_finds_it():
    assert read([BIOS, END], 0xEB000, ()) == [BIOS]


@pytest.mark.parametrize("entry", [None, 0x20000])
def test_no_entry_point(entry):
    assert read([BIOS, END], entry) == []


def test_a_structure_that_is_cut_off():
    assert read([BIOS, SYSTEM[:20]]) == [BIOS]
