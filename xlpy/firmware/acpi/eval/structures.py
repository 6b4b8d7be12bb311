"""Opcodes that compile to more than their arguments followed by one instruction: data, control flow, named objects.

Each is a function of the assembler, the opcode, the end of its package and its place; what has terms in it is one of
the compiler's frames.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval.assembler import Loop
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.names import Path
from xlpy.firmware.acpi.eval.namespace import UNKNOWN, Container
from xlpy.firmware.acpi.eval.reader import NAME_STARTS
from xlpy.firmware.acpi.eval.values import ObjectType
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.assembler import Assembler, Work
    from xlpy.firmware.acpi.eval.opcodes import Op

_CONSTANTS = {"Byte": 1, "Word": 2, "DWord": 4, "QWord": 8}
WIDTHS = {"B": 1, "W": 2, "D": 4}
CONTAINERS = {
    "Device": ObjectType.DEVICE,
    "Processor": ObjectType.PROCESSOR,
    "PowerResource": ObjectType.POWER,
    "ThermalZone": ObjectType.THERMAL,
}
_ELSE = 0xA1


# -- data


def _constant(c: Assembler, op: Op, end: int, start: int) -> None:
    c.emit("Constant", c.number(_CONSTANTS[op.name], end), start)


def _slot(c: Assembler, op: Op, _end: int, start: int) -> None:
    c.emit("GetSlot", (op.name.startswith("Arg"), int(op.name[-1])), start)


def _cond_ref_of(c: Assembler, op: Op, end: int, start: int) -> Work:
    at = c.at
    if at < end and c.data[at] in NAME_STARTS:
        c.emit("NamePlaceIfAny", c.path(end), at)
    else:
        yield c.target(end, op.name)
    yield c.target(end, op.name, optional=True)
    c.emit(op.name, (), start)


def _string(c: Assembler, _op: Op, end: int, start: int) -> None:
    stop = c.data.find(0, c.at, end)
    if stop < 0:
        raise AmlError("AE_AML_STRING_LIMIT", "a string without its NUL")
    c.emit("String", c.data[c.at : stop], start)
    c.at = stop + 1


def _buffer(c: Assembler, _op: Op, end: int, start: int) -> Work:
    yield c.term(end)
    c.emit("Buffer", c.data[c.at : end], start)
    c.at = end


def _package(c: Assembler, op: Op, end: int, start: int) -> Work:
    count = c.number(1, end) if op.name == "Package" else None
    if count is None:
        yield c.term(end)
    elements = 0
    while c.at < end:
        at = c.at
        if c.data[at] in NAME_STARTS:
            c.emit("GetElement", c.path(end), at)
        else:
            yield c.kept(end)
        elements += 1
    c.emit("Package", (count, elements), start)


# -- control flow


def if_else(c: Assembler, outer: int, start: int) -> Work:
    """An If, and the Else that may follow it."""
    end = c.package_end(outer)
    yield c.condition_of(end, start)
    branch = c.jump("JumpIfNot", start)
    yield c.terms(end)
    if end < outer and c.data[end] == _ELSE:
        out = c.jump("Jump", end)
        c.passed(branch, out)
        c.label(branch)
        c.at = end + 1
        end = c.package_end(outer)
        yield c.terms(end)
        branch = out
    c.label(branch)
    c.at = end


def _while(c: Assembler, _op: Op, end: int, start: int) -> Work:
    outer, c.loop = c.loop, Loop(len(c.out))
    loop = c.loop
    yield c.condition_of(end, start)
    loop.breaks.append(branch := c.jump("JumpIfNot", start))
    yield c.terms(end)
    c.emit("Jump", loop.start, start)
    c.passed(branch, len(c.out) - 1)
    loop.exit = len(c.out)
    for jump in loop.breaks:
        c.aim(jump, loop.exit)
    c.loop = outer


def _break(c: Assembler, op: Op, _end: int, start: int) -> None:
    if c.loop is None:
        raise AmlError("AE_AML_NO_WHILE", f"{op.name} outside of While")
    if op.name == "Continue":
        c.emit("Jump", c.loop.start, start)
    elif c.loop.exit:  # the loop is compiled already, but for what was put off
        c.emit("Jump", c.loop.exit, start)
    else:
        c.loop.breaks.append(c.jump("Jump", start))


# -- named objects


def _alias(c: Assembler, _op: Op, end: int, start: int) -> None:
    source, path = c.path(end), c.path(end)
    args = c.arity(source)
    c.declare(path, None if args == UNKNOWN else args)
    c.emit("Alias", (source, path), start)


def _scope(c: Assembler, op: Op, end: int, start: int) -> Work:
    path = c.path(end)
    container = None
    if op.name != "Scope":
        constants = tuple(c.number(WIDTHS[kind], end) for kind in op.args[1:-1])
        container = Container(CONTAINERS[op.name], constants)
        c.declare(path)
    candidates = path.candidates(c.scope)
    if not candidates:
        raise AmlError("AE_BAD_PATHNAME", f"{path} leads above the root")
    if container is None:
        known = [full for full in candidates if full in c.declared or c.is_known(full)]
        candidates = known or candidates
    outer, c.scope, c.loop = (c.scope, c.loop), candidates[0], None
    enter = c.jump("Enter", start)
    yield c.terms(end)
    c.emit("Leave", None, start)
    c.aim(enter, (path, container, len(c.out)))
    c.scope, c.loop = outer


def _method(c: Assembler, _op: Op, end: int, start: int) -> None:
    path, method = c.method(end, c.block.label)
    c.declare(path, method.args)
    c.emit("Method", (path, method), start)


def _external(c: Assembler, _op: Op, end: int, _start: int) -> None:
    c.path(end)
    c.number(2, end)


def _field(c: Assembler, op: Op, end: int, start: int) -> Work:
    paths = [c.path(end) for kind in op.args if kind == "n"]
    if "t" in op.args:
        yield c.term(end)
    flags = c.number(1, end)
    units = c.field_list(flags & 0xF, end)
    for unit in units:
        c.declare(Path(False, 0, (unit.name,)))
    c.emit(op.name, (paths, flags >> 5 & 3, units), start)


SPECIAL: dict[str, Callable[[Assembler, Op, int, int], Work | None]] = {
    **dict.fromkeys(_CONSTANTS, _constant),
    **{f"Local{n}": _slot for n in range(8)},
    **{f"Arg{n}": _slot for n in range(7)},
    **dict.fromkeys(("Scope", *CONTAINERS), _scope),
    **dict.fromkeys(("Field", "IndexField", "BankField"), _field),
    **dict.fromkeys(("Break", "Continue"), _break),
    **dict.fromkeys(("Package", "VarPackage"), _package),
    "String": _string,
    "CondRefOf": _cond_ref_of,
    "Buffer": _buffer,
    "While": _while,
    "Alias": _alias,
    "Method": _method,
    "External": _external,
}
