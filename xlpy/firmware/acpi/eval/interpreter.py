"""Loading tables and evaluating objects: the evaluator's public interface."""

from __future__ import annotations

from xlpy.firmware.acpi.eval import acpica, arithmetic, declarations, operators, statements, sync, tables
from xlpy.firmware.acpi.eval.access import ScratchMemory
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.machine import AmlMachine, Frame, Limits, Notification
from xlpy.firmware.acpi.eval.names import parse, show
from xlpy.firmware.acpi.eval.namespace import Container, LoadedTable, Method, Mutex
from xlpy.firmware.acpi.eval.results import argument, result, shown
from xlpy.firmware.acpi.eval.store import read_node
from xlpy.firmware.acpi.eval.values import ObjectType, String, kind_of
from xlpy.firmware.acpi.header import HEADER_SIZE, verify
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from xlpy.firmware.acpi.eval.access import RegionAccess
    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.results import Argument, Result
    from xlpy.firmware.acpi.eval.values import Value

INSTRUCTIONS = (arithmetic, declarations, operators, statements, sync, tables)  # what they register is in HANDLERS


class Entry(NamedTuple):
    """An object in the namespace.

    Args:
        path: full path.
        name: its last segment, without padding; a backslash for the root.
        type: its type.
        value: of an integer, string, buffer or package; ``None`` for others.
        args: of a method.
        children: the objects in its scope.
    """

    path: str
    name: str
    type: ObjectType
    value: Result
    args: int | None
    children: list[Entry]


class Interpreter:
    """A loaded namespace.

    Args:
        memory: the machine behind operation regions.
        clock: called with the microseconds of every Sleep, Stall and timed Wait; time does not pass otherwise.
        limits: for each evaluation.
        osi: answers ``\\_OSI``.
        on_error: the path of a method that is called with each error (its code, its name, the thread): when it returns
            0, evaluation goes on behind the statement that failed. ACPICA's own tests need it (acpiexec's ``\\_ERR``).
    """

    def __init__(
        self,
        memory: RegionAccess | None = None,
        *,
        clock: Callable[[int], None] = lambda _microseconds: None,
        limits: Limits = Limits(),  # noqa: B008 -- a tuple
        osi: Callable[[str], bool] = acpica.supported,
        on_error: str | None = None,
    ) -> None:
        self.machine = AmlMachine(memory or ScratchMemory(), clock, limits)
        self.machine.handler = parse(on_error) if on_error else None
        self.problems: list[AmlError] = []
        self._sound: set[str] = set()  # labels of tables

        def answer(values: list[Value]) -> int:
            text = values[0]
            if not isinstance(text, String):
                raise AmlError("AE_TYPE", "the argument of _OSI must be a string")
            return self.machine.mask if osi(text.decode("latin-1")) else 0

        add = self.machine.namespace.add
        add(("_OSI",), Method(1, False, 0, None, answer))
        add(("_REV",), 2)
        add(("_OS_",), String(b"Microsoft Windows NT"))
        add(("_GL_",), Mutex(0))

    @property
    def notifications(self) -> list[Notification]:
        """Every Notify so far."""
        return self.machine.notifications

    @property
    def debug(self) -> list[Result]:
        """Everything that was stored to the Debug object; of what cannot be shown the reason."""
        return [self._logged(value) for value in self.machine.debug]

    def _logged(self, value: Value) -> Result:
        try:
            return result(self.machine, value)
        except AmlError as error:
            return str(error)

    @property
    def elapsed(self) -> int:
        """Microseconds that all waits so far asked for."""
        return self.machine.now

    def load(self, table: bytes, *, strict: bool = True, sound: bool = False, deferred: bool = False) -> None:
        """Add a definition block: run its top level.

        Args:
            table: a whole DSDT, SSDT or PSDT; a DSDT's revision decides the width of integers.
            strict: raise the first problem. Otherwise a statement at the top level that fails is passed over, as
                operating systems do, and ``problems`` tells. Where a method that such a statement calls fails, nothing
                of the table stays.
            sound: nothing in it is malformed, as is known from elsewhere: ``compile_all`` leaves it out.
            deferred: it only makes names, and cannot fail: it is run when one of them is asked for.

        Raises:
            FormatError: the header is wrong, or the AML is malformed or fails (``AmlError``).
        """
        vm = self.machine
        vm.problems = None if strict else self.problems
        try:
            known = self.add(table)
            self._check_header(table, known.label)
            if table[:4] == b"DSDT":
                vm.width = 4 if table[8] < 2 else 8
                vm.mask = (1 << 8 * vm.width) - 1
            if sound:
                self._sound.add(known.label)
            vm.begin()
            (tables.defer if deferred else tables.execute)(vm, known)
        except AmlError as error:
            if strict:
                raise
            self.problems.append(error)

    def add(self, table: bytes) -> LoadedTable:
        """Make a table known without running it: DataTableRegion and LoadTable find it."""
        return tables.install(self.machine, table)

    def _check_header(self, table: bytes, label: str) -> None:
        length = int.from_bytes(table[4:8], "little")
        if len(table) < HEADER_SIZE or length != len(table):
            raise AmlError("AE_BAD_HEADER", f"length says {length} of {len(table)} bytes", offset=4, path=label)
        if not verify(table):
            raise AmlError("AE_BAD_CHECKSUM", "the bytes of the table do not sum to 0", offset=9, path=label)
        if label[:4] not in tables.AML_TABLES:
            raise AmlError("AE_BAD_SIGNATURE", f"{label!r} holds no AML", offset=0, path=label)

    def compile_all(self) -> list[AmlError]:
        """Compile every method that has not been called yet; what is malformed in them.

        A name that does not exist is none of that: whether it matters is known when it is reached.
        """
        found = []
        for node in list(self.machine.namespace.nodes.values()):
            if isinstance(node.object, Method) and node.object.body and node.object.body.label not in self._sound:
                try:
                    self.machine.begin()
                    found += self.machine.compiled(node).problems
                except AmlError as error:
                    found.append(error)
        return found

    def evaluate(self, path: str, *args: Argument) -> Result:
        """Call a method, or read an object.

        Args:
            path: from the root, with or without the backslash.
            args: as many as the method takes; none for other objects.

        Returns:
            an int, str, bytes, list, the ``ObjectPath`` of a device or the like, or None.

        Raises:
            AmlError: it does not exist, takes another number of arguments, or its evaluation fails.
        """
        vm = self.machine
        node = vm.namespace.get((), parse(path))
        vm.begin()
        try:
            if isinstance(node.object, Method):
                values = [argument(arg) for arg in args]
                if len(values) != node.object.args:
                    status = "AE_MISSING_ARGUMENTS" if len(values) < node.object.args else "AE_BAD_PARAMETER"
                    raise AmlError(status, f"{node} takes {node.object.args} arguments, given {len(values)}")
                if node.object.native:
                    return result(vm, node.object.native(values))
                frame = Frame(vm.compiled(node), node.path, values, node)
                vm.sync = node.object.sync
                return result(vm, vm.run(frame))
            if args:
                raise AmlError("AE_BAD_PARAMETER", f"{node} is no method and takes no arguments")
            return result(vm, read_node(vm, node))
        finally:
            for mutex in vm.held:
                mutex.depth = 0
            vm.held.clear()

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return self.machine.namespace.find((), parse(path)) is not None

    def namespace(self) -> Entry:
        """The whole tree, in the order in which objects were made. Fields and regions are not read."""
        entries: dict[Absolute, Entry] = {}
        self.machine.namespace.catch_up()
        nodes = self.machine.namespace.nodes
        for path in sorted(nodes, key=len):
            node = nodes[path]
            thing = node.object
            args = thing.args if isinstance(thing, Method) else None
            if not path:
                entries[path] = Entry("\\", "\\", kind_of(thing), None, None, [])
                continue
            above = entries.get(path[:-1])
            if above is None:
                continue
            name = path[-1].rstrip("_") or "_"
            text = f"{above.path}.{name}" if len(path) > 1 else f"\\{name}"
            entry = entries[path] = Entry(text, name, kind_of(thing), shown(thing), args, [])
            above.children.append(entry)
        return entries[()]

    def devices(self, text: str = "") -> Iterator[str]:
        """The full paths of all devices, in the order in which they were made.

        Args:
            text: leave out those of deferred tables that do not hold it.
        """
        if text.encode() in self.machine.namespace.deferred.data:
            self.machine.namespace.catch_up()
        for path, node in list(self.machine.namespace.nodes.items()):
            if isinstance(node.object, Container) and node.object.kind is ObjectType.DEVICE and len(path) > 1:
                yield show(path)


def load_tables(
    given: Iterable[bytes],
    memory: RegionAccess | None = None,
    *,
    strict: bool = True,
    sound: Collection[bytes] = (),
    deferred: Collection[bytes] = (),
    clock: Callable[[int], None] = lambda _microseconds: None,
    limits: Limits = Limits(),  # noqa: B008 -- a tuple
) -> Interpreter:
    """Load the DSDT, then the others in order; tables without AML are there for AML to find.

    Args:
        given: whole tables, as ``walk`` finds them.
        memory, clock, limits: as for ``Interpreter``.
        strict: as for ``Interpreter.load``.
        sound, deferred: which tables are, in the sense of ``Interpreter.load``.
    """
    interpreter = Interpreter(memory, clock=clock, limits=limits)
    for table in sorted(given, key=lambda table: table[:4] != b"DSDT"):
        if table[:4].decode("latin-1") in tables.AML_TABLES:
            interpreter.load(table, strict=strict, sound=table in sound, deferred=table in deferred)
        else:
            interpreter.add(table)
    return interpreter
