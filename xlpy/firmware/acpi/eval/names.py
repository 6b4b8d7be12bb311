"""Name paths (ACPI 6.5, 20.2.2), taken out of AML and resolved against a scope (5.3)."""

from __future__ import annotations

import re

from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.records import NamedTuple

Absolute = tuple[str, ...]  # the segments of a full path; () is the root

_PREFIX = re.compile(rb"\\|\^*")
_SEGMENTS = re.compile(rb"(?:[A-Z_][A-Z0-9_]{3})*")
_TEXT = re.compile(r"(\\|\^*)((?:[A-Z_][A-Z0-9_]{0,3})(?:\.[A-Z_][A-Z0-9_]{0,3})*)?")


class Path(NamedTuple):
    """A path as written: from the root, from ``up`` scopes above the current one, or to be searched for."""

    root: bool
    up: int
    segments: tuple[str, ...]

    def __str__(self) -> str:
        return "\\" * self.root + "^" * self.up + _join(self.segments)

    def under(self, scope: Absolute) -> Absolute | None:
        """The full path of something new with this name; None when it leads above the root."""
        if self.root:
            return self.segments
        if not self.up:
            return scope + self.segments
        return scope[: -self.up] + self.segments if self.up <= len(scope) else None

    def candidates(self, scope: Absolute) -> list[Absolute]:
        """Where to look, in order: a lone segment is searched for in the scope and all scopes around it (5.3)."""
        if self.root or self.up or len(self.segments) != 1:
            full = self.under(scope)
            return [] if full is None else [full]
        return [scope[:depth] + self.segments for depth in range(len(scope), -1, -1)]


_KNOWN: dict[bytes, Path] = {}


def decode(data: bytes, at: int, limit: int) -> tuple[Path, int]:
    """The NameString at ``at``, and where it ends; an empty path is the NullName."""
    if at + 4 <= limit and (plain := _KNOWN.get(data[at : at + 4])):  # most are: four bytes are just one segment
        return plain, at + 4
    start = at
    match = _PREFIX.match(data, at, limit)
    at = match.end() if match else at
    lead = data[at] if at < limit else -1
    if lead == 0x2F:
        count = data[at + 1] if at + 1 < limit else 0
        at += 2
    else:
        count = {0: 0, 0x2E: 2}.get(lead, 1)
        at += lead in (0, 0x2E)
    end = at + 4 * count
    raw = data[start:end]
    path = _KNOWN.get(raw)
    if path is None or end > limit:
        segments = _SEGMENTS.match(data, at, min(end, limit))
        if end > limit or (lead == 0x2F and not count) or not segments or segments.end() != end:
            raise AmlError("AE_AML_BAD_NAME", f"no name, but {data[start:limit][:8].hex(' ') or 'the end'}")
        words = tuple(data[i : i + 4].decode() for i in range(at, end, 4))
        prefix = data[start : match.end() if match else start]
        path = Path(prefix == b"\\", prefix.count(b"^"), words)
        if len(_KNOWN) < 4096:
            _KNOWN[raw] = path
    return path, end


def parse(text: str) -> Path:
    """A path as people write it, such as ``\\_SB.PCI0``; AmlError when it is not one."""
    match = _TEXT.fullmatch(text)
    if not match:
        raise AmlError("AE_BAD_PATHNAME", f"not a name path: {text!r}")
    prefix, names = match[1], match[2]
    segments = tuple(name.ljust(4, "_") for name in names.split(".")) if names else ()
    return Path(prefix == "\\", prefix.count("^"), segments)


def show(path: Absolute) -> str:
    """A full path as text: ``\\_SB.PCI0._HID``, without padding."""
    return "\\" + _join(path)


def _join(segments: tuple[str, ...]) -> str:
    return ".".join(segment.rstrip("_") or "_" for segment in segments)
