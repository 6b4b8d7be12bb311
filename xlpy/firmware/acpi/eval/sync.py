"""Time, synchronisation and notification (ACPI 6.5, 19.6.2, .33, .94, .116, .126, .129, .146).

There is one thread and no real time. Whatever waits adds to the machine's clock; a wait that nothing can end fails.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval import convert
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.namespace import AmlEvent, Container, Mutex
from xlpy.firmware.acpi.eval.references import NodeRef
from xlpy.firmware.acpi.eval.registry import handler
from xlpy.firmware.acpi.eval.store import load
from xlpy.firmware.acpi.eval.values import Reference
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.machine import AmlMachine, Frame

FOREVER = 0xFFFF  # milliseconds of a wait without end


@handler("Sleep")
def _sleep(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.pass_time(vm.pop_integer() * 1000)


@handler("Stall")
def _stall(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.pass_time(vm.pop_integer())


def _named(vm: AmlMachine) -> NodeRef:
    """The named object that the place on the stack, or the reference in it, means."""
    value = vm.stack.pop()
    while isinstance(value, Reference) and not isinstance(value, NodeRef):
        vm.spend(1)
        value = load(vm, value)
    if not isinstance(value, NodeRef):
        raise convert.type_error(value, "a named object")
    return value


def _mutex(vm: AmlMachine) -> Mutex:
    node = _named(vm).node
    if not isinstance(node.object, Mutex):
        raise AmlError("AE_AML_OPERAND_TYPE", f"{node} is no mutex")
    return node.object


def _event(vm: AmlMachine) -> AmlEvent:
    node = _named(vm).node
    if not isinstance(node.object, AmlEvent):
        raise AmlError("AE_AML_OPERAND_TYPE", f"{node} is no event")
    return node.object


@handler("Acquire")
def _acquire(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    mutex = _mutex(vm)
    if not mutex.depth:
        if vm.sync > mutex.sync:
            raise AmlError("AE_AML_MUTEX_ORDER", f"sync level {mutex.sync} while holding {vm.sync}")
        mutex.before, vm.sync = vm.sync, mutex.sync
        vm.held.append(mutex)
    mutex.depth += 1
    vm.stack.append(0)  # never times out: no other thread holds it


@handler("Release")
def _release(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    mutex = _mutex(vm)
    if not mutex.depth:
        raise AmlError("AE_AML_MUTEX_NOT_ACQUIRED", "this mutex is not held")
    if mutex.sync != vm.sync:
        raise AmlError("AE_AML_MUTEX_ORDER", f"sync level {mutex.sync} is released while the level is {vm.sync}")
    mutex.depth -= 1
    if not mutex.depth:
        vm.sync = vm.held[-1].before
        vm.held.remove(mutex)


@handler("Signal")
def _signal(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    _event(vm).signals += 1


@handler("Reset")
def _reset(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    _event(vm).signals = 0


@handler("Wait")
def _wait(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    timeout, event = vm.pop_integer() & FOREVER, _event(vm)
    if event.signals:
        event.signals -= 1
        vm.stack.append(0)
        return
    if timeout == FOREVER:
        raise AmlError("AE_AML_LOOP_TIMEOUT", "waiting for an event that nothing can signal")
    vm.pass_time(timeout * 1000)
    vm.stack.append(vm.mask)


@handler("Notify")
def _notify(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    value, place = vm.pop_integer(), vm.stack.pop()
    if not isinstance(place, NodeRef):  # not even a reference to one
        raise convert.type_error(place, "the name of a device")
    node = place.node
    if not isinstance(node.object, Container):
        raise AmlError("AE_AML_OPERAND_TYPE", f"{node} can't be notified, it is of type {node.type.name.lower()}")
    vm.notify(node, value)
