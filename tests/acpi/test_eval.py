"""The evaluator: loading, namespace, calls, time. (What operators compute is in test_eval_oracle.)"""

import pytest
from acpi.blocks import table

from xlpy.errors import FormatError
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import AmlError, Interpreter, Limits, Notification, ObjectPath, ObjectType, load
from xlpy.firmware.acpi.sdt import build_table


def machine(*terms, **kwargs):
    return load([table(*terms)], **kwargs)


A0, A1, L0 = aml.arg(0), aml.arg(1), aml.local(0)


def test_every_opcode_is_understood():
    from xlpy.firmware.acpi.eval.opcodes import OPCODES
    from xlpy.firmware.acpi.eval.registry import HANDLERS
    from xlpy.firmware.acpi.eval.structures import SPECIAL

    assert len(OPCODES) == len({op.name for op in OPCODES.values()})
    assert {op.name for op in OPCODES.values()} - set(HANDLERS) - set(SPECIAL) == {"If", "Else"}


# -- evaluate


@pytest.mark.parametrize("value", [0, 1, (1 << 64) - 1, "", "text", b"", b"\0\xff", [], [1, "a", b"b", [2, []]]])
def test_values_go_in_and_out(value):
    assert machine(aml.method("ECHO", 1, aml.return_(A0))).evaluate("\\ECHO", value) == value


def test_paths_with_and_without_root():
    vm = machine(aml.scope("\\_SB", aml.device("A", aml.name("B", 7))))
    assert vm.evaluate("\\_SB.A.B") == vm.evaluate("_SB.A.B") == vm.evaluate("_SB_.A___.B___") == 7
    assert vm.exists("\\_SB.A")
    assert not vm.exists("\\_SB.C")


def test_devices_are_paths():
    vm = machine(aml.device("DEV"), aml.name("PKG", aml.package(aml.ref("DEV"), aml.ref("GONE"), 1)))
    assert vm.evaluate("DEV") == "\\DEV"
    assert isinstance(vm.evaluate("DEV"), ObjectPath)
    assert vm.evaluate("PKG") == ["\\DEV", "GONE", 1]
    assert isinstance(vm.evaluate("PKG")[1], ObjectPath)


def test_elements_that_were_never_set_are_none():
    assert machine(aml.name("PKG", aml.var_package(3, 1))).evaluate("PKG") == [1, None, None]


def test_a_method_without_return_gives_none():
    assert machine(aml.method("NONE", 0)).evaluate("NONE") is None


@pytest.mark.parametrize(
    ("path", "args", "status"),
    [
        ("NONE", (), "AE_NOT_FOUND"),
        ("A.B", (), "AE_NOT_FOUND"),
        ("^A", (), "AE_NOT_FOUND"),
        ("not a name", (), "AE_BAD_PATHNAME"),
        ("MTH", (), "AE_MISSING_ARGUMENTS"),
        ("MTH", (1, 2), "AE_BAD_PARAMETER"),
        ("INT", (1,), "AE_BAD_PARAMETER"),
        ("MTH", (-1,), "AE_BAD_PARAMETER"),
        ("MTH", (1 << 64,), "AE_BAD_PARAMETER"),
    ],
)
def test_what_cannot_be_evaluated(path, args, status):
    vm = machine(aml.method("MTH", 1), aml.name("INT", 1))
    with pytest.raises(AmlError) as caught:
        vm.evaluate(path, *args)
    assert caught.value.status == status


def test_errors_say_where():
    vm = machine(aml.name("FOO", 1), aml.method("MTH", 0, aml.store(aml.ref("NOPE"), L0)))
    with pytest.raises(AmlError) as caught:
        vm.evaluate("MTH")
    error = caught.value
    assert isinstance(error, FormatError)
    assert (error.status, error.path, error.offset) == ("AE_NOT_FOUND", "DSDT \\MTH", 36 + 6 + 7 + 1)
    assert str(error) == "AE_NOT_FOUND: NOPE does not exist in the scope \\MTH (at 0x32 in DSDT \\MTH)"


def test_state_stays_between_evaluations():
    vm = machine(aml.name("CNT", 0), aml.method("NEXT", 0, aml.return_(aml.increment(aml.ref("CNT")))))
    assert [vm.evaluate("NEXT") for _ in range(3)] == [1, 2, 3]
    assert vm.evaluate("CNT") == 3


def test_a_failure_leaves_nothing_behind():
    vm = machine(
        aml.mutex("MTX"),
        aml.method(
            "FAIL", 0, aml.acquire(aml.ref("MTX")), aml.name("TMP", 1), aml.return_(aml.ref("NOPE")), serialized=True
        ),
        aml.method("FINE", 0, aml.return_(aml.acquire(aml.ref("MTX"), 0))),
    )
    for _ in range(2):
        with pytest.raises(AmlError, match="NOPE"):
            vm.evaluate("FAIL")
    assert not vm.exists("FAIL.TMP")
    assert vm.evaluate("FINE") == 0


# -- names


def test_names_are_searched_upwards():
    vm = machine(
        aml.name("X", 1),
        aml.scope("\\_SB", aml.device("A", aml.name("Y", 2), aml.method("GET", 0, aml.return_(aml.ref("X"))))),
        aml.method("REL", 0, aml.return_(aml.ref("_SB.A.Y"))),
        aml.scope(
            "\\_SB.A",
            aml.method("UP", 0, aml.return_(aml.ref("^Y"))),
            aml.method("MISS", 0, aml.return_(aml.ref("^X"))),
        ),
    )
    assert vm.evaluate("\\_SB.A.GET") == 1
    assert vm.evaluate("\\_SB.A.UP") == 2
    for path in ("REL", "\\_SB.A.MISS"):  # only a lone segment is searched for
        with pytest.raises(AmlError, match="AE_NOT_FOUND"):
            vm.evaluate(path)


def test_names_of_a_method_live_as_long_as_its_call():
    vm = machine(aml.method("MTH", 1, aml.name("TMP", A0), aml.return_(aml.ref("TMP"))))
    assert vm.evaluate("MTH", 5) == 5
    assert vm.evaluate("MTH", 6) == 6
    assert not vm.exists("MTH.TMP")


def test_a_call_knows_how_many_arguments_follow():
    """Also when the method comes later in the table, in another one, or is made by the caller itself."""
    add = aml.return_(aml.add(A0, A1))
    dsdt = table(
        aml.method("USE", 0, aml.return_(aml.call("ADD", 1, aml.call("ADD", 2, 3)))),
        aml.method("FAR", 0, aml.return_(aml.call("SUB", 9, 4))),
        aml.method("OWN", 0, aml.method("INNR", 1, aml.return_(A0)), aml.return_(aml.call("INNR", 7))),
        aml.method("ADD", 2, add),
    )
    ssdt = table(aml.method("SUB", 2, aml.return_(aml.subtract(A0, A1))), signature="SSDT")
    vm = load([ssdt, dsdt])
    assert [vm.evaluate(name) for name in ("USE", "FAR", "OWN")] == [6, 5, 7]


def test_external_declares_arguments():
    """At the top level, where the method is not there yet but the call is parsed."""
    ssdt = table(
        aml.external("\\LATE", 8, 1),
        aml.if_(aml.cond_ref_of(aml.ref("\\LATE")), aml.name("GOT", aml.call("\\LATE", 3))),
        aml.name("END", 1),
        signature="SSDT",
    )
    assert load([ssdt]).evaluate("END") == 1


def test_alias():
    vm = machine(
        aml.name("INT", 1), aml.alias("INT", "ALI"), aml.method("MTH", 1, aml.return_(A0)), aml.alias("MTH", "MAL")
    )
    vm.evaluate("ALI")
    assert vm.evaluate("MAL", 4) == 4


# -- loading


def test_the_dsdt_comes_first_and_other_tables_are_passed_over():
    ssdt = table(aml.name("\\_SB.A.X", 1), signature="SSDT")
    dsdt = table(aml.scope("\\_SB", aml.device("A")))
    assert load([build_table("WAET", bytes(4)), ssdt, dsdt]).evaluate("\\_SB.A.X") == 1


@pytest.mark.parametrize(("revision", "ones"), [(1, 0xFFFFFFFF), (2, 0xFFFFFFFFFFFFFFFF)])
def test_the_dsdt_decides_the_width_of_integers(revision, ones):
    dsdt = table(revision=revision)
    ssdt = table(
        aml.method("ONES", 0, aml.return_(aml.ones())), aml.name("BIG", aml.qword(1 << 40 | 5)), signature="SSDT"
    )
    vm = load([dsdt, ssdt])
    assert vm.evaluate("ONES") == ones
    assert vm.evaluate("BIG") == (1 << 40 | 5) & ones


def test_top_level_code_runs():
    vm = machine(
        aml.name("X", 1),
        aml.if_(aml.equal(aml.ref("X"), 1), aml.device("YES")) + aml.else_(aml.device("NO")),
        aml.store(5, aml.ref("X")),
    )
    assert vm.evaluate("X") == 5
    assert vm.exists("YES")
    assert not vm.exists("NO")


def test_a_name_that_exists_already():
    """The first definition stands; without ``strict`` the rest of the second table loads, as under Linux."""
    dsdt = table(aml.scope("\\_SB", aml.device("A", aml.name("X", 1))))
    ssdt = table(
        aml.scope("\\_SB", aml.device("A", aml.name("Y", 2)), aml.name("Z", 3)), aml.name("W", 4), signature="SSDT"
    )
    with pytest.raises(AmlError) as caught:
        load([dsdt, ssdt])
    assert (caught.value.status, caught.value.offset, caught.value.path) == ("AE_ALREADY_EXISTS", 36 + 7, "SSDT")
    vm = load([dsdt, ssdt], strict=False)
    assert [problem.status for problem in vm.problems] == ["AE_ALREADY_EXISTS"]
    assert vm.evaluate("\\_SB.A.X") == 1
    assert not vm.exists("\\_SB.A.Y")
    assert vm.evaluate("\\_SB.Z") == 3
    assert vm.evaluate("W") == 4


@pytest.mark.parametrize(
    ("damage", "status", "offset"),
    [
        (lambda t: t[:-1], "AE_BAD_HEADER", 4),
        (lambda t: t[:20], "AE_BAD_HEADER", 4),
        (lambda t: t[:9] + bytes([t[9] ^ 1]) + t[10:], "AE_BAD_CHECKSUM", 9),
        (lambda _: build_table("NFIT", b""), "AE_BAD_SIGNATURE", 0),
        (lambda _: table(b"\x5b"), "AE_AML_BAD_OPCODE", 36),
        (lambda _: table(b"\x02"), "AE_AML_BAD_OPCODE", 36),
        (lambda _: table(aml.else_()), "AE_AML_BAD_OPCODE", 37),
        (lambda _: table(b"\xa5"), "AE_AML_NO_WHILE", 37),
        (lambda _: table(aml.scope("\\NOPE")), "AE_NOT_FOUND", 36),
        (lambda _: table(aml.scope("^^A")), "AE_NOT_FOUND", 36),
        (lambda _: table(b"\x10\x20\\"), "AE_AML_PACKAGE_LIMIT", 38),
        (lambda _: table(b"\x10\x00\\"), "AE_AML_PACKAGE_LIMIT", 38),
        (lambda _: table(b"\x10\xc1"), "AE_AML_PARSE", 38),
        (lambda _: table(b"\x08FOO_\x0dabc"), "AE_AML_STRING_LIMIT", 42),
        (lambda _: table(b"\x08FOO_\x0c\0\0"), "AE_AML_PARSE", 42),
        (lambda _: table(b"\x08FO"), "AE_AML_BAD_NAME", 37),
        (lambda _: table(b"\x08foo_\x00"), "AE_AML_BAD_NAME", 37),
        (lambda _: table(b"\x08\x2f\x00\x00"), "AE_AML_BAD_NAME", 37),
        (lambda _: table(b"\x08FOO_\xa3"), "AE_AML_BAD_OPCODE", 42),
        (lambda _: table(b"\x70\x00\x00"), "AE_AML_OPERAND_TYPE", 38),
        (lambda _: table(b"\x70\x00"), "AE_AML_PARSE", 38),
        (lambda _: table(b"\x5b\x81\x07FOO_\x00\x04"), "AE_AML_PARSE", 45),
    ],
)
def test_malformed_tables(damage, status, offset):
    with pytest.raises(AmlError) as caught:
        Interpreter().load(damage(table(aml.name("FOO", 1))))
    assert (caught.value.status, caught.value.offset) == (status, offset)
    vm = Interpreter()
    vm.load(damage(table(aml.name("FOO", 1))), strict=False)
    assert [problem.status for problem in vm.problems] == [status]


def test_bodies_are_compiled_when_they_are_called():
    vm = machine(aml.method("BAD", 0, b"\x02"), aml.method("GOOD", 0, aml.return_(1)))
    assert vm.evaluate("GOOD") == 1
    with pytest.raises(AmlError, match="unknown opcode 0x02"):
        vm.evaluate("BAD")
    assert [error.path for error in vm.compile_all()] == ["DSDT \\BAD"]


# -- namespace


def test_namespace():
    vm = machine(
        aml.scope(
            "\\_SB",
            aml.device("DEV", aml.name("_ADR", 5), aml.name("_HID", aml.string("ACPI0012")), aml.method("_DSM", 4)),
            aml.op_region("REG", 0, 0, 4),
            aml.field("REG", [("FLD", 8)]),
        )
    )
    root = vm.namespace()
    assert (root.path, root.name) == ("\\", "\\")
    scope = next(child for child in root.children if child.name == "_SB")
    device, region, field = scope.children
    assert (device.path, device.type) == ("\\_SB.DEV", ObjectType.DEVICE)
    assert [(child.name, child.type, child.value, child.args) for child in device.children] == [
        ("_ADR", ObjectType.INTEGER, 5, None),
        ("_HID", ObjectType.STRING, "ACPI0012", None),
        ("_DSM", ObjectType.METHOD, None, 4),
    ]
    assert (region.type, field.type) == (ObjectType.REGION, ObjectType.FIELD_UNIT)
    assert list(vm.devices()) == ["\\_SB.DEV"]


def test_predefined_names():
    vm = Interpreter(osi=lambda text: text == "Xen")
    assert [child.name for child in vm.namespace().children] == [
        "_GPE", "_PR", "_SB", "_SI", "_TZ", "_OSI", "_REV", "_OS", "_GL",
    ]  # fmt: skip
    assert vm.evaluate("_REV") == 2
    assert vm.evaluate("_OSI", "Xen") == (1 << 64) - 1
    assert vm.evaluate("_OSI", "Windows 2015") == 0
    assert Interpreter().evaluate("_OSI", "Windows 2015") == (1 << 64) - 1


# -- time, mutexes, notifications


def test_time_passes_through_the_clock():
    waits = []
    body = (aml.sleep(2), aml.stall(30), aml.return_(b"\x5b\x33"))
    vm = machine(aml.method("WAIT", 0, *body), clock=waits.append)
    assert 20300 < vm.evaluate("WAIT") < 21000  # Timer counts in units of 100 ns; what runs takes time too
    assert waits == [2000, 30]
    assert vm.elapsed == 2030


def test_a_polling_loop_ends_when_the_clock_lets_the_device_answer():
    from xlpy.firmware.acpi.eval import ScratchMemory

    memory, turns = ScratchMemory(), []

    def clock(_microseconds):
        turns.append(1)
        if len(turns) == 5:
            memory.write(0, 0x1000, 4, 0)

    poll = aml.while_(aml.equal(aml.ref("BUSY"), 1), aml.sleep(1))
    vm = machine(
        aml.op_region("REG", 0, 0x1000, 4),
        aml.field("REG", [("BUSY", 32)], aml.AccessType.DWORD),
        aml.method("RING", 0, aml.store(1, aml.ref("BUSY")), poll, aml.return_(aml.ref("BUSY"))),
        memory=memory,
        clock=clock,
    )
    assert vm.evaluate("RING") == 0
    assert len(turns) == 5


def test_unmapped_addresses():
    poll = aml.while_(1, aml.sleep(1))
    vm = machine(aml.method("RING", 0, poll))
    with pytest.raises(AmlError, match="waited 30001 ms"):
        vm.evaluate("RING")
    assert vm.evaluate("_REV") == 2


@pytest.mark.parametrize("wait", [aml.sleep(aml.ones()), b"\x5b\x25EVT_\x0b\xff\xff"])
def test_waits_without_end(wait):
    vm = machine(aml.event("EVT"), aml.method("WAIT", 0, wait))
    with pytest.raises(AmlError, match="AE_AML_LOOP_TIMEOUT"):
        vm.evaluate("WAIT")


def test_notifications():
    vm = machine(
        aml.scope("\\_SB", aml.device("NVDR")),
        aml.scope("\\_GPE", aml.method("_E04", 0, aml.notify(aml.ref("\\_SB.NVDR"), 0x80))),
    )
    vm.evaluate("\\_GPE._E04")
    assert vm.notifications == [Notification("\\_SB.NVDR", 0x80)]


def test_debug_object():
    vm = machine(aml.method("LOG", 1, aml.store(A0, aml.debug())))
    for value in (1, "two", b"3", [4]):
        vm.evaluate("LOG", value)
    assert vm.debug == [1, "two", b"3", [4]]


@pytest.mark.parametrize(("outer", "inner", "ok"), [(1, 2, True), (2, 2, True), (3, 2, False)])
def test_sync_levels_only_rise(outer, inner, ok):
    vm = machine(
        aml.mutex("MTX", outer),
        aml.method("INNR", 0, aml.return_(1), serialized=True, sync=inner),
        aml.method("OUTR", 0, aml.acquire(aml.ref("MTX")), aml.return_(aml.call("INNR"))),
    )
    if ok:
        assert vm.evaluate("OUTR") == 1
        return
    with pytest.raises(AmlError, match="AE_AML_MUTEX_ORDER"):
        vm.evaluate("OUTR")


# -- limits


def test_recursion_has_an_end():
    vm = machine(aml.method("DEEP", 1, aml.return_(aml.call("DEEP", aml.add(A0, 1)))))
    with pytest.raises(AmlError, match="AE_AML_METHOD_LIMIT"):
        vm.evaluate("DEEP", 0)


def test_recursion_within_the_limit():
    body = (aml.if_(aml.equal(A0, 0), aml.return_(0)), aml.return_(aml.add(1, aml.call("DEEP", aml.subtract(A0, 1)))))
    assert machine(aml.method("DEEP", 1, *body)).evaluate("DEEP", 250) == 250


def test_loops_have_an_end():
    vm = machine(aml.method("LOOP", 0, aml.while_(1)), limits=Limits(steps=10_000))
    with pytest.raises(AmlError, match="more than 10000 steps"):
        vm.evaluate("LOOP")
