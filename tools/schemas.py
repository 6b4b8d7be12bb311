"""JSON schemas of what ``--json`` prints.

``python -m tools.schemas draft FOLDER`` drafts a schema for each kind of document in ``FOLDER/*.jsonl`` that has none;
a run of the tests with ``XLPY_COLLECT_JSON=FOLDER`` keeps them there. A draft is to be read and completed by hand: it
knows what was seen, not what is meant. ``--widen`` also widens the schemas that are there by what does not fit them.

``python -m tools.schemas docs`` writes ``docs/json.md``. Drafting needs genson, which is in the dev group.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[1] / "xlpy" / "schemas"
PAGE = Path(__file__).parents[1] / "docs" / "json.md"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
HEAD = """# JSON output

Made by `python -m tools.schemas docs` from `xlpy/schemas/`, which is installed with the package. Every command with
`--json` prints one object whose `schema` names one of these; a list is in `items`. Commands that report as they go
print one object a line. A key is only added within a version; a changed or removed one makes the next version. Sizes
and addresses are whole numbers of bytes.

"""


KNOWN = {  # what keys of these names mean wherever they stand
    "align": "bytes",
    "badblock_count": "sectors of 512 bytes",
    "base": "first host-physical address, bytes",
    "capacity": "bytes",
    "code": "stable code, see errors.md and acpi.md",
    "command": "as it was given",
    "detail": "further lines",
    "details": "further lines",
    "dev": "the kernel's name in Dom0",
    "device": "the kernel's name in Dom0",
    "domain": "name or domid, as it was given",
    "domid": "number of the domain",
    "dpa": "address inside the DIMM, bytes",
    "dry_run": "nothing was changed",
    "extents": "in logical order",
    "file": "path",
    "gpa": "guest-physical address, bytes",
    "handle": "NFIT device handle",
    "hint": "what to do next",
    "label_size": "bytes of label area",
    "length": "bytes",
    "logical": "offset in the file, bytes",
    "memory_mb": "MiB of RAM",
    "message": "one line: what was found and what is required",
    "mfn": "machine frame number",
    "name": "as the user gave it, or as the kernel has it",
    "offset": "bytes",
    "path": "in the emulated Dom0, or as it was given",
    "schema": "name of the schema",
    "severity": "error, warning or note",
    "size": "bytes",
    "slot": "number of the vNVDIMM, from 0",
    "spa": "host-physical address, bytes",
    "spec": "section of the specification",
    "state": "letters as in the table of `xlpy list`, or a word",
    "status": "exit status",
    "uuid": "RFC 9562, lower case",
    "vcpus": "number of vCPUs",
    "where": "line of a configuration, or place in a table",
}


def path_of(name: str) -> Path:
    """The file of ``xlpy.list/1`` and the like."""
    return FOLDER / f"{name.removeprefix('xlpy.').replace('/', '-')}.json"


def documents(folder: Path) -> dict[str, list[Any]]:
    """Collected documents by the name of their schema."""
    found: dict[str, list[Any]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            document = json.loads(line)
            found.setdefault(document["schema"], []).append(document)
    return found


def strict(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """A schema in which an object has no other keys than those it names."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        if schema.get("type") == "object" and "properties" in schema:
            schema["additionalProperties"] = False
    elif isinstance(schema, list):
        schema = [strict(one) for one in schema]
    return schema


def described(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """A schema in which keys that mean the same everywhere say what."""
    if isinstance(schema, list):
        return [described(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: described(value) for key, value in schema.items()}
    for key, value in made.get("properties", {}).items() if isinstance(made.get("properties"), dict) else ():
        if key in KNOWN and isinstance(value, dict) and "const" not in value:
            value.setdefault("description", KNOWN[key])
    return made


def title_of(name: str) -> str:
    """Which command prints it, and its line of the command tree."""
    from xlpy.cli.tree import TREE

    dashed = name.removeprefix("xlpy.").split("/")[0]
    for branch, entries in TREE.items():
        for command, (_, summary) in entries.items():
            path = f"{branch} {command}".strip()
            if path.replace(" ", "-") == dashed:
                return f"xlpy {path}: {summary}"
    return ""


def draft(name: str, examples: list[Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """A schema that fits all examples, and whatever fitted the one before."""
    from genson import SchemaBuilder

    builder = SchemaBuilder(schema_uri=None)
    if before:
        builder.add_schema({key: value for key, value in before.items() if key not in {"$schema", "$id"}})
    for example in examples:
        builder.add_object(example)
    made = described(strict(builder.to_schema()))
    made.pop("$schema", None)
    made["properties"] = {"schema": {"const": name}, **{k: v for k, v in made["properties"].items() if k != "schema"}}
    title = (before or {}).get("title") or title_of(name)
    return {
        "$schema": DIALECT,
        "$id": f"urn:xlpy:{name.removeprefix('xlpy.').replace('/', ':')}",
        "title": title,
        **made,
    }


def page() -> str:
    """The page of all schemas."""
    return HEAD + "\n".join(_section(json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json")))


def _section(schema: dict[str, Any]) -> str:
    name = schema["properties"]["schema"]["const"]
    lines = [f"## `{name}`", "", schema["title"], "", "| key | type | |", "|---|---|---|"]
    lines += [f"| `{path}` | {kind} | {text} |" for path, kind, text in _rows(schema, "")]
    return "\n".join(lines) + "\n"


def _rows(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for key, value in schema.get("properties", {}).items():
        if key == "schema" and not prefix:
            continue
        path = f"{prefix}{key}"
        optional = "" if key in schema.get("required", ()) else "may be absent"
        text = "; ".join(filter(None, [value.get("description", ""), optional]))
        yield path, _kind(value), text
        for one in value.get("anyOf", [value]):
            yield from _rows(one, f"{path}.")
            if isinstance(one.get("items"), dict):
                for item in one["items"].get("anyOf", [one["items"]]):
                    yield from _rows(item, f"{path}[].")


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kind = schema.get("type", "any value")
    if kind == "array" and isinstance(schema.get("items"), dict) and schema["items"]:
        return f"list of {_kind(schema['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def main(words: list[str]) -> None:
    """Draft schemas, or write the page."""
    if words == ["docs"]:
        PAGE.write_text(page())
    elif len(words) >= 2 and words[0] == "draft":
        for name, examples in sorted(documents(Path(words[1])).items()):
            path = path_of(name)
            before = json.loads(path.read_text()) if path.is_file() else None
            if before is None or "--widen" in words:
                made = draft(name, examples, before)
                if made != before:
                    path.write_text(json.dumps(made, indent=2) + "\n")
                    print(path.name)
    else:
        sys.exit(f"usage:{(__doc__ or '').split(chr(10), 2)[2]}")


if __name__ == "__main__":
    main(sys.argv[1:])
