"""Tables as AML sees them: Load, LoadTable, Unload, DataTableRegion (ACPI 6.5, 19.6.25, .78, .79 and .146)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.access import SYSTEM_MEMORY
from xlpy.firmware.acpi.eval.declarations import declare_region
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.fields import Field, OperationRegion
from xlpy.firmware.acpi.eval.loader import Loader
from xlpy.firmware.acpi.eval.namespace import LoadedTable
from xlpy.firmware.acpi.eval.references import NodeRef
from xlpy.firmware.acpi.eval.registry import handler
from xlpy.firmware.acpi.eval.store import finish, store
from xlpy.firmware.acpi.eval.values import Buffer, String
from xlpy.firmware.acpi.header import HEADER_SIZE, verify
from xlpy.firmware.acpi.walk import TABLE_LIMIT
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.machine import AmlMachine, Frame
    from xlpy.firmware.acpi.eval.names import Absolute, Path
    from xlpy.firmware.acpi.eval.values import Value

DATA_TABLE = 0x7E  # ACPICA's region space for tables
TABLES = 256  # in all; ACPICA has 4095 owners of names
AML_TABLES = ("DSDT", "SSDT", "PSDT", "OSDT")


def install(vm: AmlMachine, data: bytes) -> LoadedTable:
    """Make a table known to AML, and give it a label."""
    if len(vm.tables) >= TABLES:
        raise AmlError("AE_OWNER_ID_LIMIT", f"more than {TABLES} tables")
    signature = data[:4].decode("latin-1")
    count = 1 + sum(table.data[:4] == data[:4] for table in vm.tables)
    table = LoadedTable(bytearray(data), signature if count == 1 else f"{signature}{count}")
    vm.tables.append(table)
    return table


def execute(vm: AmlMachine, table: LoadedTable, scope: Absolute = ()) -> None:
    """Run the top level of a table. When that ends before the table does, nothing that it made stays, as in ACPICA.

    Raises:
        AmlError: ``vm.problems`` is None and a statement fails; or a method that a statement calls fails.
    """
    if table.loaded:
        raise AmlError("AE_ALREADY_EXISTS", f"{table.label} is loaded already")
    loader = Loader(vm, bytes(table.data), HEADER_SIZE, table.label, scope, vm.problems)
    try:
        loader.run()
    except AmlError:
        vm.namespace.remove(reversed(loader.made))
        raise
    table.loaded = True


def defer(vm: AmlMachine, table: LoadedTable) -> None:
    """Run a table as soon as one of its names is asked for. It has nothing to do but to make them, and cannot fail."""

    def run() -> None:
        budget, vm.budget = vm.budget, vm.limits.steps  # an evaluation does not pay for it
        execute(vm, table)
        vm.budget = budget

    vm.namespace.deferred.add(bytes(table.data), run)


def find(vm: AmlMachine, values: list[bytes]) -> LoadedTable | None:
    """The table with this signature, OEM id and OEM table id."""
    signature, oem_id, oem_table_id = values
    if len(signature) != 4:
        raise AmlError("AE_BAD_SIGNATURE", f"{signature.decode('latin-1')!r} is no signature")
    if len(oem_id) > 6 or len(oem_table_id) > 8:
        raise AmlError("AE_AML_STRING_LIMIT", "an OEM id has 6 characters, an OEM table id 8")
    vm.namespace.catch_up()  # AML may change the table, or load it again
    return next((table for table in vm.tables if table.matches(signature, oem_id, oem_table_id)), None)


def _text(vm: AmlMachine, value: Value) -> bytes:
    value = vm.data(value)
    if not isinstance(value, String):
        raise AmlError("AE_AML_OPERAND_TYPE", "a string is needed")
    return bytes(value).partition(b"\0")[0]


@handler("DataTableRegion")
def _data_table_region(vm: AmlMachine, frame: Frame, operand: tuple[Path]) -> None:
    values = [_text(vm, value) for value in vm.stack[-3:]]
    del vm.stack[-3:]
    region = OperationRegion(str(operand[0]), DATA_TABLE, table=bytearray())
    declare_region(vm, frame, operand[0], region)
    table = find(vm, values)
    if table is None:
        raise AmlError("AE_NOT_FOUND", f"there is no table {b' '.join(values).decode('latin-1')}")
    region.table, region.length = table.data, len(table.data)


@handler("Load")
def _load(vm: AmlMachine, frame: Frame, operand: tuple[Path]) -> None:
    target = vm.pop_place()
    data = _source(vm, frame, operand[0])
    if not verify(data):
        raise AmlError("AE_BAD_CHECKSUM", "the bytes of the table do not sum to 0")
    if data[:4] not in (b"SSDT", b"PSDT") and data[:3] != b"OEM":
        raise AmlError("AE_BAD_SIGNATURE", f"{data[:4].decode('latin-1')!r} can't be loaded, only SSDT, PSDT and OEMx")
    if any(table.data == data for table in vm.tables):
        raise AmlError("AE_ALREADY_EXISTS", "this table is loaded already")
    execute(vm, install(vm, data))
    finish(vm, target, vm.mask)


def _source(vm: AmlMachine, frame: Frame, path: Path) -> bytes:
    """The table that Load is to load: at the start of a region, or in a field or buffer."""
    thing = vm.namespace.get(frame.scope, path).object
    if isinstance(thing, OperationRegion):
        vm.settle(thing)
        if thing.space != SYSTEM_MEMORY:
            raise AmlError("AE_AML_OPERAND_TYPE", "a table is loaded from a region of system memory")
        length = int.from_bytes(vm.fields.bytes(thing, HEADER_SIZE)[4:8], "little")
        _check_length(vm, length)
        return vm.fields.bytes(thing, length)
    data = vm.fields.read(thing) if isinstance(thing, Field) else thing
    if not isinstance(data, (bytes, Buffer)):
        raise AmlError("AE_AML_OPERAND_TYPE", "a region, field or buffer is needed")
    if len(data) < HEADER_SIZE:
        raise AmlError("AE_INVALID_TABLE_LENGTH", f"{len(data)} bytes, a header has {HEADER_SIZE}")
    length = int.from_bytes(data[4:8], "little")
    if length > len(data):
        raise AmlError("AE_AML_BUFFER_LIMIT", f"the table claims {length} bytes of {len(data)}")
    _check_length(vm, length)
    return bytes(data[:length])


def _check_length(vm: AmlMachine, length: int) -> None:
    if length < HEADER_SIZE:
        raise AmlError("AE_INVALID_TABLE_LENGTH", f"a table of {length} bytes, a header has {HEADER_SIZE}")
    if length > TABLE_LIMIT:
        raise AmlError("AE_NO_MEMORY", f"a table of {length} bytes; {TABLE_LIMIT} is the limit")
    vm.spend(length)


@handler("LoadTable")
def _load_table(vm: AmlMachine, frame: Frame, _operand: object) -> None:
    *paths, parameter = vm.stack[-6:]
    signature, oem_id, oem_table_id, root, target = (_text(vm, value) for value in paths)
    del vm.stack[-6:]
    table = find(vm, [signature, oem_id, oem_table_id])
    if table is None:
        vm.stack.append(0)
        return
    scope = vm.namespace.get(frame.scope, vm.path(String(root))).path if root else ()
    node = None
    if target:
        node = vm.namespace.get(frame.scope if target[:1] in b"\\^" else scope, vm.path(String(target)))
    execute(vm, table, scope)
    if node:
        store(vm, parameter, NodeRef(node))
    vm.stack.append(vm.mask)


@handler("Unload")
def _unload(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.pop()
    raise AmlError("AE_AML_OPERAND_TYPE", "Load gives no handle that could be unloaded")
