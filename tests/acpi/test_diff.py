"""Two sets of tables, compared: each difference once, by field or object; what follows from others is marked."""

from __future__ import annotations

import pytest

from xlpy.firmware.acpi import aml, nfit
from xlpy.firmware.acpi.diff import ADDED, CHANGED, REMOVED, compare
from xlpy.firmware.acpi.fadt import build_fadt
from xlpy.firmware.acpi.nfit_format import build_nfit
from xlpy.firmware.acpi.roots import build_xsdt
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.acpi.walk import Found

GIB = 1 << 30


def found(*tables):
    return [Found(data[:4].decode("latin-1"), 0, data) for data in tables]


def ssdt(*terms, oem="HVM"):
    return build_table("SSDT", b"".join(terms), 2, oem_table_id=oem)


def differences(old, new):
    """Those that follow from nothing else."""
    return [item[:5] for item in compare(found(*old), found(*new)) if not item.derived]


SPA = nfit.SpaRange(1, 4 * GIB, GIB)
NFIT = build_nfit([SPA])
METHOD = aml.method("MTH0", 1, aml.store(aml.arg(0), aml.local(0)), aml.return_(aml.local(0)))


def test_equal_sets():
    assert compare(found(NFIT, ssdt(METHOD)), found(NFIT, ssdt(METHOD))) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    {
        "a field": (
            NFIT,
            build_nfit([SPA._replace(base=8 * GIB)]),
            ("nfit", CHANGED, "structures[SpaRange 0x1].base", 4 * GIB, 8 * GIB),
        ),
        "a field of the header": (
            build_table("UEFI", b"x", 1),
            build_table("UEFI", b"x", 2),
            ("uefi", CHANGED, "revision", 1, 2),
        ),
        "a field of the FADT": (
            build_fadt({"sci_int": 9}, 6),
            build_fadt({"sci_int": 10}, 6),
            ("facp", CHANGED, "sci_int", 9, 10),
        ),
        "bytes of an unknown table": (
            build_table("UEFI", b"x", 1),
            build_table("UEFI", b"y", 1),
            ("uefi", CHANGED, "bytes.0x24", "78", "79"),
        ),
        "a constant": (
            ssdt(aml.name("ABCD", 1)),
            ssdt(aml.name("ABCD", 2)),
            ("ssdt", CHANGED, "\\ABCD", ["Name", "One"], ["Name", "0x02"]),
        ),
        "a kind": (
            ssdt(aml.name("ABCD", 1)),
            ssdt(aml.event("ABCD")),
            ("ssdt", CHANGED, "\\ABCD", ["Name", "One"], ["Event", ""]),
        ),
        "a method": (
            ssdt(METHOD),
            ssdt(aml.method("MTH0", 1, aml.return_(aml.arg(0)))),
            (
                "ssdt",
                CHANGED,
                "\\MTH0",
                ["Method", "1, NotSerialized", "Store (Arg0, Local0)", "Return (Local0)"],
                ["Method", "1, NotSerialized", "Return (Arg0)"],
            ),
        ),
        "a new object": (
            ssdt(aml.device("DEV0")),
            ssdt(aml.device("DEV0", aml.name("_UID", 3))),
            ("ssdt", ADDED, "\\DEV0._UID", None, ["Name", "0x03"]),
        ),
        "an object that is gone": (
            ssdt(aml.device("DEV0", aml.name("_UID", 3))),
            ssdt(aml.device("DEV0")),
            ("ssdt", REMOVED, "\\DEV0._UID", ["Name", "0x03"], None),
        ),
    }.values(),
)
def test_one_difference(old, new, expected):
    assert differences([old], [new]) == [expected]


def test_statements_that_make_no_object():
    one, other = (ssdt(aml.name("A", 1), aml.store(value, aml.ref("A"))) for value in (1, 2))
    ((_, change, where, *_),) = differences([one], [other])
    assert (where, change) == ("statements", CHANGED)


def test_structures_are_known_by_their_indices():
    """One in front of the others changes nothing about them."""
    more = build_nfit([SPA._replace(spa_index=7, base=16 * GIB), SPA])
    where = {item[2] for item in differences([NFIT], [more])}
    assert where == {f"structures[SpaRange 0x7].{field}" for field in SPA._fields} | {"structures[SpaRange 0x7].kind"}


def test_tables_that_are_added_and_removed():
    assert differences([NFIT], [ssdt(METHOD)]) == [
        ("nfit", REMOVED, "", f"{len(NFIT)} bytes", None),
        ("ssdt", ADDED, "", None, f"{len(ssdt(METHOD))} bytes"),
    ]


def test_an_ssdt_in_front_of_others_is_one_difference():
    """Tables of one signature are paired by what they have in common, not by their place."""
    one, two = ssdt(aml.device("DEV1", aml.name("_UID", 1))), ssdt(aml.device("DEV2", aml.name("_UID", 1)))
    changed = ssdt(aml.device("DEV2", aml.name("_UID", 2)))
    assert [item[:3] for item in differences([one, two], [ssdt(METHOD), one, changed])] == [
        ("ssdt2", CHANGED, "\\DEV2._UID"),
        ("ssdt", ADDED, ""),
    ]


def test_what_follows_from_other_differences_is_marked():
    old = [build_xsdt([0x1000, 0x2000]), build_fadt({"dsdt": 0x1000, "x_dsdt": 0x1000}, 6)]
    new = [build_xsdt([0x1000, 0x3000, 0x4000]), build_fadt({"dsdt": 0x5000, "x_dsdt": 0x5000}, 6)]
    items = compare(found(*old), found(*new))
    assert {item.where for item in items} == {
        *("length", "checksum", "entries[1]", "entries[2]"),
        *("dsdt", "x_dsdt"),
    }
    assert all(item.derived for item in items)


@pytest.mark.parametrize("data", [b"", b"SSDT", bytes(36), b"NFIT" + bytes(60), b"\xff" * 40])
def test_broken_tables_are_compared_by_bytes(data):
    assert compare(found(data), found(data)) == []
    assert compare(found(data), found(data + b"\1"))
