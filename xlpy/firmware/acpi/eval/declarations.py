"""The instructions that make named objects (ACPI 6.5, 20.2.5.1 and 20.2.5.2)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval import convert
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.fields import ACCESS_WIDTHS, Bits, BufferField, Field, OperationRegion
from xlpy.firmware.acpi.eval.names import Path
from xlpy.firmware.acpi.eval.namespace import AmlEvent, Container, Method, Mutex
from xlpy.firmware.acpi.eval.references import copy
from xlpy.firmware.acpi.eval.registry import HANDLERS, handler
from xlpy.firmware.acpi.eval.units import field_at, link_of, region_at
from xlpy.firmware.acpi.eval.values import Buffer, ObjectType, Package
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.machine import AmlMachine, Frame
    from xlpy.firmware.acpi.eval.reader import Unit
    from xlpy.firmware.acpi.eval.registry import Handler

REG_ARGS, CONNECT = 2, 1  # _REG: the space, and that it can be used from now on (6.5.4)


@handler("Name")
def _name(vm: AmlMachine, frame: Frame, operand: tuple[Path]) -> None:
    value = vm.stack.pop()
    if isinstance(value, Package):
        value.fresh = False
    vm.declare(
        frame, operand[0], value if isinstance(value, Package) else copy(value, vm.spend)
    )  # packages are always new


@handler("Alias")
def _alias(vm: AmlMachine, frame: Frame, operand: tuple[Path, Path]) -> None:
    source, path = operand
    node = vm.namespace.get(frame.scope, source)
    vm.namespace.alias(vm.declare(frame, path, None).path, node)


@handler("Method")
def _method(vm: AmlMachine, frame: Frame, operand: tuple[Path, Method]) -> None:
    vm.declare(frame, *operand)


@handler("Mutex")
def _mutex(vm: AmlMachine, frame: Frame, operand: tuple[Path, int]) -> None:
    path, sync = operand
    vm.declare(frame, path, Mutex(sync & 0xF))


@handler("Event")
def _event(vm: AmlMachine, frame: Frame, operand: tuple[Path]) -> None:
    vm.declare(frame, operand[0], AmlEvent())


@handler("Enter")
def _enter(vm: AmlMachine, frame: Frame, operand: tuple[Path, Container | None, int]) -> None:
    path, container, _ = operand
    if container:
        node = vm.declare(frame, path, container)
    else:
        node = vm.namespace.get(frame.scope, path)
        if not isinstance(node.object, (Container, Method)):
            raise AmlError("AE_AML_OPERAND_TYPE", f"{node} has no scope, it is of type {node.type.name.lower()}")
    frame.scopes.append(frame.scope)
    frame.scope = node.path


@handler("Leave")
def _leave(_vm: AmlMachine, frame: Frame, _operand: object) -> None:
    frame.scope = frame.scopes.pop()


# -- regions and fields


@handler("OperationRegion")
def _region(vm: AmlMachine, frame: Frame, operand: tuple[Path, int]) -> None:
    path, space = operand
    region = OperationRegion(str(path), space)
    declare_region(vm, frame, path, region)  # which a table keeps even where the numbers are none, as in ACPICA
    region.offset, region.length = vm.pop_integers()


def declare_region(vm: AmlMachine, frame: Frame, path: Path, region: OperationRegion) -> None:
    """Make a region; the _REG beside one that a method makes is told, as for others when an operating system starts."""
    region.home = vm.declare(frame, path, region).path
    register = vm.namespace.at((*region.home[:-1], "_REG"))
    if frame.node and register and isinstance(register.object, Method) and register.object.args == REG_ARGS:
        vm.spawn(register, [region.space, CONNECT])


FieldOperand = tuple[list[Path], int, list["Unit"]]


@handler("Field")
def _field(vm: AmlMachine, frame: Frame, operand: FieldOperand) -> None:
    (path,), update, units = operand
    region = region_at(vm, frame.scope, path)
    _declare_units(
        vm, frame, units, update, lambda bits, unit: Field(bits, region, link=link_of(vm, frame.scope, region, unit))
    )


@handler("IndexField")
def _index_field(vm: AmlMachine, frame: Frame, operand: FieldOperand) -> None:
    (index_path, data_path), update, units = operand
    index, data = field_at(vm, frame.scope, index_path), field_at(vm, frame.scope, data_path)
    _declare_units(vm, frame, units, update, lambda bits, _unit: Field(bits, index=index, data=data))


@handler("BankField")
def _bank_field(vm: AmlMachine, frame: Frame, operand: FieldOperand) -> None:
    (region_path, bank_path), update, units = operand
    value = vm.pop_integer()
    region, bank = region_at(vm, frame.scope, region_path), field_at(vm, frame.scope, bank_path)
    _declare_units(vm, frame, units, update, lambda bits, _unit: Field(bits, region, bank=bank, value=value))


def _declare_units(
    vm: AmlMachine, frame: Frame, units: list[Unit], update: int, make: Callable[[Bits, Unit], Field]
) -> None:
    for unit in units:
        if unit.access >= len(ACCESS_WIDTHS):
            raise AmlError("AE_AML_OPERAND_VALUE", f"access type {unit.access} of field {unit.name}")
        bits = Bits(unit.offset, unit.length, ACCESS_WIDTHS[unit.access], update)
        vm.declare(frame, Path(False, 0, (unit.name,)), make(bits, unit))


# -- buffer fields


def _create(bits: int | None, unit: int) -> Handler:
    """A Create...Field operator: ``bits`` wide (None: computed), its position counted in ``unit`` bits."""

    def run(vm: AmlMachine, frame: Frame, operand: tuple[Path]) -> None:
        try:
            field = make(vm, operand[0])
        except AmlError:
            if not frame.node:  # a table keeps the name, as in ACPICA
                vm.declare(frame, operand[0], Container(ObjectType.UNINITIALIZED))
            raise
        vm.declare(frame, operand[0], field)

    def make(vm: AmlMachine, path: Path) -> BufferField:
        length = vm.pop_integer() if bits is None else bits
        offset = vm.pop_integer() * unit
        source = vm.data(vm.stack.pop())
        buffer = source if isinstance(source, Buffer) else convert.to_buffer(source, vm.width)
        if not length:
            raise AmlError("AE_AML_OPERAND_VALUE", f"field {path} has no bits")
        if offset + length > 8 * len(buffer):
            raise AmlError(
                "AE_AML_BUFFER_LIMIT",
                f"field {path} ends at bit {offset + length} of a buffer of {len(buffer)} bytes",
            )
        return BufferField(buffer, offset, length, plain=bits is None)

    return run


HANDLERS.update(
    {
        "CreateField": _create(None, 1),
        "CreateBitField": _create(1, 1),
        "CreateByteField": _create(8, 8),
        "CreateWordField": _create(16, 8),
        "CreateDWordField": _create(32, 8),
        "CreateQWordField": _create(64, 8),
    }
)
