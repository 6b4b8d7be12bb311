"""Our own tables, as this evaluator and acpiexec see them: every object that needs no machine has one value."""

from __future__ import annotations

from acpi.judges import acpiexec

from xlpy.devicemodel.aml import root_body
from xlpy.devicemodel.nvdr import DEVICE
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import ObjectType, load
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.hvmloader.dsdt import build_dsdt
from xlpy.firmware.hvmloader.ssdt import sleep_s3, sleep_s4
from xlpy.firmware.layout import XEN_HVM

STATIC = (ObjectType.INTEGER, ObjectType.STRING, ObjectType.BUFFER, ObjectType.PACKAGE)
TOO_LONG = 16  # elements: acpiexec cuts longer packages


def guest_tables():
    """What a domain with vNVDIMMs is given."""
    nvdimms = aml.scope("\\_SB", aml.device(DEVICE, root_body(XEN_HVM.mailbox, 2)))
    return [build_dsdt(XEN_HVM.acpi_info), sleep_s3(), sleep_s4(), build_table("SSDT", nvdimms, 2)]


def flat(entry):
    return [entry, *(found for child in entry.children for found in flat(child))]


def test_every_static_object_has_the_value_that_acpiexec_finds(tmp_path):
    tables = guest_tables()
    vm = load(tables)
    static = [
        entry.path
        for entry in flat(vm.namespace())
        if entry.type in STATIC
        and entry.path not in ("\\_REV", "\\_OS")
        and not (isinstance(entry.value, list) and len(entry.value) > TOO_LONG)
    ]
    assert len(static) > 350
    ours = dict(zip(static, map(vm.evaluate, static), strict=True))
    theirs = dict(zip(static, acpiexec(tmp_path, tables, static), strict=True))
    repaired = "\\_SB.PCI0.ISA.VGID._CID"  # ACPICA writes hardware ids in capitals
    assert ours.pop(repaired).upper() == theirs.pop(repaired)
    assert ours == theirs


def test_dsm_function_0_is_answered_alike(tmp_path):
    """The same call, on memory that is zero everywhere: the page is idle, and nobody answers but the AML itself."""
    from xlpy.firmware.acpi.guid import NVDIMM_DEVICE, guid_bytes

    tables = guest_tables()
    other = bytes(range(16))
    calls = [
        ("\\_SB.NVDR._DSM", other, 1, 0),
        ("\\_SB.NVDR.NV00._DSM", other, 1, 0),
        ("\\_SB.NVDR.NV01._DSM", other, 2, 0),
        ("\\_SB.NVDR.NV00._DSM", guid_bytes(NVDIMM_DEVICE)[::-1], 1, 0),
    ]
    vm = load(tables)
    ours = [vm.evaluate(path, uuid, revision, function, [0]) for path, uuid, revision, function in calls]
    spelt = [f"{path} ({uuid.hex(' ')}) {revision} {function} [0]" for path, uuid, revision, function in calls]
    assert ours == acpiexec(tmp_path, tables, spelt) == [b"\0"] * len(calls)
