"""A deferred table runs when one of its names is asked for: nobody sees the difference."""

import pytest
from acpi.blocks import table

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import AmlError, Limits, load

DSDT = table(
    aml.name("FIVE", 5),
    aml.method("SUM", 2, aml.return_(aml.add(aml.arg(0), aml.arg(1)))),
    aml.external("\\LATE", 8, 2),
    aml.scope("\\_SB", aml.device("PCI0", aml.name("_HID", 3), aml.device("S00", aml.name("_ADR", 7)))),
    aml.name("PACK", aml.package(aml.ref("FIVE"))),
)
FIVE = aml.ref("FIVE")
TEST = "\\_SB.NVDR.TEST"


def device(*terms):
    return table(aml.scope("\\_SB", aml.device("NVDR", aml.name("_HID", aml.string("X")), *terms)), signature="SSDT")


def method(*terms):
    return device(aml.method("TEST", 0, *terms))


# name -> (the other table, whether it needs one of the DSDT's names while it is loaded or TEST is called)
OTHERS = {
    "names of its own": (device(aml.name("OWN", 1), aml.method("TEST", 0, aml.return_(aml.ref("OWN")))), False),
    "the name of a device of both": (method(aml.return_(aml.ref("_HID"))), False),
    "a name outside": (method(aml.return_(aml.ref("FIVE"))), True),
    "a full path": (method(aml.return_(aml.ref("\\_SB.PCI0.S00._ADR"))), True),
    "a call": (method(aml.return_(aml.call("SUM", 2, 3))), True),
    "a name that nothing has": (method(aml.return_(aml.ref("NONE"))), False),
    "its own under the same name": (device(aml.name("FIVE", 6), aml.method("TEST", 0, aml.return_(FIVE))), False),
    "a scope": (table(aml.scope("\\_SB.PCI0", aml.name("MORE", 1)), signature="SSDT"), True),
    "a name that is taken": (table(aml.name("FIVE", 1), signature="SSDT"), True),
    "an alias": (table(aml.alias("FIVE", "ALSO"), signature="SSDT"), True),
    "a change": (method(aml.store(6, aml.ref("\\FIVE")), aml.return_(aml.ref("\\FIVE"))), True),
}  # fmt: skip


def outcome(act):
    try:
        return act()
    except AmlError as error:
        return str(error)


def loaded(other, deferred):
    return load([DSDT, other], strict=False, deferred=[DSDT] if deferred else [])


def waits(vm):
    return bool(vm.machine.namespace.deferred.runs)


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_run_when_it_is_needed(name):
    other, needed = OTHERS[name]
    vm = loaded(other, deferred=True)
    outcome(lambda: vm.evaluate(TEST))
    assert waits(vm) != needed


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    "look",
    [
        lambda vm: outcome(lambda: vm.evaluate(TEST)),
        lambda vm: sorted(vm.devices()),
        lambda vm: (vm.namespace().path, sorted(vm.machine.namespace.nodes)),
        lambda vm: outcome(lambda: vm.evaluate("\\PACK")),
        lambda vm: outcome(lambda: vm.evaluate("\\SUM", 1, 2)),
        lambda vm: [vm.exists(path) for path in ("\\FIVE", "\\_SB.PCI0.MORE", "\\ALSO", "\\NONE")],
        lambda vm: [str(error) for error in vm.problems + vm.compile_all()],
    ],
)
def test_the_answers_are_the_same(name, look):
    other, _ = OTHERS[name]
    deferred, plain = (look(loaded(other, deferred)) for deferred in (True, False))
    assert deferred == plain


def test_devices_that_cannot_be_meant_are_not_made():
    vm = loaded(OTHERS["names of its own"][0], deferred=True)
    assert list(vm.devices("NVDR")) == ["\\_SB.NVDR"]
    assert waits(vm)
    assert sorted(vm.devices("S00")) == ["\\_SB.NVDR", "\\_SB.PCI0", "\\_SB.PCI0.S00"]
    assert not waits(vm)


def test_an_evaluation_does_not_pay_for_it():
    vm = load([DSDT, OTHERS["a name outside"][0]], deferred=[DSDT], limits=Limits(steps=len(DSDT) // 4))
    assert vm.evaluate(TEST) == 5


def test_methods_of_a_sound_table_are_not_compiled_with_all_others():
    broken = table(aml.method("BAD", 0, b"\x5b\xff"))
    assert load([broken], sound=[broken]).compile_all() == []
    assert len(load([broken]).compile_all()) == 1


def test_tables_find_it():
    data = table(
        aml.method("TEST", 0, b"\x5b\x1f", *map(aml.string, ("DSDT", "", "", "", "")), aml.integer(0), aml.return_(1)),
        signature="SSDT",
    )
    vm = load([DSDT, data], deferred=[DSDT])
    assert "is loaded already" in outcome(lambda: vm.evaluate("\\TEST"))
