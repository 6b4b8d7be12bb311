"""The structures of an NFIT one by one: a broken one is reported, and does not hide the others."""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.firmware.acpi import nfit
from xlpy.firmware.acpi.lint import nfit_links
from xlpy.firmware.acpi.lint.findings import Finding, finding
from xlpy.firmware.acpi.lint.structures import Reserved, Structure, reserved, walk
from xlpy.firmware.acpi.nfit_format import FORMS, parse_structures
from xlpy.firmware.acpi.nfit_places import FIRST
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SPA, _MAP, _INTERLEAVE, _SMBIOS, _CONTROL, _WINDOW, _HINTS, _CAPABILITIES = range(8)
_NAMES = (
    "an SPA range",
    "a region mapping",
    "an interleave table",
    "an SMBIOS structure",
    "a control region",
    "a data window region",
    "flush hints",
    "platform capabilities",
)
# What cannot be told when structures at the end of the table could not be reached
_NEED_ALL = ("nfit-link", "nfit-range-size", "nfit-ways", "nfit-interleave", "nfit-flush-hint")
_FIXED = {_MAP: 48, _WINDOW: 40, _CAPABILITIES: 16}
_RESERVED = {
    _SPA: (Reserved("flags", 6, 2, 0b111), Reserved("the reserved field", 8, 4)),
    _MAP: (Reserved("flags", 44, 2, 0b1111111), Reserved("the reserved field", 46, 2)),
    _INTERLEAVE: (Reserved("the reserved field", 6, 2),),
    _SMBIOS: (Reserved("the reserved field", 4, 4),),
    _CONTROL: (
        Reserved("valid fields", 18, 1, 1),
        Reserved("the first reserved field", 22, 2),
        Reserved("flags", 72, 2, 1),
        Reserved("the second reserved field", 74, 6),
    ),
    _HINTS: (Reserved("the reserved field", 10, 6),),
    _CAPABILITIES: (
        Reserved("the first reserved field", 5, 3),
        Reserved("capabilities", 8, 4, 0b111),
        Reserved("the second reserved field", 12, 4),
    ),
}


def check(name: str, data: bytes, nodes: Collection[int] | None = None) -> list[Finding]:
    """Everything about one NFIT.

    Args:
        name: of the table.
        data: the whole table.
        nodes: the proximity domains of the SRAT; None when nothing is known of them.
    """
    structures, found = walk(name, "nfit-structure", data, FIRST, 2)
    unseen = _NEED_ALL if found else ()
    if any(data[36:40]):
        found.append(finding("reserved-bits", name, 36, "the reserved field behind the header is not 0"))
    whole: list[tuple[int, nfit.Structure]] = []
    lost: set[tuple[type, int]] = set()
    for one in structures:
        message = _misfit(one)
        if message is None:
            whole.append((one.at, parse_structures(one.data, one.at, name)[0]))
            continue
        found.append(finding("nfit-structure", name, one.at + 2, message))
        if one.type < len(FORMS):
            lost.add((FORMS[one.type][0], one.number(4, 2)))
            whole += _prefix(one)
    for at, code, message in nfit_links.problems(whole, lost, nodes):
        if code not in unseen:
            found.append(finding(code, name, at, message))
    return found + reserved(name, structures, _RESERVED)


def _misfit(one: Structure) -> str | None:
    """Why the length of a structure is not that of its type and content; None when it is."""
    has, kind = len(one.data), one.type
    if kind >= len(FORMS):
        return None
    what = f"{_NAMES[kind]} has {has} bytes"
    if kind in _FIXED:
        wanted = _FIXED[kind]
        return None if has == wanted else f"{what}, {wanted} are required"
    if kind == _SPA:
        cookie = bool(one.number(6, 2) & nfit.COOKIE_VALID)
        wanted = 64 if cookie else 56
        if has == wanted:
            return None
        flag = "with" if cookie else "without"
        return f"{what}; {flag} the flag for a location cookie (bit 2 of its flags) {wanted} are required"
    if kind == _CONTROL:
        windows = one.number(30, 2)
        wanted = 80
        if has == wanted or (has == 32 and not windows):
            return None
        return f"{what}; {f'with {windows} block control windows 80' if windows else '80, or 32,'} are required"
    if kind == _SMBIOS:
        return None if has >= 8 else f"{what}, at least 8 are required"
    head, size, place = (16, 4, 8) if kind == _INTERLEAVE else (16, 8, 8)
    count = one.number(place, 4 if kind == _INTERLEAVE else 2)
    wanted = head + size * count
    lines = "lines" if kind == _INTERLEAVE else "addresses"
    return None if has == wanted else f"{what}, {wanted} are required for the {count} {lines} that it claims"


def _prefix(one: Structure) -> list[tuple[int, nfit.Structure]]:
    """What a structure of another length says all the same: an SPA range, in its first 56 bytes."""
    if one.type != _SPA or len(one.data) < 56:
        return []
    fixed = bytearray(one.data[:56])
    fixed[2:4] = (56).to_bytes(2, "little")
    fixed[6] &= ~nfit.COOKIE_VALID
    try:
        return [(one.at, parse_structures(bytes(fixed))[0])]
    except FormatError:
        return []
