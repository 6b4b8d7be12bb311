"""``xlpy acpi eval`` and ``namespace``: the guest's own AML, run on the guest's own machine."""

from __future__ import annotations

from xlpy.cli.declare import argument, command
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import out, visible
from xlpy.errors import FormatError, NotFound, UsageError
from xlpy.limits import AML_NESTING
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.cli.env import Env
    from xlpy.firmware.acpi.eval import Entry, Interpreter
    from xlpy.toolstack.domain.running import Running


@command(r"""
xlpy acpi eval quickstart '\_SB.PCI0._HID'
xlpy acpi eval quickstart '\_SB.NVDR.NV00._DSM' uuid:4309ac30-0d11-11e4-9191-0800200c9a66 1 0 '[]'
xlpy acpi eval quickstart '\_SB.NVDR.NV00._LSR' 0 256
""")
@domain_argument
@argument("path")
@argument("args", nargs=-1, metavar="[ARG]...")
@dry_run_option
@json_option
def evaluate(env: Env, domain: str, path: str, args: tuple[str, ...], as_json: bool) -> None:
    """Evaluate an ACPI object of a domain: call a method, or read a name or field.

    \b
    Arguments:
      12, 0x1f           an integer
      uuid:XXXXXXXX-...  a buffer of 16 bytes, as ToUUID makes it
      hex:00ff...        a buffer
      str:TEXT           a string
      '[ARG,ARG,...]'    a package of these
    """
    values = [_argument(word) for word in args]
    host = env.host
    with host.looking(f"evaluating {path}"):
        aml = _loaded(env, host.domain(domain))
        if not aml.exists(path):
            raise _unknown(domain, path)
        if env.dry_run:
            return
        result = aml.evaluate(path, *values)
    if as_json:
        notified = [{"path": n.path, "value": n.value} for n in aml.notifications]
        json_document("xlpy.acpi-eval/1", path=path, result=_json(result), notifications=notified)
    else:
        out(*_text(result).split("\n"))


@command(r"""
xlpy acpi namespace quickstart
xlpy acpi namespace quickstart '\_SB.NVDR'
""")
@domain_argument
@argument("path", default="\\")
@json_option
def namespace(env: Env, domain: str, path: str, as_json: bool) -> None:
    """Print a domain's ACPI namespace as a tree, or the part of it below PATH."""
    root = _find(_loaded(env, env.host.domain(domain)).namespace(), path)
    if root is None:
        raise _unknown(domain, path)
    if as_json:
        json_document("xlpy.acpi-namespace/1", root=_tree(root))
    else:
        _print(root, 0)


def _loaded(env: Env, running: Running) -> Interpreter:
    """A domain's AML; failures of its tables' top level are reported."""
    from xlpy.guest.machine import interpreter

    aml = interpreter(running, strict=False)
    for problem in aml.problems:
        env.warn(f"passed over: {problem}")
    return aml


def _argument(word: str, depth: int = 0) -> Any:  # noqa: ANN401 - an AML value
    """An AML value from a command line word."""
    from xlpy.firmware.acpi.guid import guid_bytes

    kind, colon, rest = word.partition(":")
    try:
        if word.startswith("[") and word.endswith("]"):
            if depth == AML_NESTING:
                raise UsageError(
                    f"not an AML argument: packages nested deeper than {AML_NESTING} levels: {word[:40]}...",
                    hint="xlpy acpi eval --help lists the forms",
                )
            inner = word[1:-1].strip()
            return [_argument(part.strip(), depth + 1) for part in _parts(inner)] if inner else []
        if colon and kind == "uuid":
            return guid_bytes(rest)
        if colon and kind == "hex":
            return bytes.fromhex(rest)
        if colon and kind == "str":
            return rest
        return int(word, 0)
    except (ValueError, FormatError) as error:
        raise UsageError(
            f"not an AML argument: {word!r} ({error})", hint="xlpy acpi eval --help lists the forms"
        ) from None


def _parts(text: str) -> list[str]:
    """What stands between commas, those inside inner brackets not counted."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _json(value: Any) -> Any:  # noqa: ANN401 - an AML value
    """Buffers as ``{"buffer": hex}``, references as ``{"object": path}``; the rest as it is."""
    from xlpy.firmware.acpi.eval import ObjectPath

    if isinstance(value, bytes):
        return {"buffer": value.hex()}
    if isinstance(value, ObjectPath):
        return {"object": str(value)}
    return [_json(item) for item in value] if isinstance(value, list) else value


def _text(value: Any, indent: str = "") -> str:  # noqa: ANN401 - an AML value
    from xlpy.firmware.acpi.eval import ObjectPath

    if isinstance(value, bytes):
        rows = [value[at : at + 16].hex(" ") for at in range(0, len(value), 16)] or [""]
        return f"Buffer ({len(value)}) " + f"\n{indent}  ".join(("{ " + rows[0], *rows[1:])) + " }"
    if isinstance(value, list):
        inner = f"{indent}  "
        body = "".join(f"{inner}{_text(item, inner)}\n" for item in value)
        return f"Package ({len(value)}) {{\n{body}{indent}}}" if value else "Package (0) { }"
    if isinstance(value, ObjectPath):
        return str(value)
    return f'"{visible(value)}"' if isinstance(value, str) else "nothing" if value is None else f"{value:#x}"


def _unknown(domain: str, path: str) -> NotFound:
    return NotFound(f"domain {domain} has no ACPI object {path}", hint=f"xlpy acpi namespace {domain}")


def _find(entry: Entry, path: str) -> Entry | None:
    wanted = path if path.startswith("\\") else f"\\{path}"
    if entry.path.upper() == wanted.upper():
        return entry
    found = (_find(child, path) for child in entry.children)
    return next((one for one in found if one), None)


def _tree(entry: Entry) -> dict[str, Any]:
    node: dict[str, Any] = {"path": entry.path, "name": entry.name, "type": entry.type.name.lower()}
    if entry.value is not None:
        node["value"] = _json(entry.value)
    if entry.args is not None:
        node["args"] = entry.args
    if entry.children:
        node["children"] = [_tree(child) for child in entry.children]
    return node


def _print(entry: Entry, depth: int) -> None:
    shown = ""
    if entry.args is not None:
        shown = f" ({entry.args} args)"
    elif entry.value is not None:
        text = _text(entry.value).replace("\n", " ")
        shown = f" = {text if len(text) <= 60 else text[:57] + '...'}"
    out(f"{'  ' * depth}{entry.name:<4} {entry.type.name.lower()}{shown}")
    for child in entry.children:
        _print(child, depth + 1)
