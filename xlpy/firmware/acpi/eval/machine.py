"""The stack machine that runs compiled AML. What its instructions do is registered in ``HANDLERS`` from above."""

from __future__ import annotations

from xlpy.firmware.acpi.eval import convert
from xlpy.firmware.acpi.eval.access import PCI_CONFIG
from xlpy.firmware.acpi.eval.compiler import Compiler, Later, anew
from xlpy.firmware.acpi.eval.errors import AmlError, Exhausted, NoCondition, status_code
from xlpy.firmware.acpi.eval.fields import FieldAccess, OperationRegion
from xlpy.firmware.acpi.eval.names import parse
from xlpy.firmware.acpi.eval.namespace import AcpiNamespace, Container, Method, NamedObject
from xlpy.firmware.acpi.eval.references import ElementRef, copy, passed
from xlpy.firmware.acpi.eval.registry import HANDLERS, Code
from xlpy.firmware.acpi.eval.store import load
from xlpy.firmware.acpi.eval.values import Package, Reference, String
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.access import RegionAccess
    from xlpy.firmware.acpi.eval.names import Absolute, Path
    from xlpy.firmware.acpi.eval.namespace import LoadedTable, Mutex, Object
    from xlpy.firmware.acpi.eval.values import Value

NESTED_RUNS = 8  # regions whose place depends on regions whose place ..., tables that load tables


class Limits(NamedTuple):
    """What one evaluation may use.

    Args:
        steps: instructions, and with them bytes: eight bytes that are made count as a step.
        depth: methods in methods.
        time: microseconds of Sleep, Stall and Wait.
    """

    steps: int = 2_000_000
    depth: int = 255
    time: int = 30_000_000


class Notification(NamedTuple):
    """A Notify: the full path of the object, and the value."""

    path: str
    value: int


class Frame:
    """One invocation of a method, or a statement of a table's top level.

    Args:
        code, scope, args: what runs, where, on what.
        node: the method; None at the top level of a table.
        made: takes the full paths of the objects that it makes; those of a method go when it ends.
    """

    __slots__ = ("args", "at", "code", "height", "locals", "made", "marks", "node", "scope", "scopes", "sync")

    def __init__(
        self,
        code: Code,
        scope: Absolute,
        args: list[Value],
        node: NamedObject | None,
        made: list[Absolute] | None = None,
    ) -> None:
        self.code, self.scope, self.node = code, scope, node
        self.at, self.height = 0, 0
        self.sync: int | None = None  # the level to restore
        self.args: list[Value] = args + [None] * (7 - len(args))
        self.locals: list[Value] = [None] * 8
        self.scopes: list[Absolute] = []
        self.marks: dict[int, int] = {}  # the height of the stack where operators began
        self.made: list[Absolute] = [] if made is None else made


class AmlMachine:
    """State of the interpreter: namespace, stack, clock and limits.

    Args:
        memory: the machine behind operation regions.
        clock: called with the microseconds of each wait.
        limits: for each evaluation.
    """

    def __init__(self, memory: RegionAccess, clock: Callable[[int], None], limits: Limits) -> None:
        self.namespace = AcpiNamespace()
        self.fields = FieldAccess(memory, self.settle)
        self.clock, self.limits = clock, limits
        self.width, self.mask = 8, (1 << 64) - 1
        self.stack: list[Value] = []
        self.frames: list[Frame] = []
        self.held: list[Mutex] = []
        self.sync = 0  # synchronisation level of the one thread
        self.now, self.waited = 0, 0  # microseconds
        self.budget, self.runs, self.taken = limits.steps, 0, 0
        self.problems: list[AmlError] | None = None  # where a table's top level puts what fails
        self.tables: list[LoadedTable] = []  # all tables, as AML finds them
        self.handler: Path | None = None  # the method that decides whether evaluation goes on behind an error
        self.debug: list[Value] = []
        self.notifications: list[Notification] = []
        self._code: dict[Absolute, tuple[Method, int, Code]] = {}

    # -- running

    def run(self, frame: Frame) -> Value:
        """Run a frame, and all that it calls, to its end; its result."""
        if self.runs >= NESTED_RUNS:
            raise AmlError("AE_AML_CIRCULAR_REFERENCE", "regions depend on each other")
        self.runs += 1
        base, height = len(self.frames), len(self.stack)
        frames, frame.height = self.frames, height
        frames.append(frame)
        try:
            while True:
                try:
                    while len(frames) > base:
                        frame = frames[-1]
                        handler, operand, offset = frame.code.instructions[frame.at]
                        frame.at += 1
                        self.budget -= 1
                        if self.budget < 0:
                            self.spend(0)
                        handler(self, frame, operand)
                    return self.stack.pop()
                except AmlError as error:
                    error.at(offset, frame.code.path)
                    frame = frames[-1]
                    after = frame.code.after(frame.at - 1)
                    if after is None or not self._forgiven(error):
                        error.aborts = error.aborts or (not frames[base].node and len(frames) > base + 1)
                        raise
                    self._resume(frame, after)
        finally:
            self.runs -= 1
            if len(frames) > base:  # something went wrong
                for left in reversed(frames[base:]):
                    self._end(left)
                del frames[base:], self.stack[height:]

    def _resume(self, frame: Frame, after: int) -> None:
        """Go on behind an error: in the statement without the value of the operator that failed, or behind both."""
        failed = frame.code.operand(frame.at - 1)
        if failed and failed[0] in frame.marks:
            start, frame.at = failed
            del self.stack[frame.marks[start] :]
            self.stack.append(1 if start in frame.code.conditions else None)
        else:
            code = frame.code.instructions
            branch = next((at for at in (frame.at - 1, frame.at) if code[at][0] is HANDLERS["JumpIfNot"]), None)
            if branch is None:
                frame.at = after
            else:  # an If or While fails: its body is carried out once, and then its Else
                frame.at = branch + 1
                frame.marks[~frame.code.passed.get(branch, 0)] = 0
            del self.stack[frame.height :]

    def _forgiven(self, error: AmlError) -> bool:
        """Whether the handler of errors wants the statements behind one to run."""
        node = self.handler and self.namespace.find((), self.handler)
        if not node or isinstance(error, (Exhausted, NoCondition)) or any(frame.node is node for frame in self.frames):
            return False
        values: list[Value] = [status_code(error.status), String(error.status.encode()), 1]
        return self.run(Frame(self.compiled(node), node.path, values, node)) == 0

    def call(self, node: NamedObject, args: int) -> None:
        """Invoke a method with the ``args`` topmost values."""
        method = node.object
        if not isinstance(method, Method) or method.args != args:
            takes = f"takes {method.args} arguments" if isinstance(method, Method) else "is no method"
            raise AmlError("AE_AML_OPERAND_TYPE", f"{node} {takes}, called with {args}")
        values = [passed(value) for value in self.stack[len(self.stack) - args :]]
        del self.stack[len(self.stack) - args :]
        if any(value is None for value in values):
            raise AmlError("AE_AML_NO_RETURN_VALUE", f"an argument of {node} has no value")
        for value in values:
            if isinstance(value, Package):
                value.fresh = False
        if method.native:
            self.stack.append(method.native(values))
            return
        if len(self.frames) >= self.limits.depth:
            raise AmlError("AE_AML_METHOD_LIMIT", f"methods are nested deeper than {self.limits.depth}")
        frame = Frame(self.compiled(node), node.path, values, node)
        frame.height = len(self.stack)
        if method.serialized:
            if self.sync > method.sync:
                raise AmlError("AE_AML_MUTEX_ORDER", f"{node} has sync level {method.sync}, held is {self.sync}")
            frame.sync, self.sync = self.sync, method.sync
        self.frames.append(frame)

    def spawn(self, node: NamedObject, values: list[Value]) -> None:
        """Run a method that the machine itself calls; whether it fails does not matter to anybody."""
        try:
            self.run(Frame(self.compiled(node), node.path, values, node))
        except Exhausted:
            raise
        except AmlError:
            return

    def leave(self, value: Value) -> None:
        """End the innermost frame; its names go, its value stays on the stack."""
        frame = self.frames.pop()
        self._end(frame)
        self.stack.append(value)

    def _end(self, frame: Frame) -> None:
        if frame.node:
            self.namespace.remove(frame.made)
        if frame.sync is not None:
            self.sync = frame.sync

    def compiled(self, node: NamedObject) -> Code:
        """The code of a method, compiled when it is first needed."""
        method = node.object
        assert isinstance(method, Method)
        assert method.body
        arity, generation = self.namespace.arity, self.namespace.generation
        known = self._code.get(node.path)
        if known and known[0] is method:
            if known[1] == generation:
                return known[2]
            code = known[2]
            self.spend(len(code.assumed) >> 2)
            if all(arity(*name) == args for name, args in code.assumed.items()):
                self._code[node.path] = method, generation, code
                return code
        self.spend((method.body.end - method.body.start) >> 2)
        compiler = Compiler(method.body, node.path, arity, HANDLERS, resumes=self.handler is not None)
        code = compiler.compile(f"{method.body.label} {node}")
        self._code[node.path] = method, generation, code
        return code

    def renamed(self) -> None:
        """A name has become a method, or is none any more: what follows in running methods is compiled again."""
        arity = self.namespace.arity
        for frame in self.frames:
            self.spend(len(frame.code.instructions) >> 3)
            if any(arity(*name) != args for name, args in frame.code.assumed.items()):
                frame.code = anew(frame.code, frame.at - 1)

    def reach(self, frame: Frame, later: Later) -> None:
        """Go on with what was left to be compiled when it is reached."""
        arity = self.namespace.arity
        changed = (arity(path, scope) for path, scope in later.unknown)
        if later.at is None or any(args is not None and args > 0 for args in changed):
            self.spend((later.block.end - later.block.start) >> 2)
            compiler = Compiler(later.block, later.scope, arity, HANDLERS, final=True, resumes=self.handler is not None)
            compiler.append(frame.code, later)
        assert later.at is not None
        frame.at = later.at

    def steps(self) -> int:
        """How many steps all evaluations so far have taken."""
        return self.taken + self.limits.steps - self.budget

    def begin(self) -> None:
        """A new evaluation, with the whole budget."""
        self.taken = self.steps()
        self.budget, self.waited, self.runs, self.sync = self.limits.steps, 0, 0, 0
        self.frames.clear()
        self.stack.clear()

    def spend(self, steps: int) -> None:
        """Take from the budget of this evaluation."""
        self.budget -= steps
        if self.budget < 0:
            raise Exhausted(
                "AE_AML_LOOP_TIMEOUT", f"more than {self.limits.steps} steps; this does not seem to come to an end"
            )

    # -- the stack

    def pop_integer(self) -> int:
        """The topmost value as an integer."""
        value = self.stack.pop()
        return value if type(value) is int else self.integer(value)

    def pop_two(self) -> tuple[Value, Value]:
        """The two topmost values, the lower one first; neither is missing."""
        b, a = self.stack.pop(), self.stack.pop()
        if a is None or b is None:
            raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
        return a, b

    def pop_integers(self) -> tuple[int, int]:
        """The two topmost values as integers, the lower one first; the upper one is converted first, as in ACPICA."""
        a, b = self.pop_two()
        b = b if type(b) is int else self.integer(b)
        return a if type(a) is int else self.integer(a), b

    def pop_place(self) -> Reference | None:
        """The topmost value, which the compiler knows to be a place (or None for no target)."""
        place = self.stack.pop()
        assert place is None or isinstance(place, Reference)
        return place

    def data(self, value: Value) -> Value:
        """The value of an operand: a package element that Index just chose counts as its content."""
        if isinstance(value, ElementRef) and value.direct:
            value = load(self, value)
        if value is None:
            raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
        if isinstance(value, bytearray):
            self.spend(len(value) >> 8)  # whatever is done with it
        return value

    def integer(self, value: Value) -> int:
        """An operand as an integer."""
        return convert.to_integer(self.data(value), self.width)

    def path(self, text: String) -> Path:
        """The path that a string spells, in small letters or capitals."""
        try:
            return parse(text.decode("latin-1").upper())
        except AmlError as error:
            fits = all(len(segment) <= 4 for segment in text.lstrip(b"\\^").split(b"."))
            raise AmlError("AE_NOT_FOUND" if fits else "AE_BAD_PATHNAME", error.message) from None

    # -- objects

    def declare(self, frame: Frame, path: Path, thing: Object) -> NamedObject:
        """Make a named object."""
        full = self.namespace.place(frame.scope, path)
        frame.made.append(full)
        return self.namespace.add(full, thing)

    def settle(self, region: OperationRegion) -> None:
        """Find out where a region of PCI configuration space lies: what says so may be defined after it."""
        if not region.settled:
            region.settled = True
            if region.space == PCI_CONFIG:
                region.offset += self._pci_function(region.home)

    def _pci_function(self, home: Absolute) -> int:
        """The ECAM address of the function whose device a region of PCI configuration space belongs to (5.5.2.4.1)."""
        above = [home[:depth] for depth in range(len(home) - 1, 0, -1)]
        at = self.namespace.at
        function = next((self._constant(path, "_ADR") for path in above if at((*path, "_ADR"))), 0)
        bridge = next((path for path in above if at((*path, "_BBN"))), ())
        segment, bus = self._constant(bridge, "_SEG"), self._constant(bridge, "_BBN")
        return segment << 28 | bus << 20 | (function >> 16 & 0x1F) << 15 | (function & 7) << 12

    def _constant(self, scope: Absolute, name: str) -> int:
        node = self.namespace.at((*scope, name))
        if node is None:
            return 0
        if isinstance(node.object, Method):
            return self.integer(self.run(Frame(self.compiled(node), node.path, [], node)))
        return node.object if isinstance(node.object, int) else 0

    # -- the world

    def pass_time(self, microseconds: int) -> None:
        """Let time pass."""
        self.now += microseconds
        self.waited += microseconds
        if self.waited > self.limits.time:
            raise Exhausted("AE_AML_LOOP_TIMEOUT", f"waited {self.waited // 1000} ms; what it waits for does not come")
        self.clock(microseconds)

    def log(self, value: Value) -> None:
        """Record what was stored to the Debug object."""
        self.debug.append(copy(self.data(value), self.spend))

    def notify(self, node: NamedObject, value: int) -> None:
        """Record a notification."""
        assert isinstance(node.object, Container)
        self.notifications.append(Notification(str(node), value))
