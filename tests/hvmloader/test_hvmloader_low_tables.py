"""SMBIOS, MP and PIR tables: structure, checksums, and what they say."""

from __future__ import annotations

from struct import unpack_from

import pytest
from hvmloader.fake_platform import FakePlatform, boot, case

from xlpy.addr import GIB, KIB, MIB, Gpa
from xlpy.errors import FirmwareStopped
from xlpy.firmware.hvmloader.main import run


class Smbios:
    """Structures behind an entry point."""

    def __init__(self, platform: FakePlatform, entry: int) -> None:
        head = platform.read(Gpa(entry), 31)
        assert head[:4] == b"_SM_"
        assert head[5] == 31
        assert sum(head) & 0xFF == 0
        assert head[16:21] == b"_DMI_"
        assert sum(head[16:]) & 0xFF == 0
        length, address, count = unpack_from("<HIH", head, 22)
        data, at = platform.read(Gpa(address), length), 0
        self.found: list[tuple[int, bytes, list[str]]] = []
        largest = 0
        while at < length:
            kind, size = data[at], data[at + 1]
            end = data.index(b"\0\0", at + size) + 2
            texts = data[at + size : end - 2].split(b"\0")
            self.found.append((kind, data[at : at + size], [text.decode("latin-1") for text in texts if text]))
            largest, at = max(largest, end - at), end
        assert (at, len(self.found), self.found[-1][0]) == (length, count, 127)
        assert int.from_bytes(head[8:10], "little") == largest
        handles = [body[2:4] for _, body, _ in self.found]
        assert len(set(handles)) == len(handles)

    def all(self, kind: int) -> list[tuple[bytes, list[str]]]:
        return [(body, texts) for found, body, texts in self.found if found == kind]

    def one(self, kind: int) -> tuple[bytes, list[str]]:
        (only,) = self.all(kind)
        return only


LENGTHS = {0: 24, 1: 27, 3: 21, 4: 35, 11: 5, 16: 15, 17: 27, 19: 15, 20: 19, 32: 11, 127: 4}


def test_smbios():
    platform = case("B", keys={"vm": "/vm/00112233-4455-6677-8899-aabbccddeeff"})
    tables = Smbios(platform, boot(platform).handed[0])
    assert {kind: len(body) for kind, body, _ in tables.found} == LENGTHS
    assert tables.one(0)[1] == ["Xen", "4.17", "01/01/2016"]
    body, texts = tables.one(1)
    assert texts == ["Xen", "HVM domU", "4.17", "00112233-4455-6677-8899-aabbccddeeff"]
    assert body[8:24].hex() == "00112233445566778899aabbccddeeff"
    assert [texts for _, texts in tables.all(4)] == [[f"CPU {n}", "unknown"] for n in range(1, 5)]
    assert tables.all(4)[0][0][20:24] == (2400).to_bytes(2, "little") * 2
    assert unpack_from("<I", tables.one(16)[0], 7) == (GIB // KIB,)
    assert unpack_from("<H", tables.one(17)[0], 12) == (1024,)
    assert unpack_from("<II", tables.one(19)[0], 4) == (0, GIB // KIB - 1)


def test_bios_strings():
    keys = {
        "bios-vendor": "Example",
        "bios-version": "1.0",
        "system-product-name": "caf\xe9",
        "enclosure-serial-number": "S3",
        "enclosure-asset-tag": "T3",
    }
    platform = case("A", keys={f"bios-strings/{key}": value for key, value in keys.items()})
    tables = Smbios(platform, boot(platform).handed[0])
    assert tables.one(0)[1][:2] == ["Example", "1.0"]
    body, texts = tables.one(3)
    assert texts == ["Xen", "S3", "T3"]
    assert (body[4], body[7], body[8]) == (1, 2, 3)
    plain = case("A")
    body, texts = Smbios(plain, boot(plain).handed[0]).one(3)
    assert (texts, body[4], body[7], body[8]) == (["Xen"], 1, 0, 0), "strings that there are not have number 0"


@pytest.mark.parametrize("vm", ["", "/vm/", "/vm/xyz", "/vm/0011"])
def test_a_domain_without_uuid(vm):
    platform = case("A", keys={"vm": vm})
    assert Smbios(platform, boot(platform).handed[0]).one(1)[0][8:24] == bytes(16)


def test_memory_devices_of_16_gib():
    platform = FakePlatform(40 * GIB)
    tables = Smbios(platform, boot(platform).handed[0])
    assert [unpack_from("<H", body, 12)[0] for body, _ in tables.all(17)] == [16384, 16384, 8192]
    assert [unpack_from("<II", body, 4) for body, _ in tables.all(20)] == [
        (start * 1024 * 1024, end * 1024 * 1024 - 1) for start, end in ((0, 16), (16, 32), (32, 40))
    ]


def test_ovmf_finds_smbios_at_its_fixed_place():
    platform = case("A", keys={"hvmloader/bios": "ovmf"})
    run(platform)
    assert Smbios(platform, 0xEB000).one(0)


def test_ovmf_has_room_for_20_kib():
    platform = case("A", keys={"hvmloader/bios": "ovmf", "bios-strings/bios-vendor": "x" * 20480})
    with pytest.raises(FirmwareStopped, match="do not fit below 0xf0000"):
        run(platform)


def test_mp_table():
    platform = case("B")
    mp = boot(platform).handed[1]
    floating = platform.read(mp, 16)
    signature, at, length, revision, _, _ = unpack_from("<4sIBBB5s", floating)
    assert (signature, length, revision, sum(floating) & 0xFF) == (b"_MP_", 1, 4, 0)
    size = int.from_bytes(platform.read(Gpa(at + 4), 2), "little")
    table = platform.read(Gpa(at), size)
    assert table[:4] == b"PCMP"
    assert sum(table) & 0xFF == 0
    count, lapic = unpack_from("<HI", table, 34)
    assert lapic == 0xFEE00000
    found, at = [], 44
    while at < size:
        width = 20 if table[at] == 0 else 8
        found.append(table[at : at + width])
        at += width
    assert (at, len(found)) == (size, count)
    assert [(entry[1], entry[3]) for entry in found if entry[0] == 0] == [(0, 3), (2, 1), (4, 1), (6, 1)]
    assert [entry[2:] for entry in found if entry[0] == 1] == [b"ISA   "]
    assert [unpack_from("<BBBI", entry, 1) for entry in found if entry[0] == 2] == [(1, 0, 1, 0xFEC00000)]
    first, *lines = [entry for entry in found if entry[0] == 3]
    assert (first[1], first[5], first[7]) == (3, 0, 0), "the 8259 on pin 0"
    routes = {entry[5]: (entry[7], entry[2]) for entry in lines}
    assert routes.pop(0) == (2, 0), "the timer sits on pin 2"
    assert routes == {line: (line, 15 if line in (5, 10, 11) else 0) for line in range(1, 16) if line != 2}


def test_pir():
    platform = case("A")
    pir = boot(platform).handed[2]
    table = platform.read(pir, 128)
    assert table[:8] == b"$PIR\x00\x01\x80\x00"
    assert sum(table) & 0xFF == 0
    assert table[8:10] == bytes((0, 8)), "the router is 00:01.0"
    slot3 = table[32 + 48 : 32 + 64]
    assert slot3[1] == 3 << 3
    assert [slot3[at] for at in (2, 5, 8, 11)] == [0x60, 0x61, 0x62, 0x63]
    assert slot3[3:5] == (1 << 5 | 1 << 10 | 1 << 11).to_bytes(2, "little")
    assert [table[32 + 16 * n + 14] for n in range(6)] == [0, 1, 2, 3, 4, 5]


def test_memory_from_4_tib_on_wraps():
    """The fields have 32 bits for KiB, and hvmloader does not look."""
    platform = FakePlatform(4096 * GIB)
    tables = Smbios(platform, boot(platform).handed[0])
    assert unpack_from("<I", tables.one(16)[0], 7) == (0,)
    assert unpack_from("<II", tables.all(19)[-1][0], 4) == (0xFF000000, 0xFFFFFFFF)
    assert len(tables.all(17)) == 256
    assert platform.low_end == 0xF0000000 > MIB
