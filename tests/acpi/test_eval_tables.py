"""Tables: names that do not exist until, or unless, they are reached; table-level failures; Load and its kind."""

import pytest
from acpi.blocks import table
from acpi.judges import acpiexec, compile_asl

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import AmlError, Interpreter, Limits, load

OPTIONS = ("-of", "-oa", "-f")

COUNTED = r"External (\NONE, MethodObj, IntObj, {IntObj})"
BARE = r"External (\NONE, MethodObj)"

# External declarations, the body of a method without arguments, its result: nothing there exists in any table
ABSENT = [
    (COUNTED, r"If (CondRefOf (\NONE)) { Return (\NONE (4)) } Return (0x11)", 0x11),
    (BARE, r"If (CondRefOf (\NONE)) { \NONE (4) } Else { Return (5) } Return (6)", 5),
    (BARE, r"If (CondRefOf (\NONE)) { Return (\NONE (1, 2, 3)) } Return (7)", 7),
    (COUNTED, r"Local0 = 1 If (Local0 == 2) { Return (\NONE (\NONE (1)) + 1) } Return (8)", 8),
    (COUNTED, r"While (0) { If (\NONE (2)) { Break } } Return (9)", 9),
    (BARE, r"Local0 = 2 While (Local0) { Local0-- If (Local0 > 5) { \NONE (2) } } Return (Local0)", 0),
    (
        COUNTED,
        r"Switch (3) { Case (1) { Return (\NONE (1)) } Case (3) { Return (33) } Default { \NONE (2) } } Return (0)",
        33,
    ),
    (BARE, r"Local0 = Package () { \NONE, 1 } Return (SizeOf (Local0))", 2),
    (r"External (\DDDD, DeviceObj)", r"If (CondRefOf (\DDDD, Local0)) { Notify (\DDDD, 1) } Return (10)", 10),
    (r"External (\NONE, IntObj)", r"If (CondRefOf (\NONE)) { \NONE = 1 } Else { Return (12) } Return (0)", 12),
    (COUNTED, r"Return (\NONE (4))", "AE_NOT_FOUND"),
    (BARE, r"\NONE (4) Return (1)", "AE_NOT_FOUND"),
    (BARE, r"Return (Add (1, \NONE (4)))", "AE_NOT_FOUND"),
    (COUNTED, r"If (\NONE (4)) { Return (1) } Return (2)", "AE_NOT_FOUND"),
    (BARE, r"While (\NONE (4)) { Break } Return (2)", "AE_NOT_FOUND"),
    (r"External (\NONE, IntObj)", r"Return (\NONE)", "AE_NOT_FOUND"),
]  # fmt: skip


def evaluate(interpreter, path, *args):
    try:
        return interpreter.evaluate(path, *args)
    except AmlError as error:
        return error.status


@pytest.fixture(scope="module")
def absent(tmp_path_factory):
    """Our results, and acpiexec's: each method in a table of its own, as a DSDT."""
    found = []
    for number, (external, body, _) in enumerate(ABSENT):
        folder = tmp_path_factory.mktemp(f"absent{number}")
        source = f"{external} Method (TEST, 0, Serialized) {{ {body} }}"
        (table,) = compile_asl(folder, [source], signature="DSDT", options=OPTIONS)
        found.append((evaluate(load([table]), "TEST"), acpiexec(folder, [table], ["\\TEST"])[0]))
    return found


@pytest.mark.parametrize("number", range(len(ABSENT)), ids=[body for _, body, _ in ABSENT])
def test_a_name_that_is_not_there_matters_when_it_is_reached(absent, number):
    assert absent[number] == (ABSENT[number][2],) * 2


def test_a_name_can_come_into_being_before_it_is_reached(tmp_path):
    (table,) = compile_asl(
        tmp_path,
        [
            r"External (\LATE, MethodObj) Method (MAKE, 0, Serialized) { Return (1) }"
            r" Method (USE, 1) { If (Arg0) { Return (\LATE (1, 2)) } Return (0) }"
        ],
        signature="DSDT",
        options=OPTIONS,
    )
    (late,) = compile_asl(tmp_path, ["Method (LATE, 2) { Return (Arg0 + Arg1) }"])
    vm = load([table])
    assert vm.evaluate("USE", 0) == 0
    assert evaluate(vm, "USE", 1) == "AE_NOT_FOUND"
    vm.load(late)
    assert vm.evaluate("USE", 1) == 3


def test_a_call_with_too_few_arguments_is_told_as_that():
    two = aml.method("TWO", 2, aml.return_(1))
    short = b"TWO_\x01"
    vm = load([table(two, aml.method("CUT", 0, aml.if_(1, short, aml.while_(1))), aml.method("END", 0, short))])
    problems = vm.compile_all()
    assert [problem.status for problem in problems] == ["AE_AML_TOO_FEW_ARGUMENTS"] * 2
    assert {problem.message for problem in problems} == {"TWO takes 2 arguments, the call gives 1"}
    data = table(two, aml.method("CUT", 0, aml.if_(1, short, aml.while_(1))), aml.method("END", 0, short))
    assert [data[problem.offset :][:5] for problem in problems] == [short] * 2


# -- the top level of a table

LEVEL = r"""
    External (\NONE, MethodObj, IntObj, {IntObj})
    External (\_SB.NONE, DeviceObj)
    Name (PKG0, Package () {1})
    Name (A000, 1) Name (A000, 2) Name (A001, 1)
    Device (DEV0) { Name (AA, 1) } Device (DEV0) { Name (BB, 1) } Name (A002, 1)
    Scope (\_SB.NONE) { Name (INNO, 1) } Name (A003, 1)
    A001 = DerefOf (PKG0 [9]) Name (A004, 1)
    A001 = \NONE (4) Name (A005, 1)
    If (\NONE (1)) { Name (INIF, 1) } Else { Name (INEL, 1) } Name (A006, 1)
    OperationRegion (RG00, SystemMemory, 0, 10) Field (RG01, ByteAcc) { FLD0, 8 } Name (A007, 1)
    OperationRegion (RG02, SystemMemory, \NONE (1), 10) Name (A008, 1)
    CreateByteField (PKG0, 0, CBF0) Name (A009, 1)
    Field (RG00, ByteAcc) { FLD1, 8 } Name (A00A, 1)
    OperationRegion (RG03, SystemMemory, DEV0, 10) Field (RG03, ByteAcc) { FLD2, 8 }
    Alias (\NOPE, ALI0) Name (A00B, 1)
    Name (A00C, Buffer (\NONE (1)) {}) Name (A00D, 1)
    Method (A00E, 0) { Return (1) } Method (A00E, 0) { Return (2) } Name (A00F, 1)
"""
NAMES = [*(f"A{n:03X}" for n in (*range(12), 13, 15)), "DEV0.AA", "DEV0.BB", "INIF", "INEL", "FLD0", "FLD1"]


def test_what_fails_at_table_level_is_passed_over(tmp_path):
    (data,) = compile_asl(tmp_path, [LEVEL], signature="DSDT", options=OPTIONS)
    vm = load([data], strict=False)
    mine = [evaluate(vm, f"\\{name}") for name in NAMES]
    assert mine == acpiexec(tmp_path, [data], [f"\\{name}" for name in NAMES])
    assert mine == [1] * 14 + [1, "AE_NOT_FOUND", "AE_NOT_FOUND", "AE_NOT_FOUND", "AE_AML_UNINITIALIZED_NODE", 0]
    assert len(vm.problems) == 13
    assert all(data[problem.offset :] and problem.path == "DSDT" for problem in vm.problems)
    with pytest.raises(AmlError, match="AE_ALREADY_EXISTS"):
        load([data])


def test_a_method_that_fails_at_table_level_takes_its_table_with_it(tmp_path):
    """As in ACPICA: the objects of a table whose load was aborted are deleted; other tables stay."""
    fails = (
        "Name (BBBB, 1) Method (BAD, 0) { Return (DerefOf (Index (Package () {1}, 5))) } "
        "If (BAD ()) { Name (CCCC, 1) } Name (DDDD, 1)"
    )
    ssdt, last = compile_asl(tmp_path, [fails, "Name (EEEE, 1)"], options=OPTIONS)
    (dsdt,) = compile_asl(tmp_path, ["Name (AAAA, 1)"], signature="DSDT", options=OPTIONS)
    vm = load([dsdt, ssdt, last], strict=False)
    names = ["AAAA", "BBBB", "CCCC", "DDDD", "EEEE"]
    mine = [evaluate(vm, f"\\{name}") for name in names]
    assert mine == [1, "AE_NOT_FOUND", "AE_NOT_FOUND", "AE_NOT_FOUND", 1]
    assert mine == acpiexec(tmp_path, [dsdt, ssdt, last], [f"\\{name}" for name in names])
    assert [problem.status for problem in vm.problems] == ["AE_AML_PACKAGE_LIMIT"]


# -- Load, LoadTable, DataTableRegion

LOADED = table(
    aml.name("FRSH", 7), aml.method("SUM", 2, aml.return_(aml.add(aml.arg(0), aml.arg(1)))), signature="SSDT"
)
LOADERS = r"""
    Name (TAB, Buffer () {%s})
    OperationRegion (REG, SystemMemory, 0x20000, 0x1000) Field (REG, ByteAcc) { ALL, %d }
    Name (DONE, 5)
    External (\SUM, MethodObj, IntObj, {IntObj, IntObj})
    Method (BUFF, 0) { Load (TAB, DONE) If (DONE == Ones) { Return (\SUM (1, 2) * 10 + \FRSH) } Return (0) }
    Method (REGN, 0) { ALL = TAB Load (REG, DONE) Return (\SUM (3, 4)) }
    Method (FELD, 0) { ALL = TAB Load (ALL, Local0) Return (Local0) }
    Method (TWCE, 0) { Load (TAB, DONE) Load (TAB, DONE) Return (1) }
    Method (TAKE, 1) { Load (TAB, Arg0) Return (1) }
    Method (NOPL, 0) { Name (SMAL, Buffer (20) {}) Load (SMAL, DONE) Return (1) }
    Method (LOTA, 0) {
        If (LoadTable ("NONE", "", "", "", "", 0)) { Return (1) }
        If (LoadTable ("OEM1", "", "", "\\DEV0", "\\DONE", 9) == Ones) { Return (DONE) }
        Return (2)
    }
    Device (DEV0) {}
    Method (DATA, 0, Serialized) {
        DataTableRegion (DTR, "OEM1", "", "") Field (DTR, ByteAcc) { SIGN, 32, LENG, 32 }
        If (SIGN == 0x314D454F) { Return (LENG) }
        Return (0)
    }
    Method (NODA, 0, Serialized) { DataTableRegion (DTR, "NONE", "", "") Return (1) }
"""


@pytest.fixture
def loaders(tmp_path):
    source = LOADERS % (",".join(map(str, LOADED)), 8 * len(LOADED))
    (data,) = compile_asl(tmp_path, [source], signature="DSDT", options=OPTIONS)
    return load([data, table(aml.name("FROM", 3), signature="OEM1")])


ONES = (1 << 64) - 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("BUFF", 37),
        ("REGN", 7),
        ("TWCE", "AE_ALREADY_EXISTS"),
        ("NOPL", "AE_INVALID_TABLE_LENGTH"),
        ("LOTA", 9),
        ("DATA", len(table(aml.name("FROM", 3)))),
        ("NODA", "AE_NOT_FOUND"),
    ],
)
def test_tables_that_aml_loads(loaders, path, expected):
    assert evaluate(loaders, path) == expected
    if path == "LOTA":
        assert loaders.evaluate("\\DEV0.FROM") == 3


def test_what_a_loaded_table_makes_stays(loaders):
    loaders.evaluate("BUFF")
    assert loaders.evaluate("\\SUM", 40, 2) == 42
    assert loaders.exists("\\FRSH")


def nested(levels):
    """A table that loads a table that loads a table ..."""
    body = table(aml.name("LAST", 1), signature="SSDT")
    for level in range(levels):
        body = table(
            aml.name(f"T{level:03}", aml.buffer(body)),
            aml.name(f"D{level:03}", 0),
            b"\x5b\x20" + f"T{level:03}D{level:03}".encode(),
            signature="SSDT",
        )
    return body


# The target of Load, and what it becomes; acpiexec 20260408 says so, older ones store a handle
TARGETS = {
    "Load (TAB, Local2) Return (Local2)": ONES,
    'Local3 = "x" Load (TAB, Local3) Return (Local3)': ONES,
    'Name (STRX, "a") Load (TAB, STRX) Return (STRX)': "FFFFFFFFFFFFFFFF",
    "Name (BUFX, Buffer () {1, 2}) Load (TAB, BUFX) Return (BUFX)": b"\xff\xff",
    "Name (PKGX, Package () {1, 2}) Load (TAB, PKGX [0]) Return (PKGX)": [ONES, 2],
    "Name (PKGX, Package () {1, 2}) Load (TAB, PKGX) Return (PKGX)": "AE_AML_TARGET_TYPE",
    "Load (TAB, DEV0) Return (1)": "AE_AML_TARGET_TYPE",
    "Load (TAB, Debug) Return (1)": 1,
    "Local3 = RefOf (DONE) Load (TAB, Local3) Return (DONE)": 5,
    "TAKE (RefOf (DONE)) Return (DONE)": ONES,
    "TAB [0] = 0x54 Load (TAB, DONE) Return (DONE)": "AE_BAD_CHECKSUM",
}


def test_targets_of_load(tmp_path):
    loaded = ",".join(map(str, LOADED))
    methods = "\n".join(f"Method (T{at:03}, 0, Serialized) {{ {body} }}" for at, body in enumerate(TARGETS))
    options = ("-f", "-oa", "-oe")
    (data,) = compile_asl(tmp_path, [LOADERS % (loaded, 8 * len(LOADED)) + methods], signature="DSDT", options=options)
    results = [evaluate(load([data]), f"T{at:03}") for at in range(len(TARGETS))]
    assert dict(zip(TARGETS, results, strict=True)) == TARGETS


HOSTILE = {
    "an endless loop": table(aml.while_(1), signature="SSDT"),
    "many objects": table(
        *[aml.device(f"D{n:03X}", *[aml.name(f"N{m:03X}", 1) for m in range(100)]) for n in range(300)],
        signature="SSDT",
    ),
    "tables in tables": nested(40),
    "a length that lies": LOADED[:4] + (1 << 30).to_bytes(4, "little") + LOADED[8:],
    "a bad checksum": LOADED[:-1] + b"\xee",
    "another signature": table(aml.name("FRSH", 7), signature="FACP"),
    "no AML": table(b"\xff" * 10 + b"\x5b\x5b\x5b", signature="SSDT"),
    "deep scopes": table(aml.name("X", 1), signature="SSDT"),
    "a huge buffer": table(aml.name("X", aml.buffer(b"", 0xFFFFFFF0)), signature="SSDT"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_stay_inside_the_limits(name):
    """Loading one is part of the evaluation that loads it: its steps, its memory, its depth."""
    vm = load(
        [
            table(
                aml.name("TAB", aml.buffer(HOSTILE[name])),
                aml.name("DONE", 0),
                aml.method("TEST", 0, b"\x5b\x20TAB_DONE", aml.return_(aml.ref("DONE"))),
            )
        ],
        limits=Limits(steps=100_000),
    )
    before = len(list(vm.machine.namespace.nodes))
    result = evaluate(vm, "TEST")
    assert result in (0, ONES) or result.startswith("AE_")
    if result != ONES:
        assert len(vm.machine.namespace.nodes) == before  # nothing of it stays
    assert evaluate(vm, "DONE") in (0, ONES)


def test_deep_nesting_is_no_trouble(tmp_path):
    """Terms in terms, far beyond what Python's own stack would hold."""
    deep = aml.integer(1)
    for _ in range(900):
        deep = aml.lnot(deep)
    vm = load([table(aml.method("TEST", 0, aml.return_(deep)))])
    assert vm.evaluate("TEST") in (0, 1, ONES)


def test_regions_of_methods_are_told_that_they_can_be_used(tmp_path):
    source = """
        Name (SEEN, Package () {0, 0})
        Method (MAKE, 0, Serialized) {
            Method (_REG, 2) { SEEN [0] = Arg0 SEEN [1] = Arg1 }
            OperationRegion (REG, %s, 0, 8) Return (SEEN)
        }"""
    for space, number in (("SystemMemory", 0), ("SystemIO", 1), ("EmbeddedControl", 3)):
        (data,) = compile_asl(tmp_path, [source % space], signature="DSDT", options=OPTIONS)
        assert load([data]).evaluate("MAKE") == [number, 1]


def test_problems_do_not_stop_an_interpreter():
    vm = Interpreter()
    vm.load(table(aml.scope("\\NOPE", aml.name("A", 1)), aml.name("B", 2)), strict=False)
    assert [problem.status for problem in vm.problems] == ["AE_NOT_FOUND"]
    assert vm.evaluate("B") == 2
