"""AML that means harm, or means nothing: it always ends, and always as an AmlError with a place."""

import pytest
from acpi.blocks import table
from acpi.judges import hvmloader_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import AmlError, Interpreter, Limits, load

A0, L0, L1 = aml.arg(0), aml.local(0), aml.local(1)
FEW = Limits(steps=200_000)


def nested(wrap, depth, inner=b""):
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def chain(count, make):
    return b"".join(make(f"N{number:03X}", f"N{number - 1:03X}") for number in range(1, count))


def doubling(term):
    return aml.method("TEST", 0, aml.store(aml.string("x" * 64), L0), aml.while_(1, term))


LINKS = aml.name("N000", aml.package(*[1] * 200)) + chain(
    40, lambda name, last: aml.name(name, aml.package(*[aml.ref(last)] * 200))
)

BOMBS = {
    "nested If": nested(lambda inner: aml.if_(1, inner), 3000),
    "nested Scope": nested(lambda inner: aml.scope("\\", inner), 3000),
    "nested packages": aml.name("FOO", nested(aml.package, 3000, aml.package())),
    "nested LNot": aml.method("TEST", 0, aml.return_(nested(aml.lnot, 60_000, aml.integer(1)))),
    "nested calls": aml.method("M", 1) + aml.method("TEST", 0, nested(lambda inner: aml.call("M", inner), 3000, b"\0")),
    "nested targets": aml.method("TEST", 0, aml.store(1, nested(aml.deref_of, 3000, L0))),
    "endless loop": aml.method("TEST", 0, aml.while_(1)),
    "endless loop at the top": aml.while_(1),
    "endless recursion": aml.method("TEST", 0, aml.call("TEST")),
    "mutual recursion": aml.method("TEST", 0, aml.call("PONG")) + aml.method("PONG", 0, aml.call("TEST")),
    "huge buffer": aml.method("TEST", 0, aml.return_(aml.buffer(b"", 0xFFFFFFFF))),
    "huge buffer of 64 bits": aml.method("TEST", 0, aml.return_(aml.buffer(b"", aml.ones()))),
    "huge package": aml.method("TEST", 0, aml.return_(aml.var_package(aml.ones()))),
    "many buffers": aml.method("TEST", 0, aml.while_(1, aml.store(aml.buffer(b"", 1 << 20), L0))),
    "doubling a string": doubling(aml.concatenate(L0, L0, L0)),
    "doubling a buffer": doubling(aml.concatenate(aml.to_buffer(L0), aml.to_buffer(L0), L0)),
    "doubling by hex": doubling(aml.to_hex_string(aml.to_buffer(L0), L0)),
    "comparing long strings": aml.method(
        "TEST",
        0,
        aml.store(aml.to_string(aml.buffer(b"x", 1 << 19), aml.ones()), L0),
        aml.store(aml.concatenate(L0, aml.buffer(b"", 1 << 18)), L0),
        aml.while_(aml.equal(L0, L0)),
    ),
    "a package in itself, by a name": aml.name("PKG", aml.package(aml.ref("PKG")))
    + aml.method("TEST", 0, aml.return_(aml.ref("PKG"))),
    "a package in itself, copied": aml.name("PKG", aml.package(1))
    + aml.method("TEST", 0, aml.while_(1, aml.store(aml.ref("PKG"), aml.index(aml.ref("PKG"), 0)))),
    "packages linked to packages": LINKS + aml.method("TEST", 0, aml.store(aml.ref("N027"), L0)),
    "packages linked to packages, as a result": LINKS + aml.method("TEST", 0, aml.return_(aml.ref("N027"))),
    "locals that refer to each other": aml.method(
        "TEST", 0, aml.store(aml.ref_of(L1), L0), aml.store(aml.ref_of(L0), L1), aml.return_(aml.object_type(L0))
    ),
    "references to references": aml.method(
        "TEST", 0, aml.store(aml.ref_of(L1), L0), aml.store(aml.ref_of(L0), L1), aml.notify(L0, 1)
    ),
    "a region that needs itself": aml.op_region("REG", 0, aml.ref("FLD"), aml.ref("FLD"))
    + aml.field("REG", [("FLD", 32)])
    + aml.method("TEST", 0, aml.return_(aml.ref("FLD"))),
    "regions in a row": aml.name("F000", 0)
    + b"".join(
        aml.op_region(f"R{n:03X}", 0, aml.ref(f"F{n - 1:03X}"), 8) + aml.field(f"R{n:03X}", [(f"F{n:03X}", 8)])
        for n in range(1, 2000)
    )
    + aml.method("TEST", 0, aml.return_(aml.ref("F7CF"))),
    "index fields over index fields": aml.op_region("REG", 1, 0, 8)
    + aml.field("REG", [("N000", 8)])
    + chain(2000, lambda name, last: aml.index_field(last, last, [(name, 8)])),
    "a field as wide as memory": aml.op_region("REG", 0, 0, aml.ones())
    + aml.field("REG", [("FLD", (1 << 28) - 1)])
    + aml.method("TEST", 0, aml.return_(aml.ref("FLD"))),
    "shifts": aml.method("TEST", 0, aml.return_(aml.shift_left(aml.ones(), aml.ones()))),
    "method that makes methods": aml.method("M", 0, aml.method("TMP", 0), *[aml.store(1, L0)] * 10_000)
    + aml.method("TEST", 0, aml.while_(1, aml.call("M"))),
    "names in a loop": aml.method("TEST", 0, aml.while_(1, aml.name("FOO", 1))),
    "sleep": aml.method("TEST", 0, aml.while_(1, aml.sleep(0), aml.sleep(1))),
    "an unknown method at the end": aml.method("TEST", 0, aml.return_(aml.ref("NOPE"))),
    "device that is no device": aml.name("FOO", 1) + aml.scope("FOO", aml.name("BAR", 1)),
    "matching": aml.name("PKG", aml.package(*[7] * 255))
    + aml.method("TEST", 0, aml.while_(1, b"\x89PKG_" + b"\x01\x08\x00\x00\x00")),
    "deep copies of packages": aml.method(
        "TEST",
        0,
        aml.store(aml.package(1, 2, 3, 4), L0),
        aml.while_(1, aml.store(L0, aml.index(L0, 0)), aml.store(L0, aml.index(L0, 1))),
    ),
}
HARMLESS = {"shifts": 0, "packages linked to packages": None, "regions in a row": 0}  # what they return


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_as_errors(name):
    def ignite():
        vm = load([table(BOMBS[name])], limits=FEW)
        vm.namespace()
        return vm.evaluate("TEST")

    if name in HARMLESS:
        assert ignite() == HARMLESS[name]
        return
    with pytest.raises(AmlError) as caught:
        ignite()
    assert caught.value.status.startswith("AE_")


def exercise(data):
    """Load a table whatever it says, and evaluate all that it makes."""
    vm = Interpreter(limits=Limits(steps=5_000))
    vm.load(data, strict=False)
    errors = vm.problems + vm.compile_all()
    pending = [vm.namespace()]
    while pending:
        entry = pending.pop()
        pending += entry.children
        try:
            vm.evaluate(entry.path, *[[b"argument"]] * (entry.args or 0))
        except AmlError as error:
            errors.append(error)
    assert all(error.status.startswith("AE_") and str(error) for error in errors)
    assert all(error.offset is None or 0 <= error.offset <= len(data) for error in errors)


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes(body):
    exercise(table(body))


SAMPLE = b"".join(
    [
        aml.name("_HID", aml.eisaid("PNP0A03")),
        aml.op_region("REG", 0, 0x1000, 0x40),
        aml.field("REG", [("AAA", 8), ("", 4), ("BBB", 40), ("CCC", 256)], aml.AccessType.DWORD),
        aml.scope("\\_SB", aml.device("DEV", aml.name("_CRS", aml.resource_template(aml.io(1, 2, 3, 4))))),
        aml.mutex("MTX"),
        aml.method(
            "CALL",
            2,
            aml.acquire(aml.ref("MTX")),
            aml.store(aml.arg(0), aml.ref("CCC")),
            aml.create_dword_field(aml.arg(1), 0, "DWD"),
            aml.if_(aml.greater(aml.ref("DWD"), 5), aml.store(aml.ref("CCC"), L0)),
            aml.else_(aml.store(aml.concatenate(aml.arg(0), aml.string("text")), L0)),
            aml.while_(aml.less(L1, 10), aml.increment(L1), aml.break_()),
            aml.release(aml.ref("MTX")),
            aml.return_(aml.package(L0, aml.ref("BBB"))),
            serialized=True,
        ),
        aml.name("PKG", aml.package(1, aml.string("s"), aml.buffer(b"123"), aml.package(aml.ref("\\_SB.DEV")))),
        aml.method("GET", 1, aml.return_(aml.deref_of(aml.index(aml.ref("PKG"), A0)))),
    ]
)


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(deadline=None)
def test_damaged_tables(changes):
    body = bytearray(SAMPLE)
    for at, value in changes:
        body[at] = value
    exercise(table(bytes(body)))


@given(st.data())
@settings(max_examples=10, deadline=None)
def test_damaged_tables_of_hvmloader(data):
    """Xen's own battery SSDT, which is full of loops over fields."""
    real = next(t for t in hvmloader_tables() if len(t) == 1447)
    body = bytearray(real[36:])
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=3)):
        body[at] = data.draw(st.integers(0, 255))
    exercise(table(bytes(body), signature="SSDT"))


@settings(deadline=None)
@given(st.integers(0, len(SAMPLE)))
def test_cut_tables(length):
    exercise(table(SAMPLE[:length]))


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_path(path):
    vm = load([table(aml.name("FOO", 1))])
    try:
        vm.evaluate(path)
    except AmlError as error:
        assert error.status in ("AE_NOT_FOUND", "AE_BAD_PATHNAME", "AE_AML_UNINITIALIZED_NODE")  # noqa: PT017 -- most texts are no path
