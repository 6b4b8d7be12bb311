"""``pci`` specifications (xl-pci-configuration(5)), by the rules of libxlutil."""

from __future__ import annotations

import re

from xlpy.toolstack.config.cnumbers import HEX_PATTERN, atoi
from xlpy.toolstack.config.xlcfg import Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Node, Reader

ALL_FUNCTIONS = 0xFFFFFFFF
# What sscanf's %x takes: a bare 0x is 0.
_COLONS = re.compile(r"[0-9a-fA-F:]*")
_SHORT = re.compile(rf"{HEX_PATTERN}:{HEX_PATTERN}\.")
_LONG = re.compile(rf"{HEX_PATTERN}:{HEX_PATTERN}:{HEX_PATTERN}\.")
_NUMBER = re.compile(HEX_PATTERN)
_FLAGS = ("msitranslate", "power_mgmt", "permissive", "seize")
SETTINGS = ("bdf", "vslot", "name", "rdm_policy", *_FLAGS)
POLICIES = ("strict", "relaxed", "invalid")


class BadPci(Exception):
    """A PCI specification that cannot be read: ``message``, where it is, and what xl exits with."""

    def __init__(self, message: str, index: int, status: int = 6) -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.status = status


def parse_pci(text: str, defaults: Node) -> Node:
    """Read ``[DDDD:]BB:DD.F[@VSLOT][,KEY=VALUE...]`` or ``KEY=VALUE,...``.

    Args:
        text: the specification.
        defaults: the flags and the policy that hold when it does not name them.

    Raises:
        BadPci: why it cannot be used.
    """
    device = dict(defaults)
    at = _bdf(text, 0, device)
    has_bdf = at > 0
    if has_bdf:
        if text.startswith("@", at):
            at = _vslot(text, at + 1, device)
        if text.startswith(",", at):
            at += 1
        elif at < len(text):
            raise BadPci(f"unexpected {text[at:]!r} behind the address", at)
    while at < len(text):
        equals = text.find("=", at)
        if equals < 0:
            raise BadPci(f"{text[at:]!r} is not KEY=VALUE", at)
        key, end = text[at:equals], text.find(",", equals)
        end = end if end >= 0 else len(text)
        value = text[equals + 1 : end]
        if key == "bdf":
            if not _bdf(value, 0, device):
                raise BadPci(f"{value!r} is not an address such as 0000:00:1b.0", at)
            has_bdf = True
        elif key == "vslot":
            _vslot(value, 0, device)
        elif key in _FLAGS:
            device[key] = bool(atoi(value))
        elif key == "rdm_policy":
            if value.lower() not in POLICIES:
                raise BadPci(f"unknown rdm_policy {value!r}", at, status=3)
            device[key] = value.lower()
        elif key == "name":
            device[key] = value
        else:
            raise BadPci(f"unknown setting {key!r}", at)
        at = min(end + 1, len(text))
    if has_bdf == ("name" in device):
        raise BadPci("it takes either an address or a name", 0)
    return device


def _hex(text: str) -> int:
    value = int(f"{text}0" if text[-1] in "xX" else text, 16) if len(text) < 30 else 1 << 64
    return min(value, 0xFFFFFFFF) if value >= 0 else value & 0xFFFFFFFF


def _bdf(text: str, at: int, device: Node) -> int:
    """Read an address; return the offset behind it, or 0 when there is none."""
    colons = _COLONS.match(text, at)
    count = colons[0].count(":") if colons else 0
    found = {1: _SHORT, 2: _LONG}[count].match(text, at) if count in (1, 2) else None
    if not found:
        return 0
    domain, bus, slot = (0, 0, 0, *map(_hex, found.groups()))[-3:]
    if domain > 0xFFFF or bus > 0xFF or slot > 0x1F:
        return 0
    at = found.end()
    if text.startswith("*", at):
        function, mask = 0, ALL_FUNCTIONS
        at += 1
    else:
        number = _NUMBER.match(text, at)
        if not number or _hex(number[1]) > 7:
            return 0
        function, mask = _hex(number[1]), 1
        at = number.end()
    device.update(domain=domain, bus=bus, dev=slot, func=function, vfunc_mask=mask)
    return at


def _vslot(text: str, at: int, device: Node) -> int:
    number = _NUMBER.match(text, at)
    if not number or _hex(number[1]) > 0x1F:
        raise BadPci("vslot must be a hexadecimal number up to 1f", at)
    device["vdevfn"] = _hex(number[1]) << 3
    return number.end()


def read_pci(reader: Reader) -> None:
    """``pci``, with the settings that hold for all of them."""
    defaults: Node = {}
    for flag in _FLAGS:
        value = reader.integer(f"pci_{flag}")
        defaults[flag] = bool(value or 0)
    # libxl prepares the policy for HVM guests only; for others the memory is zero, which means strict.
    if reader.type != "hvm":
        defaults["rdm_policy"] = "strict"
    devices = []
    for text in reader.texts("pci") or ():
        try:
            devices.append(parse_pci(text, defaults))
        except BadPci as bad:
            reader.error(reader.at(text, bad.index), f"pci: {bad.message}", status=bad.status)
            return
    reader.put("pcidevs", devices)
    if devices and reader.type == "pv":
        reader.put("b_info.u.e820_host", True)


def read_dtdevs(reader: Reader) -> None:
    """``dtdev``."""
    reader.put("dtdevs", [{"path": str(text)} for text in reader.texts("dtdev") or () if isinstance(text, Text)])
