"""Definition blocks: they load together, and each method can be parsed."""

from __future__ import annotations

from xlpy.firmware.acpi.lint.findings import Finding, finding
from xlpy.firmware.acpi.text import AML
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xlpy.firmware.acpi.eval import AmlError
    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.namespace import AcpiNamespace
    from xlpy.firmware.acpi.walk import Found

# Statuses of names that are not there, or there twice: an operating system goes on without the object
_REFERENCES = ("AE_NOT_FOUND", "AE_ALREADY_EXISTS", "AE_BAD_PATHNAME")
# Statuses of AML that cannot be taken apart, whatever machine it runs on
_MALFORMED = (
    "AE_AML_PARSE",
    "AE_AML_BAD_OPCODE",
    "AE_AML_BAD_NAME",
    "AE_AML_PACKAGE_LIMIT",
    "AE_AML_STRING_LIMIT",
    "AE_AML_NO_OPERAND",
    "AE_AML_NO_WHILE",
)
_CODES = {
    **dict.fromkeys(_REFERENCES, "aml-reference"),
    **dict.fromkeys(_MALFORMED, "aml-parse"),
    "AE_AML_TOO_FEW_ARGUMENTS": "aml-arguments",
}


def check(names: Sequence[str], tables: Sequence[Found]) -> list[Finding]:
    """Load all blocks, the DSDT first, then compile every method."""
    blocks = [(name, t) for name, t in zip(names, tables, strict=True) if t.signature in AML]
    if not blocks:
        return []
    from xlpy.firmware.acpi.eval import Interpreter

    interpreter = Interpreter()
    found, seen = [], 0
    homes: dict[Absolute, str] = {}
    complete = any(t.signature == "DSDT" for _, t in blocks)
    for name, table in sorted(blocks, key=lambda block: block[1].signature != "DSDT"):
        interpreter.load(table.data, strict=False)
        found += [_finding(name, problem, complete) for problem in interpreter.problems[seen:]]
        seen = len(interpreter.problems)
        homes = dict.fromkeys(interpreter.machine.namespace.nodes, name) | homes
    for problem in interpreter.compile_all():
        found.append(_finding((problem.path or "aml").split(" ")[0].lower(), problem, complete))
    told = [one for one in found if one is not None]
    return told + (list(_elements(interpreter.machine.namespace, homes)) if complete else [])


def _elements(namespace: AcpiNamespace, homes: Mapping[Absolute, str]) -> Iterator[Finding]:
    """Names in packages are looked up when a table is loaded: where there is no such object, the element is empty."""
    from xlpy.firmware.acpi.eval.names import show
    from xlpy.firmware.acpi.eval.references import NameRef
    from xlpy.firmware.acpi.eval.values import Package

    for full, node in namespace.nodes.items():
        waiting: list[tuple[object, str]] = [(node.object, "")]
        for value, place in waiting:  # which grows
            if isinstance(value, Package):
                waiting += [(item, f"{place}[{at}]") for at, item in enumerate(value)]
            elif isinstance(value, NameRef) and namespace.find(value.scope, value.path) is None:
                what = f"{show(full)}{place} names {value.path}, which does not exist"
                yield finding("aml-element", homes.get(full, "aml"), None, what)


def _finding(name: str, problem: AmlError, complete: bool) -> Finding | None:
    """None for what the header's rules have told already, and for names that a missing DSDT may hold."""
    if problem.status.startswith("AE_BAD_") and problem.status not in _REFERENCES:
        return None
    code = _CODES.get(problem.status, "aml-run")
    if code == "aml-reference" and not complete and problem.status == "AE_NOT_FOUND":
        return None
    return finding(code, name, problem.offset, f"{problem.status}: {problem.message}")
