"""What field lists refer to: regions, registers and connections (ACPI 6.5, 19.6.8, 19.6.46 and 19.6.64)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.access import BUSES
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.fields import Field, Link, OperationRegion
from xlpy.firmware.acpi.eval.values import Buffer
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.machine import AmlMachine
    from xlpy.firmware.acpi.eval.names import Absolute, Path
    from xlpy.firmware.acpi.eval.reader import Unit

CHAIN = 4  # index fields over index fields, banks over banks


def region_at(vm: AmlMachine, scope: Absolute, path: Path) -> OperationRegion:
    """The operation region that ``path`` means in ``scope``."""
    node = vm.namespace.get(scope, path)
    if not isinstance(node.object, OperationRegion):
        raise AmlError("AE_AML_OPERAND_TYPE", f"{node} is no operation region, but a {node.type.name.lower()}")
    return node.object


def link_of(vm: AmlMachine, scope: Absolute, region: OperationRegion, unit: Unit) -> Link | None:
    """How a field of a region reaches its bus, with the descriptor that its connection names; None for memory."""
    if region.space not in BUSES:
        return None
    if unit.connection is None:
        return unit.link
    held = vm.namespace.get(scope, unit.connection).object
    return unit.link._replace(connection=bytes(held) if isinstance(held, Buffer) else b"")


def field_at(vm: AmlMachine, scope: Absolute, path: Path) -> Field:
    """The field that ``path`` means in ``scope``."""
    node = vm.namespace.get(scope, path)
    if not isinstance(node.object, Field):
        raise AmlError("AE_AML_OPERAND_TYPE", f"{node} is no field, but a {node.type.name.lower()}")
    if node.object.depth >= CHAIN:
        raise AmlError("AE_LIMIT", f"{node} is a field over a field over a field; {CHAIN} levels are the limit")
    return node.object
