"""A row of the table of configuration keys."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.xen_version import numbers

# Types of values.
STRING, INTEGER, BOOLEAN, LIST, LISTS = "string", "integer", "boolean", "list of strings", "list of lists"
STRING_OR_LIST = "string or list"
STRING_OR_INTEGER = "string or integer"
BOOLEAN_OR_LIST = "boolean or list"

# Who may not read a key: Xen's own xl, this program.
XL, XLPY = "xl", "xlpy"

# Which guests a key is for.
HVM, PV, PVH = "hvm", "pv", "pvh"
ALL = (HVM, PV, PVH)
HARDWARE = (HVM, PVH)
DIRECT = (PV, PVH)


class Option(NamedTuple):
    """One key of xl.cfg.

    Args:
        key: its name.
        type: which values it takes.
        help: what it does.
        default: what holds without it.
        guests: the kinds of guest it is for; elsewhere it is ignored.
        path: where libxl keeps the value, when it goes there as it is.
        store: how libxl keeps a number (``i32``, ``u32``, ``u64``, ``kib`` for MiB kept as KiB).
        legal: the values it may have; enumerations compare without case.
        instead: for a deprecated key, what replaces it.
        fatal: what a value of the wrong type leads to, when not merely to a warning.
        since: the version of Xen that introduced the key, when 4.17 does not know it.
        unread_by: who does not read its value, whatever the version (``XL``, ``XLPY``).
    """

    key: str
    type: str
    help: str
    default: str = "none"
    guests: tuple[str, ...] = ALL
    path: str = ""
    store: str = ""
    legal: tuple[str, ...] = ()
    instead: str = ""
    fatal: str = ""
    since: str = ""
    unread_by: tuple[str, ...] = ()

    def known_to(self, xen: str) -> bool:
        """Whether a version of Xen knows the key."""
        return not self.since or numbers(self.since) <= numbers(xen)
