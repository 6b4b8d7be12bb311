"""The ACPI namespace (ACPI 6.5, 5.3): objects by their full paths."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError, UnknownName
from xlpy.firmware.acpi.eval.names import show
from xlpy.firmware.acpi.eval.values import ObjectType, Package, Reference, kind_of
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from xlpy.firmware.acpi.eval.fields import BufferField, Field, OperationRegion
    from xlpy.firmware.acpi.eval.names import Absolute, Path
    from xlpy.firmware.acpi.eval.values import Value


if TYPE_CHECKING:
    Object: TypeAlias = "Value | Container | Method | Mutex | AmlEvent | OperationRegion | Field | BufferField"


class AmlBlock(NamedTuple):
    """Part of a table: what the compiler needs to know about AML that it is to look at.

    Args:
        data: the whole table; offsets count from its first byte.
        start, end: the part.
        label: what to call the table in errors, such as ``SSDT2``.
    """

    data: bytes
    start: int
    end: int
    label: str


class LoadedTable:
    """A table that the machine has.

    Args:
        data: all of it; AML can change it through a DataTableRegion.
        label: what errors call it, such as ``SSDT2``.
    """

    __slots__ = ("data", "label", "loaded")

    def __init__(self, data: bytearray, label: str) -> None:
        self.data, self.label, self.loaded = data, label, False

    def matches(self, signature: bytes, oem_id: bytes, oem_table_id: bytes) -> bool:
        """Whether the header says so; an empty identifier matches all."""
        data = self.data
        return (
            data[:4] == signature
            and (not oem_id or data[10:16] == oem_id.ljust(6, b"\0"))
            and (not oem_table_id or data[16:24] == oem_table_id.ljust(8, b"\0"))
        )


class Container(NamedTuple):
    """A Device, Processor, PowerResource or ThermalZone, or a predefined scope; and the constants of its definition."""

    kind: ObjectType
    constants: tuple[int, ...] = ()


class Method:
    """A control method; ``native`` if it is one of the interpreter's own."""

    __slots__ = ("args", "body", "native", "serialized", "sync")
    kind = ObjectType.METHOD

    def __init__(
        self,
        args: int,
        serialized: bool = False,
        sync: int = 0,
        body: AmlBlock | None = None,
        native: Callable[[list[Value]], Value] | None = None,
    ) -> None:
        self.args, self.serialized, self.sync, self.body, self.native = args, serialized, sync, body, native


class Mutex:
    """A Mutex; ``depth`` counts how often it is acquired, ``before`` is the sync level that its release restores."""

    __slots__ = ("before", "depth", "sync")
    kind = ObjectType.MUTEX

    def __init__(self, sync: int) -> None:
        self.sync, self.depth, self.before = sync, 0, 0


class AmlEvent:
    """An Event, with the number of pending signals."""

    __slots__ = ("signals",)
    kind = ObjectType.EVENT

    def __init__(self) -> None:
        self.signals = 0


class NamedObject:
    """A named object; ``link`` is what packages hold of it."""

    __slots__ = ("link", "object", "path")

    def __init__(self, path: Absolute, value: Object) -> None:
        self.path, self.object = path, value
        self.link: LinkRef | None = None

    def __str__(self) -> str:
        return show(self.path)

    @property
    def type(self) -> ObjectType:
        """The type of the object, as ObjectType() tells it."""
        return kind_of(self.object)


class LinkRef(Reference):
    """In a package, a named integer, string, buffer or package: the element is that object's value of the moment."""

    __slots__ = ("node",)

    def __init__(self, node: NamedObject) -> None:
        self.node = node


class Deferred:
    """Tables that run when one of their names is asked for: such that have nothing to do but to make them."""

    __slots__ = ("_foreign", "data", "runs")

    def __init__(self) -> None:
        self.data = b""  # of all of them: segments of names that they make are in it
        self.runs: list[Callable[[], object]] = []
        self._foreign: set[str] = set()  # segments that are not

    def add(self, data: bytes, run: Callable[[], object]) -> None:
        """One more table, and what runs it."""
        self.data += data
        self.runs.append(run)
        self._foreign.clear()

    def may_make(self, full: Absolute) -> bool:
        """Whether an object may come from them."""
        if not self._foreign.isdisjoint(full):
            return False
        foreign = next((name for name in full if name.encode() not in self.data), None)
        if foreign:
            self._foreign.add(foreign)
        return foreign is None


UNKNOWN = -1  # how many arguments a name takes that means nothing
PREDEFINED = ("_GPE", "_PR_", "_SB_", "_SI_", "_TZ_")


class AcpiNamespace:
    """All named objects. The root is always there, and so are the predefined scopes (5.3.1)."""

    def __init__(self) -> None:
        self.nodes: dict[Absolute, NamedObject] = {}
        self.externals: dict[Absolute, int] = {}  # arguments of methods elsewhere, as External tells them
        self.unsettled = True  # whether there are packages whose names have not been looked up
        self.generation = 0  # changes when a method's arguments may have to be counted anew
        self.deferred = Deferred()
        for path in ((), *((name,) for name in PREDEFINED)):
            kind = ObjectType.DEVICE if path == ("_SB_",) else ObjectType.UNINITIALIZED
            self.nodes[path] = NamedObject(path, Container(kind))

    def catch_up(self) -> None:
        """Run the tables that are deferred."""
        tables, self.deferred = self.deferred, Deferred()
        for run in tables.runs:
            run()

    def at(self, full: Absolute) -> NamedObject | None:
        """The object with this full path."""
        node = self.nodes.get(full)
        if node is None and self.deferred.runs and self.deferred.may_make(full):
            self.catch_up()
            return self.nodes.get(full)
        return node

    def find(self, scope: Absolute, path: Path) -> NamedObject | None:
        """The object that ``path`` means in ``scope``."""
        for candidate in path.candidates(scope):
            node = self.at(candidate)
            if node is not None:
                return node
        return None

    def get(self, scope: Absolute, path: Path) -> NamedObject:
        """The object that ``path`` means in ``scope``; AmlError when there is none."""
        node = self.find(scope, path)
        if node is None:
            raise AmlError("AE_NOT_FOUND", f"{path} does not exist in the scope {show(scope)}")
        return node

    def operand(self, scope: Absolute, path: Path) -> NamedObject:
        """The object that ``path`` means as an operand; UnknownName when there is none."""
        node = self.find(scope, path)
        if node is None:
            raise UnknownName("AE_NOT_FOUND", f"{path} does not exist in the scope {show(scope)}")
        return node

    def arity(self, path: Path, scope: Absolute) -> int | None:
        """How many arguments the method takes that ``path`` means in ``scope``.

        None for another object; for none at all what an External says, or UNKNOWN.
        """
        candidates = path.candidates(scope)
        for full in candidates:
            node = self.at(full)
            if node is not None:
                return node.object.args if isinstance(node.object, Method) else None
        externals = self.externals
        return next((externals[full] for full in candidates if full in externals), UNKNOWN)

    def place(self, scope: Absolute, path: Path) -> Absolute:
        """The full path of a new object; AmlError when it is taken, or nothing can hold it."""
        full = path.under(scope)
        if full is None or not path.segments:
            raise AmlError("AE_BAD_PATHNAME", f"{path} cannot be made in the scope {show(scope)}")
        if self.at(full):
            raise AmlError("AE_ALREADY_EXISTS", f"{show(full)} exists already")
        if not self.at(full[:-1]):
            raise AmlError("AE_NOT_FOUND", f"{show(full[:-1])} does not exist, so it can't hold {path}")
        return full

    def add(self, full: Absolute, value: Object) -> NamedObject:
        """A new object."""
        node = self.nodes[full] = NamedObject(full, value)
        if isinstance(value, Method):
            self.generation += 1
        elif isinstance(value, Package):
            self.unsettled = True
        return node

    def replace(self, node: NamedObject, value: Object) -> None:
        """Another object under the same name. Packages keep the one that they hold."""
        if node.link is not None:
            node.link.node, node.link = NamedObject(node.path, node.object), None
        if isinstance(value, Method) or isinstance(node.object, Method):
            self.generation += 1
        node.object = value

    def alias(self, full: Absolute, node: NamedObject) -> None:
        """Another path to an object."""
        self.nodes[full] = node
        self.generation += 1

    def remove(self, paths: Iterable[Absolute]) -> None:
        """Forget objects; those that are gone already are no trouble."""
        for path in paths:
            node = self.nodes.pop(path, None)
            if node is not None and isinstance(node.object, Method):
                self.generation += 1
