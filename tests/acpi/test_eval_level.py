"""Terms at a table's top level that fail, in a Device and in an If: the names that are there, here and in acpiexec.

Where an operand names nothing, ACPICA loses its place: it stays in the scope to the end of the table, and leaves the If
around. Linux does the same, and so do we. Everything else is passed over term by term.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from acpi.judges import acpiexec_namespace, compile_asl

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import load
from xlpy.firmware.acpi.sdt import build_table

PRELUDE = r"""
External (\NONE, MethodObj, IntObj, {IntObj}) External (\_SB.NONE, DeviceObj) External (\NOBA) External (\NOPE)
External (\NFLD, FieldUnitObj)
Name (PKG0, Package () {1}) Name (A001, 1) OperationRegion (RG00, SystemMemory, 0, 10) Name (DUPL, 1)
"""
STAYS = {  # an operand names nothing
    "a call": r"A001 = \NONE (4)",
    "a statement": r"\NONE (4)",
    "a condition": r"If (\NONE (1)) { Name (INIF, 1) } Else { Name (INEL, 1) }",
    "a loop": r"While (\NONE (1)) { Break }",
    "a region's address": r"OperationRegion (RG02, SystemMemory, \NONE (1), 10)",
    "a region's name": r"OperationRegion (RG02, SystemMemory, \NOPE, 10) Field (RG02, ByteAcc) { FLD0, 8 }",
    "a buffer": r"CreateByteField (\NOPE, 0, CBF0)",
    "a buffer's size": r"Name (A00C, Buffer (\NONE (1)) {})",
    "a device": r"Notify (\NOPE, 1)",
}
LEAVES = {
    "a name twice": r"Name (DUPL, 1) Name (\DUPL, 2)",
    "a device twice": "Device (EE) {} Device (EE) { Name (BB, 1) }",
    "a method twice": "Method (EE) {} Method (EE) {}",
    "a mutex twice": "Mutex (MM, 0) Mutex (MM, 0)",
    "no such scope": r"Scope (\_SB.NONE) { Name (INNO, 1) }",
    "an index": "A001 = DerefOf (PKG0 [9])",
    "a condition that fails": "If (DerefOf (PKG0 [9])) { Name (INIF, 1) } Else { Name (INEL, 1) }",
    "no such region": "Field (RG01, ByteAcc) { FLD0, 8 }",
    "a field twice": "Field (RG00, ByteAcc) { FLD0, 8, FLD0, 8 }",
    "no such index": r"IndexField (\NFLD, \NFLD, ByteAcc, NoLock, Preserve) { FLD0, 8 }",
    "a package is no buffer": "CreateByteField (PKG0, 0, CBF0)",
    "a package's size": r"Name (A00C, Package (\NOPE) { 1 })",
    "an element": r"Name (A00C, Package () { \NOPE, 1 })",
    "false": "If (Zero) { Name (INIF, 1) } Else { Name (INEL, 1) }",
    "true": "If (5) { Name (INIF, 1) } Else { Name (INEL, 1) }",
    "nested": "If (5) { If (Zero) { Name (INIF, 1) } Else { Name (INEL, 1) } Name (INI2, 1) } Else { Name (INE2, 1) }",
    "else if": "If (Zero) { Name (INIF, 1) } ElseIf (One) { Name (INEL, 1) } Else { Name (INE2, 1) }",
}
AROUND = {
    "in a device": "Name (BEFO, 1) TERM Name (AFTE, 1)",
    "in an If": "If (One) { Name (INS0, 1) TERM Name (INS1, 1) Device (DD03) { Name (X4, 1) TERM Name (X5, 1) } "
    "Name (INS2, 1) } Else { Name (ELS0, 1) } Name (AFTE, 1)",
}
BEHIND = (
    "Device (DD01) { Name (X1, 1) } Name (AFT2, 1) } Name (OUTS, 1) Device (DD02) { Name (X2, 1) } "
    r"Scope (\_SB) { Name (X3, 1) } Name (OUT3, 1)"
)
CASES = [(term, around) for around in AROUND for term in (*STAYS, *LEAVES)]


def flat(entry):
    return [entry.path, *(path for child in entry.children for path in flat(child))]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Names in our namespace and in acpiexec's, for each case."""

    def both(case):
        term, around = case
        folder = tmp_path_factory.mktemp("level")
        body = AROUND[around].replace("TERM", (STAYS | LEAVES)[term])
        source = f"{PRELUDE} Device (DD00) {{ {body} {BEHIND}"
        (table,) = compile_asl(folder, [source], signature="DSDT", options=("-of", "-oa", "-f"))
        theirs = {name for name in acpiexec_namespace(folder, [table]) if not name.startswith("\\_TI")}
        return set(flat(load([table], strict=False).namespace())) - {"\\"}, theirs

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(CASES, pool.map(both, CASES), strict=True))


@pytest.mark.parametrize(("term", "around"), CASES)
def test_names_behind_a_term_that_fails(names, term, around):
    ours, theirs = names[term, around]
    assert ours == theirs
    if around == "in a device":
        assert ("\\DD00.OUTS" in ours) == (term in STAYS)
        assert ("\\OUTS" in ours) == (term in LEAVES)


def test_a_package_that_firmware_has_shortened(tmp_path):
    """Its length still spans the next object: both are there, as in acpiexec."""
    long, other = aml.package(1, 2, 3, 4), aml.name("NEXT", aml.package(7, 8, 9))
    assert long[1] == len(long) - 1
    short = bytes((long[0], long[1] + 8, 2, *long[3:]))
    table = build_table("DSDT", b"\x08LONG" + short + other + aml.name("LAST", 5), 2)
    vm = load([table])
    assert vm.evaluate("LONG") == [1, 2]
    assert vm.evaluate("NEXT") == [7, 8, 9]
    assert vm.evaluate("LAST") == 5
    assert {"\\LONG", "\\NEXT", "\\LAST"} <= acpiexec_namespace(tmp_path, [table])
