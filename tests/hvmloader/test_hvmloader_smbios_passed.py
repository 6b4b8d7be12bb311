"""SMBIOS structures that the toolstack passes through (``smbios_firmware``): what is not a row of structures."""

from __future__ import annotations

import pytest
from hvmloader.fake_platform import boot, case

from xlpy.addr import MIB, Gpa
from xlpy.errors import FirmwareStopped
from xlpy.firmware.hvmloader.main import run

PLACE = Gpa(16 * MIB)


def structure(kind: int, text: bytes = b"T") -> bytes:
    raw = bytes((kind, 4, 0x34, 0x12)) + text + b"\0\0"
    return len(raw).to_bytes(4, "little") + raw


def platform_with(module: bytes, **keys: str):
    words = {"address": hex(PLACE), "length": hex(len(module))} | keys
    platform = case("A", keys={f"hvmloader/smbios/{key}": value for key, value in words.items()})
    platform.write(PLACE, module)
    return platform


def structures(platform) -> bytes:
    entry = platform.read(boot(platform).handed[0], 31)
    return platform.read(Gpa(int.from_bytes(entry[24:28], "little")), int.from_bytes(entry[22:24], "little"))


def test_the_first_of_a_type_counts_and_gets_the_usual_handle():
    made = structures(platform_with(structure(1, b"one") + structure(1, b"two")))
    assert b"\x01\x04\x00\x01one\0\0" in made
    assert b"two" not in made
    assert b"HVM domU" not in made


def test_vendors_keep_their_handles():
    made = structures(platform_with(structure(200, b"a") + structure(200, b"b")))
    assert b"\xc8\x04\x34\x12a\0\0\xc8\x04\x34\x12b\0\0\x7f\x04\x00\x7f" in made


def test_other_types_and_what_covers_no_header_are_passed_over():
    module = (3).to_bytes(4, "little") + b"abc" + structure(4, b"ignored") + structure(3, b"taken") + b"xyz"
    made = structures(platform_with(module))
    assert b"taken" in made
    assert b"ignored" not in made


@pytest.mark.parametrize(
    ("module", "keys", "text"),
    [
        (structure(1)[:-1], {}, "structure at offset 0x0 has 7 bytes, 6 are left"),
        ((6).to_bytes(4, "little") + b"\x01\x09\0\0\0\0", {}, "do not end its strings"),
        ((6).to_bytes(4, "little") + b"\x01\x04\0\0ab", {}, "do not end its strings"),
        (structure(1), {"address": "0xfffffff0", "length": "0x100"}, "do not lie in RAM below 4 GiB"),
    ],
)
def test_refused(module, keys, text):
    with pytest.raises(FirmwareStopped, match=text) as caught:
        run(platform_with(module, **keys))
    assert caught.value.code == "XLPY-FIRMWARE-PASSTHROUGH"
