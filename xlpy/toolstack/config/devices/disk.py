"""``disk`` specifications (xl-disk-configuration(5)), read by the rules of libxlutil's scanner.

At each point the rule that matches the most text wins, of equals the first. Names win over positions because they are
listed first and match as much.
"""

from __future__ import annotations

import re

from xlpy.toolstack.config.cnumbers import atoi
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.toolstack.config.reading.reader import Node, Reader

FORMATS = ("raw", "qcow", "qcow2", "vhd", "empty", "qed")
BACKENDS = ("phy", "tap", "qdisk", "standalone")
SPECIFICATIONS = ("xen", "virtio")
# The manual has them, and the scanners that 4.17 and 4.18 were built with do not.
_LATER_FLAGS, LATER_SINCE = ("trusted", "untrusted"), (4, 19)
_ACCESS = {"r": 0, "ro": 0, "rw": 1, "w": 1, "": 1}


class BadDisk(Exception):
    """A disk specification that cannot be read: ``message``, and where it is (operand, index in it)."""

    def __init__(self, message: str, operand: int, index: int) -> None:
        super().__init__(message)
        self.message = message
        self.operand = operand
        self.index = index


def parse_disk(
    operands: Sequence[str], notes: list[tuple[int, str]] | None = None, xen: tuple[int, int] = (4, 17)
) -> Node:
    """Read a disk from one text or, as in ``block-attach``, several.

    Args:
        operands: the texts, all about one disk.
        notes: gets (index in the text, what may not be meant).
        xen: as which version of Xen.

    Returns:
        the disk in libxl's structure.

    Raises:
        BadDisk: the first error.
    """
    scan = _Scan(xen >= LATER_SINCE)
    for number, operand in enumerate(operands):
        scan.operand = number
        scan.read(operand)
    if notes is not None:
        notes += scan.notes
    return scan.finish()


class _Scan:
    """The disk so far, and what the rules need to remember."""

    def __init__(self, later: bool = False) -> None:
        self.later = later  # whether there are the settings that came after 4.17
        self.disk: dict[str, Any] = {"readwrite": 1}
        self.operand = 0
        self.index = 0
        self.prefixed = False  # a deprecated prefix settled format or script
        self.access_set = False
        self.notes: list[tuple[int, str]] = []

    def read(self, text: str) -> None:
        """Apply rule after rule."""
        self.index = 0
        lines = "\n" in text
        while self.index < len(text):
            taken, action, piece = 0, None, ""
            for end, rule, matched in _candidates(text, self.index, lines, self.later):
                if end > taken:
                    taken, action, piece = end, rule, matched
            if action is None:
                if self.index + 1 == len(text):
                    return  # a single stray character at the very end is dropped
                raise self.bad("bad disk syntax")
            action(self, piece)
            self.index += len(piece)

    def bad(self, message: str) -> BadDisk:
        """The error at this point."""
        return BadDisk(message, self.operand, self.index)

    def once(self, field: str, what: str, value: str) -> None:
        """Store a text that may be given once; an empty one does not count."""
        if self.disk.get(field):
            raise self.bad(f"{what} respecified")
        self.disk[field] = value

    def choose(self, field: str, value: str, names: tuple[str, ...], what: str) -> None:
        """Store one of some names; the same one may be given again."""
        if value not in names:
            raise self.bad(f"unknown value for {what}: {value!r}")
        if self.disk.get(field, value) != value:
            raise self.bad(f"{field} respecified")
        self.disk[field] = value

    def format(self, value: str) -> None:
        """Store the format; nothing is raw."""
        self.choose("format", value or "raw", FORMATS, "format")

    def access(self, value: str) -> None:
        """Store whether the guest may write."""
        if value not in _ACCESS:
            raise self.bad(f"unknown value for access: {value!r}")
        self.disk["readwrite"] = _ACCESS[value]

    def vdev_with_type(self, value: str) -> bool:
        """Store ``VDEV:cdrom`` or ``VDEV:disk``, if it is one."""
        vdev, colon, kind = value.rpartition(":")
        if not colon:
            return False
        self.once("vdev", "vdev", vdev)
        if kind not in ("cdrom", "disk"):
            raise self.bad(f"unknown deprecated type: {kind!r}")
        self.disk["is_cdrom"] = int(kind == "cdrom")
        return True

    def positional_piece(self, text: str) -> None:
        """Target, format, vdev, access: whichever of them is still missing."""
        value = text.removesuffix(",")
        disk = self.disk
        if value in _LATER_FLAGS and not self.later:
            self.notes.append((self.index, f"xl before 4.19 takes {value} for a target, format or vdev"))
        if disk.get("pdev_path") is None:
            self.once("pdev_path", "target", value)
        elif not self.prefixed and "format" not in disk:
            if not disk["pdev_path"] and self.vdev_with_type(value):
                disk["format"] = "empty"
            else:
                self.format(value)
        elif disk.get("vdev") is None:
            if not self.vdev_with_type(value):
                self.once("vdev", "vdev", value)
        elif not self.access_set:
            self.access_set = True
            self.access(value)
        else:
            raise self.bad("too many positional parameters")

    def finish(self) -> Node:
        """Fill in what follows from the rest, and check that nothing is missing."""
        disk = self.disk
        disk.setdefault("format", "raw")
        if disk.get("is_cdrom"):
            disk["removable"], disk["readwrite"] = 1, 0
            if not disk.get("pdev_path"):
                disk["format"] = "empty"
        self.index = 0
        if disk.get("vdev") is None:
            raise self.bad("no vdev specified")
        if disk.get("pdev_path") is None and not disk.get("removable"):
            raise self.bad("no target specified (and device not removable)")
        return disk


def _value(text: str) -> str:
    """What stands behind the ``=``, without the comma that ends it."""
    return text.removesuffix(",").partition("=")[2]


def _set(field: str, value: bool | int) -> Callable[[_Scan, str], None]:
    def action(scan: _Scan, _text: str) -> None:
        scan.disk[field] = value

    return action


def _text(field: str, what: str) -> Callable[[_Scan, str], None]:
    def action(scan: _Scan, text: str) -> None:
        scan.once(field, what, _value(text))

    return action


def _fail(message: str) -> Callable[[_Scan, str], None]:
    def action(scan: _Scan, text: str) -> None:
        raise scan.bad(f"{message}: {text.removesuffix(',')!r}")

    return action


def _devtype(scan: _Scan, text: str) -> None:
    kind = _value(text)
    if kind not in ("cdrom", "disk"):
        raise scan.bad(f"unknown value for devtype: {kind!r}")
    scan.disk["is_cdrom"] = int(kind == "cdrom")


def _port(scan: _Scan, text: str) -> None:
    scan.disk["colo_port"] = atoi(_value(text))
    if not scan.disk["colo_port"]:
        raise scan.bad("unknown value for colo-port")


def _format_prefix(scan: _Scan, text: str) -> None:
    scan.prefixed = True
    scan.format(text.removesuffix(":"))


def _script_prefix(scan: _Scan, text: str) -> None:
    scan.prefixed = True
    scan.once("script", "script", f"block-{text.removesuffix(':')}")


def _plain_prefix(scan: _Scan, _text: str) -> None:
    scan.prefixed = True


def _nothing(_scan: _Scan, _text: str) -> None:
    """Blanks before a setting."""


_FLAGS = {
    "cdrom": _set("is_cdrom", 1),
    "direct-io-safe": _set("direct_io_safe", True),
    "discard": _set("discard_enable", True),
    "no-discard": _set("discard_enable", False),
    "colo": _set("colo_enable", True),
    "no-colo": _set("colo_enable", False),
}
_LATER = {
    "trusted": _set("trusted", True),
    "untrusted": _set("trusted", False),
    "grant_usage=1": _set("grant_usage", True),
    "grant_usage=0": _set("grant_usage", False),
}
_VALUES: dict[str, Callable[[_Scan, str], None]] = {
    "format": lambda scan, text: scan.format(_value(text)),
    "devtype": _devtype,
    "access": lambda scan, text: scan.access(_value(text)),
    "backend": _text("backend_domname", "backend"),
    "backendtype": lambda scan, text: scan.choose("backend", _value(text), BACKENDS, "backendtype"),
    "specification": lambda scan, text: scan.choose("specification", _value(text), SPECIFICATIONS, "specification"),
    "vdev": _text("vdev", "vdev"),
    "script": _text("script", "script"),
    "colo-host": _text("colo_host", "colo-host"),
    "colo-port": _port,
    "colo-export": _text("colo_export", "colo-export"),
    "active-disk": _text("active_disk", "active-disk"),
    "hidden-disk": _text("hidden_disk", "hidden-disk"),
}
_PREFIXES = {
    **dict.fromkeys(("raw", "qcow", "qcow2", "vhd"), _format_prefix),
    **dict.fromkeys(("iscsi", "nbd", "enbd", "drbd"), _script_prefix),
    **dict.fromkeys(("tapdisk", "tap", "tap2", "aio", "ioemu", "file", "phy"), _plain_prefix),
}
SETTINGS = (*_VALUES, "target", *_FLAGS)
_LATER_WORD = re.compile(r"(?:un)?trusted|grant_usage=[01]")
_WORD = re.compile(r"[a-z][-a-z0-9]*")
_BLANKS = re.compile(r"[ \t\n]+")
_PREFIX = re.compile(r"([a-z][a-z0-9]*):")


def _candidates(
    text: str, at: int, lines: bool, later: bool
) -> Iterator[tuple[int, Callable[[_Scan, str], None], str]]:
    """The rules that match here, in order: (end of the match with what must follow it, what to do, the match).

    ``lines`` tells whether the text has line ends, beyond which some rules do not look; ``later`` whether the settings
    that came after 4.17 are known.
    """
    comma = text.find(",", at)
    piece_end = comma + 1 if comma >= 0 else len(text)
    first = text[at]
    blanks = first in " \t\n" and _BLANKS.match(text, at)
    if blanks:
        yield _line_end(text, blanks.end(), lines), _nothing, blanks[0]
    letter = "a" <= first <= "z"
    word = letter and _WORD.match(text, at)
    if word:
        name, after = word[0], word.end()
        if text.startswith("=", after):
            if name in _VALUES:
                yield piece_end, _VALUES[name], text[at:piece_end]
            elif name == "target":
                end = _line_end(text, at, lines)
                yield end, _text("pdev_path", "target"), text[at:end]
            if text[after + 1 : after + 2] not in ("", ","):
                end = after + 2 + text.startswith(",", after + 2)
                yield end, _fail("unknown parameter"), text[at:end]
        late = _LATER_WORD.match(text, at) if later else None
        if late:
            yield late.end() + text.startswith(",", late.end()), _LATER[late[0]], late[0]
        if name in _FLAGS:
            end = after + text.startswith(",", after)
            yield end, _FLAGS[name], text[at:end]
    prefix = letter and _PREFIX.match(text, at)
    if prefix:
        end = prefix.end()
        follows = text[end : end + 1]
        if prefix[1] in _PREFIXES:
            yield _line_end(text, end, lines), _PREFIXES[prefix[1]], prefix[0]
        elif follows.isascii() and follows.isalnum() and not follows.isupper():
            yield end, _fail("unknown deprecated disk prefix"), prefix[0]
        else:
            yield _line_end(text, end + 1, lines), _fail("unknown deprecated disk prefix"), prefix[0]
    equals = text.find("=", at, comma if comma >= 0 else len(text))
    if comma >= 0 and equals < 0:
        yield piece_end, _Scan.positional_piece, text[at:piece_end]
    elif equals != at:
        end = equals if equals > at else len(text)
        yield end, _Scan.positional_piece, text[at:end]


def _line_end(text: str, at: int, lines: bool) -> int:
    end = text.find("\n", at) if lines else -1
    return end if end >= 0 else len(text)


def read_disks(reader: Reader) -> None:
    """``disk``."""
    disks = []
    for text in reader.texts("disk") or ():
        notes: list[tuple[int, str]] = []
        try:
            disks.append(parse_disk([text], notes, reader.version))
        except BadDisk as bad:
            reader.error(reader.at(text, bad.index), f"disk: {bad.message}")
        for index, note in notes:
            reader.warn(reader.at(text, index), f"disk: {note}")
    reader.put("disks", disks)
