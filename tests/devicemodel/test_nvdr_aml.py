"""The AML of the NVDIMM root device, judged by ACPICA."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from programs import need

from xlpy.addr import Gpa
from xlpy.devicemodel.aml import root_body
from xlpy.firmware.acpi.aml import device, name, package, scope
from xlpy.firmware.acpi.sdt import build_table

if TYPE_CHECKING:
    from pathlib import Path

MAILBOX = Gpa(0xFE000000)


def ssdt(slots: int) -> bytes:
    """The table that hvmloader makes of name and body."""
    return build_table("SSDT", scope("\\_SB", device("NVDR", root_body(MAILBOX, slots))), 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need("iasl", "acpiexec")
    (tmp_path / "ssdt.aml").write_bytes(ssdt(3))
    sleep = name("\\_S5", package(0, 0, 0, 0))
    (tmp_path / "dsdt.aml").write_bytes(build_table("DSDT", sleep, 2))
    return tmp_path


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_known_encodings() -> None:
    body = root_body(MAILBOX, 1)
    assert body.startswith(bytes.fromhex("085f4849440d4143504930303132 00"))  # Name (_HID, "ACPI0012")
    assert bytes.fromhex("5b80 4d424f58 00 0c000000fe 0b0010") in body  # OperationRegion at the mailbox
    assert bytes.fromhex("08 5f414452 01") in body  # Name (_ADR, 1)
    assert bytes.fromhex("a4e7102f919ee41189d3123b93f75cba") in body


def test_every_name_is_inside_the_device() -> None:
    assert not re.search(rb"[\\^][A-Z_.]", root_body(MAILBOX, 4))


@pytest.mark.parametrize("slots", [0, 1, 255])
def test_one_child_for_each_slot(slots: int) -> None:
    found = [seg.decode() for seg in re.findall(rb"\x5b\x82..?(NV[0-9A-F]{2})", root_body(MAILBOX, slots), re.DOTALL)]
    assert found == [f"NV{slot:02X}" for slot in range(slots)]


def test_iasl_compiles_what_it_disassembles(folder: Path) -> None:
    said = run(folder, "iasl", "-d", "ssdt.aml")
    assert "rror" not in said, said
    said = run(folder, "iasl", "-p", "again", "ssdt.dsl")
    assert "0 Errors, 0 Warnings, 0 Remarks" in said, said
    assert (folder / "again.aml").read_bytes()[36:] == ssdt(3)[36:]


OTHER = "(34 C3 02 90 F3 AC 4E 0C 96 42 A2 35 F0 D5 3B C6)"
ROOT = "(A4 E7 10 2F 91 9E E4 11 89 D3 12 3B 93 F7 5C BA)"


def evaluate(folder: Path, *calls: str, fill: str = "0") -> list[list[str]]:
    """Integers, strings and buffers of each call's result; no call may say a word more."""
    batch = ";".join(f"evaluate \\_SB.NVDR.{call}" for call in calls)
    said = run(folder, "acpiexec", "-fv", fill, "-b", batch, "dsdt.aml", "ssdt.aml")
    assert not re.search("ACPI Error|AE_|failed", said), said
    results = re.findall(r"external buffer length.*?(?=Evaluating|ACPI: No)", said, re.DOTALL)
    data = r"\[Integer\] = \w+|\[String\].*|\[Buffer\] Length 00|\[Buffer\] Length \d+ = +0000:(?: \w\w)+"
    return [[re.sub(r" +", " ", found) for found in re.findall(data, text)] for text in results]


def test_acpiexec_evaluates(folder: Path) -> None:
    calls = {
        f"_DSM {OTHER} 1 0 [0]": ["[Buffer] Length 01 = 0000: 00"],
        f"_DSM {OTHER} 1 4 [0]": ["[Buffer] Length 04 = 0000: 01 00 00 00"],
        f"NV02._DSM {ROOT} 1 0 [0]": ["[Buffer] Length 01 = 0000: 00"],
        "NV02._ADR": ["[Integer] = 0000000000000003"],
        "_HID": ['[String] Length 08 = "ACPI0012"'],
    }
    assert evaluate(folder, *calls) == list(calls.values())


def test_a_page_without_a_device_model_ends_in_a_status(folder: Path) -> None:
    """acpiexec's simulated memory starts as all-ones here: the doorbell of an unpopulated page."""
    zero, one, nothing = "[Integer] = 0000000000000000", "[Integer] = 0000000000000001", "[Buffer] Length 00"
    calls = {
        "NV00._LSI": [one, zero, zero],
        "NV00._LSR 0 16": [one, nothing],
        "NV00._LSW 0 4 (01 02 03 04)": [one],
        "_FIT": [nothing],
        f"_DSM {ROOT} 1 0 [0]": ["[Buffer] Length 01 = 0000: 00"],
        f"_DSM {ROOT} 1 1 [0]": ["[Buffer] Length 04 = 0000: 05 00 00 00"],
    }
    assert evaluate(folder, *calls, fill="0xFF") == list(calls.values())
