"""docs/machine.md, made from how machine.yaml is read: ``python -m tools.machine`` writes it anew.

Types, limits and defaults are those of the look-ups themselves, which are watched while a description is read that has
every key once; meanings and examples stand in ``xlpy.hw.keys``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xlpy.addr import format_size
from xlpy.hw import describe, fields
from xlpy.hw.keys import EXAMPLE, KEYS, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[1] / "docs" / "machine.md"
OPEN = {"size": 1 << 52, "number": fields.U32}  # the limits that stand for none
TYPES = {
    "word": "text",
    "name": "name",
    "flag": "true, false",
    "section": "mapping",
    "sections": "list of mappings",
}


class Look(NamedTuple):
    """One look-up of a key. kind: of the method; default: None for a key that is required."""

    path: str
    kind: str
    default: Any
    options: dict[str, Any]


def looks() -> dict[str, Look]:
    """Every key that is looked for, by its path: ``dimms[].health.spares``."""
    found: dict[str, Look] = {}

    def watch(kind: str) -> Callable[..., Any]:
        inner = getattr(fields.Section, kind)

        def outer(self: fields.Section, key: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - of any method
            path = re.sub(r"\[\d+\]", "[]", f"{self.path}.{key}".lstrip("."))
            default = args[0] if args and kind not in ("section", "sections") else options.pop("default", None)
            found.setdefault(path, Look(path, kind, default, options))
            return inner(self, key, *args, **options)

        return outer

    kinds = ("name", "size", "number", "word", "flag", "words", "section", "sections")
    kept = {kind: getattr(fields.Section, kind) for kind in kinds}
    try:
        for kind in kinds:
            setattr(fields.Section, kind, watch(kind))
        describe.parse_machine(EXAMPLE, "example")
    finally:
        for kind, method in kept.items():
            setattr(fields.Section, kind, method)
    return found


XFS = """\
A `filesystem` of `type: xfs` is made by mkfs.xfs (package xfsprogs), without root and without mounting: 4 KiB blocks,
no reflink, an internal log of 64 MiB, files on multiples of 2 MiB of the device. `configs/machines/xfs.yaml` has one.

- The device has at least 300 MiB; newer mkfs.xfs make none below.
- Files are `written` or `unwritten`, with or without `content`; mkfs.xfs makes none that are `sparse` or `fragmented`.
  Names have no spaces and do not start with `$` or `:`, as protofiles want it. `align` can be 4K or 2M; for 2M,
  partitions start on multiples of 2M.
- Domains can have the files. `pmem mkfile`, `pmem prepare` (of a file that is not all written), `host event`
  and whatever else would change metadata are refused: `XLPY-XFS-READ-ONLY`.
- While a domain has a file, that is in the host's records only: the immutable flag, which a real host would set, is
  left alone on the media, since nothing else changes them either. The extents are compared with the record as on ext4.
- Of media from elsewhere, version 5 file systems are read, with extents in the inode or in a tree, after a clean
  unmount. An old format, reflink, a realtime section, an external log and blocks or directory blocks of other sizes
  than 4096 bytes are refused. So is a file with extents on group headers, on the log, on inodes, or on blocks that are
  free; that two files have the same blocks is not seen: xfs_repair -n sees it.
- The time stamps are those of the clock, unless mkfs.xfs follows `SOURCE_DATE_EPOCH`; 6.1.0 does not.
"""


def page() -> str:
    """The whole page."""
    seen = looks()
    parts = [
        "# The machine description\n",
        "`machine.yaml` says what the emulated host is: `xlpy host init --machine FILE`. Sizes and addresses\n"
        "are bytes: `4096`, `0x1000`, or with a binary unit, `64K`, `16M`, `1G`, `6T`. `host plug` takes a part\n"
        "of such a file: `dimms`, `sets` and `namespaces`; a DIMM may have `media` there as well, the folder\n"
        "that `host unplug` made of it. `python -m tools.machine` makes this page from the code that reads\n"
        "the file.\n",
    ]
    for prefix, title in SECTIONS.items():
        rows = [one for path, one in seen.items() if path.rpartition(".")[0] == prefix]
        parts.append(f"## {title}\n" if prefix else "## The machine\n")
        parts += ["| key | type | default | unit | meaning | example |", "|---|---|---|---|---|---|"]
        parts += [_row(one) for one in rows]
        parts.append("")
    parts += ["## XFS\n", XFS]
    parts += ["## Everything at once\n", "```yaml", EXAMPLE.strip("\n"), "```", ""]
    return "\n".join(parts)


def _row(one: Look) -> str:
    key = KEYS[one.path]
    name = one.path.rpartition(".")[2]
    cells = (f"`{name}`", _type(one), key.default or _default(one), key.unit or _unit(one), key.meaning)
    return f"| {' | '.join(cells)} | `{key.example}` |"


def _type(one: Look) -> str:
    options = one.options
    if one.kind == "word" and options.get("choices"):
        words = [f"`{word}`" if word else "empty" for word in options["choices"]]
        return "one of " + ", ".join(words) if one.path not in ("namespaces[].region",) else "name of a set"
    if one.kind == "words":
        choices = options.get("choices") if "sets" not in one.path else None
        return "list of " + (", ".join(f"`{word}`" for word in choices) if choices else "words")
    if one.kind in ("size", "number"):
        least, most = options.get("least", 0), options.get("most", OPEN[one.kind])
        show = format_size if one.kind == "size" else str
        limits = f" from {show(least)}" if least else ""
        limits += f" up to {show(most)}" if most != OPEN[one.kind] else ""
        unit = options.get("unit", 1)
        limits += f", in {format_size(unit)}" if unit > 1 else ""
        return ("size" if one.kind == "size" else "integer") + limits
    return TYPES[one.kind]


def _default(one: Look) -> str:
    value = one.default
    if one.kind in ("section", "sections"):
        return "none"
    if value is None:
        return "required"
    if value == () or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(value)}]`"
    return f"`{format_size(value)}`" if one.kind == "size" and value else f"`{value}`"


def _unit(one: Look) -> str:
    return "bytes" if one.kind == "size" else "-"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
