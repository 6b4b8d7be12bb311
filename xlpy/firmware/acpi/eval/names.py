"""Name paths (ACPI 6.5, 20.2.2), taken out of AML and resolved against a scope (5.3)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.records import NamedTuple

Absolute = tuple[str, ...]  # the segments of a full path; () is the root

_LEADS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"
_ROOT, _PARENT, _MULTI, _DUAL = 0x5C, 0x5E, 0x2F, 0x2E


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
    root = at < limit and data[at] == _ROOT
    at += root
    while not root and at < limit and data[at] == _PARENT:
        at += 1
    names = at
    lead = data[at] if at < limit else -1
    if lead == _MULTI:
        count = data[at + 1] if at + 1 < limit else 0
        at += 2
    else:
        count = {0: 0, _DUAL: 2}.get(lead, 1)
        at += lead in (0, _DUAL)
    end = at + 4 * count
    raw = data[start:end]
    path = _KNOWN.get(raw)
    if path is None or end > limit:
        words = [data[i : i + 4] for i in range(at, end, 4)]
        sound = all(word and word[0] in _LEADS and not word.translate(None, _CHARACTERS) for word in words)
        if end > limit or (lead == _MULTI and not count) or not sound:
            raise AmlError("AE_AML_BAD_NAME", f"no name, but {data[start:limit][:8].hex(' ') or 'the end'}")
        path = Path(root, 0 if root else names - start, tuple(word.decode() for word in words))
        if len(_KNOWN) < 4096:
            _KNOWN[raw] = path
    return path, end


def parse(text: str) -> Path:
    """A path as people write it, such as ``\\_SB.PCI0``; AmlError when it is not one."""
    root = text.startswith("\\")
    rest = text[1:] if root else text.lstrip("^")
    names = rest.split(".") if rest else []
    for name in names:
        known = 1 <= len(name) <= 4 and name.isascii() and not name.encode().translate(None, _CHARACTERS)
        if not known or name[0].isdigit():
            raise AmlError("AE_BAD_PATHNAME", f"not a name path: {text!r}")
    return Path(root, 0 if root else len(text) - len(rest), tuple(name.ljust(4, "_") for name in names))


def show(path: Absolute) -> str:
    """A full path as text: ``\\_SB.PCI0._HID``, without padding."""
    return "\\" + _join(path)


def _join(segments: tuple[str, ...]) -> str:
    return ".".join(segment.rstrip("_") or "_" for segment in segments)
