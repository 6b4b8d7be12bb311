"""``vif`` specifications (xl-network-configuration(5))."""

from __future__ import annotations

import re

from xlpy.toolstack.config.cnumbers import UINT32_MAX, ULONG_MAX, i32, strtoul
from xlpy.toolstack.config.devices.spec import pieces, unknown
from xlpy.toolstack.config.libxl_json import NIC_COLO
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.devices.spec import SpecPiece
    from xlpy.toolstack.config.reading.reader import Node, Reader
    from xlpy.toolstack.config.xlcfg import Text

_TEXTS = {
    "bridge": "bridge",
    "netdev": "gatewaydev",
    "gatewaydev": "gatewaydev",
    "ip": "ip",
    "script": "script",
    "backend": "backend_domname",
    "vifname": "ifname",
    "model": "model",
    "forwarddev": "coloft_forwarddev",
    **{name: name for name in NIC_COLO if name != "coloft_forwarddev"},
}
_FLAGS = {"trusted": True, "untrusted": False}
VLAN_SINCE = (4, 19)
SETTINGS = ("type", "mac", "rate", "accel", "devid", "mtu", *_TEXTS, *_FLAGS)
_RATE = re.compile(r"([0-9]+)([GMK]?)([Bb])/s")
_INTERVAL = re.compile(r"([0-9]+)([mu]?)(s?)")
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(?:.[0-9a-fA-F]{1,2}){5}")
_MAC_HINT = "write 00:16:3e:xx:xx:xx"
NO_MAC = "00:00:00:00:00:00"
_SCALE = {"G": 10**9, "M": 10**6, "K": 10**3, "": 1}


class BadMac(Exception):
    """A hardware address that its specification ends too early."""


class BadRate(Exception):
    """A rate that cannot be read, which ends xl."""


def parse_rate(text: str) -> tuple[int, int]:
    """``RATE[@INTERVAL]`` such as ``10Mb/s@20ms``: (bytes for each interval, interval in microseconds).

    As in libxlutil a number with a leading zero is octal and ends at the first other digit, where the unit is looked
    for, so that there is none.

    Raises:
        BadRate: it has another form, is zero, or overflows.
    """
    speed, at, interval = text.partition("@")
    found = _RATE.fullmatch(speed)
    if not found:
        raise BadRate(f"{speed!r} is not a rate such as 10Mb/s or 1GB/s")
    number, end = strtoul(speed, 0)
    if not 0 < number <= UINT32_MAX:
        raise BadRate(f"rate {speed!r} is out of range")
    number *= _SCALE.get(speed[end], 1)
    if "b" in speed[end : end + 2]:
        number //= 8
    usecs = 50_000
    if at:
        found = _INTERVAL.fullmatch(interval)
        if not found:
            raise BadRate(f"{interval!r} is not an interval such as 20ms")
        usecs, end = strtoul(interval, 0)
        if not 0 < usecs <= UINT32_MAX:
            raise BadRate(f"interval {interval!r} is out of range")
        usecs *= {"m": 1000, "s": 10**6, "": 10**6}.get(interval[end : end + 1], 1)
        if usecs > UINT32_MAX:
            raise BadRate(f"interval {interval!r} is out of range")
    if number > ULONG_MAX // usecs:
        raise BadRate(f"rate {text!r} is out of range")
    return number * usecs // 10**6, usecs


def parse_mac(text: str, at: int = 0) -> list[int]:
    """Six hexadecimal numbers up to ff with any one character between them; fewer when something else comes.

    xl reads on behind the comma that ends a short address, and keeps what it read when it meets something else.

    Raises:
        BadMac: the text ends before the sixth number.
    """
    octets: list[int] = []
    for _ in range(6):
        if at > len(text):
            raise BadMac
        value, end = strtoul(text, 16, at)
        if end == at or value > 255:
            break
        octets.append(value)
        at = end + 1
    return octets


def read_nics(reader: Reader) -> None:
    """``vif``. A setting that xl cannot read is complained about and left out."""
    nics: list[Node] = []
    for text in reader.texts("vif") or ():
        nic: Node = {"devid": len(nics)}
        for piece in pieces(text):
            _read_piece(reader, text, piece, nic)
        nics.append(nic)
    reader.put("nics", nics)


def _read_piece(reader: Reader, text: Text, piece: SpecPiece, nic: Node) -> None:
    key, value = piece.key, piece.value

    def warn(message: str, hint: str | None = None) -> None:
        reader.warn(reader.at(text, piece.at), f"vif: {message}", hint)

    if value is None:
        if key in _FLAGS:
            nic["trusted"] = _FLAGS[key]
        else:
            unknown(reader, text, piece, "vif", SETTINGS, fatal=False)
    elif key == "vlan" and reader.version >= VLAN_SINCE:
        nic["vlan"] = value
    elif key in _TEXTS:
        nic[_TEXTS[key]] = value
        if key == "netdev":
            warn("netdev is deprecated", "write gatewaydev")
    elif key == "type":
        if value in ("vif", "ioemu"):
            nic["nictype"] = {"vif": "vif", "ioemu": "vif_ioemu"}[value]
        else:
            warn(f"unknown type {value!r}; xl ignores it", "choose vif or ioemu")
    elif key == "mac":
        try:
            octets = parse_mac(text, piece.at + len("mac="))
        except BadMac:
            reader.error(reader.at(text, piece.at), f"vif: {value!r} is not a MAC address", _MAC_HINT, status=None)
            return
        before = (nic.get("mac") or NO_MAC).split(":")
        mac = ":".join([f"{octet:02x}" for octet in octets] + before[len(octets) :])
        if not _MAC.fullmatch(value):
            warn(f"{value!r} is not a MAC address; xl makes {mac} of it", _MAC_HINT)
        nic["mac"] = mac if mac != NO_MAC else None
    elif key == "rate":
        try:
            nic["rate_bytes_per_interval"], nic["rate_interval_usecs"] = parse_rate(value)
        except BadRate as bad:
            reader.error(reader.at(text, piece.at), f"vif: {bad}")
    elif key in ("devid", "mtu"):
        number, end = strtoul(value)
        if end == 0 or number == ULONG_MAX:
            reader.error(reader.at(text, piece.at), f"vif: {key} is {value!r} and must be a number")
        nic[key] = i32(number)
    elif key == "accel":
        warn("accel is not supported; xl ignores it")
    else:
        unknown(reader, text, piece, "vif", SETTINGS, fatal=False)
