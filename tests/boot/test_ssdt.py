"""The table that turns the emulator's event into notifications: run by our evaluator, and by ACPICA's."""

from __future__ import annotations

import re
import struct
import subprocess
from types import SimpleNamespace

import pytest
from programs import need

from xlpy.addr import Gpa
from xlpy.boot.ssdt import build_ssdt
from xlpy.devicemodel import dsm, mailbox
from xlpy.devicemodel.aml import root_body
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import load
from xlpy.firmware.hvmloader.dm_acpi import namespace_device
from xlpy.firmware.hvmloader.dsdt import build_dsdt

PAGE = Gpa(0x100000)
EVENTS = [(0, 0x80), (3, 0x81), (1, 3)]
TOLD = ["NVDR 0x80", "NV02 0x81", "NV00 0x3"]


class Machine:
    """RAM with a mailbox, whose requests a device model with notifications answers."""

    def __init__(self, events):
        self.page = bytearray(4096)
        waiting = list(events)
        self.model = SimpleNamespace(next_event=lambda: waiting.pop(0) if waiting else None, devices=[])

    def read(self, space, address, width):
        assert space == 0
        at = address - PAGE
        return int.from_bytes(self.page[at : at + width], "little")

    def write(self, space, address, width, value):
        assert space == 0
        at = address - PAGE
        self.page[at : at + width] = value.to_bytes(width, "little")
        mailbox.serve(memoryview(self.page), lambda request: dsm.answer(self.model, request))


@pytest.mark.parametrize("count", range(4))
def test_each_notification_is_made_once(count):
    machine = Machine(EVENTS[:count])
    tables = [build_dsdt(Gpa(0x200000)), namespace_device("NVDR", root_body(PAGE, 3)), build_ssdt(3)]
    guest = load(tables, machine)
    guest.evaluate("\\_GPE._E03")
    assert [f"{one.path[-4:]} {one.value:#x}" for one in guest.notifications] == TOLD[:count]
    guest.evaluate("\\_GPE._E03")
    assert len(guest.notifications) == count


def test_a_device_model_that_does_not_answer_ends_it():
    """Its status is no notification."""
    machine = Machine([])
    machine.write = lambda *_: None
    machine.read = lambda _space, _address, width: (1 << 8 * width) - 1  # nothing is at the page
    tables = [build_dsdt(Gpa(0x200000)), namespace_device("NVDR", root_body(PAGE, 3)), build_ssdt(3)]
    guest = load(tables, machine)
    guest.evaluate("\\_GPE._E03")
    assert guest.notifications == []


# -- ACPICA ----------------------------------------------------------------------------------------------------------


def root_device():
    """An NVDIMM root device whose device model is AML: it has the notifications of EVENTS."""
    replies = [struct.pack("<III", 0, *event) for event in EVENTS] + [struct.pack("<I", dsm.NO_EVENT)]
    return b"".join(
        (
            aml.name("UPRV", aml.buffer(bytes(16))),
            aml.name("TURN", 0),
            aml.method(
                "ASKM",
                5,
                aml.increment(aml.ref("TURN")),
                *(
                    aml.if_(aml.equal(aml.ref("TURN"), turn), aml.return_(aml.buffer(reply)))
                    for turn, reply in enumerate(replies, 1)
                ),
                aml.return_(aml.buffer(bytes(4))),
                serialized=True,
            ),
            aml.method("DWRD", 2, aml.return_(aml.to_integer(aml.mid(aml.arg(0), aml.arg(1), 4)))),
            *(aml.device(f"NV{slot:02X}", aml.name("_ADR", slot + 1)) for slot in range(3)),
        )
    )


@pytest.fixture
def folder(tmp_path):
    need("iasl", "acpiexec")
    (tmp_path / "dsdt.aml").write_bytes(build_dsdt(Gpa(0x200000)))
    (tmp_path / "nvdr.aml").write_bytes(namespace_device("NVDR", root_device()))
    (tmp_path / "events.aml").write_bytes(build_ssdt(3))
    return tmp_path


def run(folder, *words):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_acpica_makes_the_same_notifications(folder):
    """``gpe 3`` of its debugger goes the way of an SCI. Its threads take notifications in any order."""
    said = run(folder, "acpiexec", "-b", "gpe 3;evaluate \\_GPE._E03", "dsdt.aml", "nvdr.aml", "events.aml")
    assert not re.search("ACPI Error|AE_|failed", said), said
    found = re.findall(r"Notify on \[(\w+)\].*?(?:Value|value) 0x(\w+)", said)
    assert sorted(f"{name} {int(value, 16):#x}" for name, value in found) == sorted(TOLD), said


def test_iasl_compiles_what_it_disassembles(folder):
    said = run(folder, "iasl", "-d", "events.aml")
    assert "rror" not in said, said
    said = run(folder, "iasl", "-p", "again", "events.dsl")
    assert "0 Errors, 0 Warnings, 0 Remarks" in said, said
    assert (folder / "again.aml").read_bytes()[36:] == build_ssdt(3)[36:]
