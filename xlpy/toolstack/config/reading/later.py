"""Keys introduced in Xen 4.18 and later: ``smbios``, ``virtio``, ``llc_colors``, ``sve``."""

from __future__ import annotations

import re

from xlpy.toolstack.config.cnumbers import strtoul, u32
from xlpy.toolstack.config.devices.spec import pieces
from xlpy.toolstack.config.options.platform import SMBIOS_KEYS
from xlpy.toolstack.config.xlcfg import Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Node, Reader

OEM_MAX = 99  # strings
SVE_LENGTHS = ("hw", "disabled", *map(str, range(128, 2049, 128)))
VIRTIO_SETTINGS = ("backend", "type", "transport", "grant_usage")
_COLOURS = re.compile(r"\s*([0-9]+)(?:-\s*([0-9]+))?")
_MANY = 1 << 16  # colours; no cache has as many, and xl would list them one by one


def read_smbios(reader: Reader) -> None:
    """``smbios``: strings for the guest's SMBIOS tables (HVM)."""
    if reader.type != "hvm":
        return
    items = reader.items("smbios")
    if items is None:
        reader.error("smbios", "smbios must be a list", 'write smbios = [ "system_serial_number=42" ]')
        return
    strings: list[Node] = []
    oem = 0
    for item in items:
        if not isinstance(item, Text):
            reader.error(item, "smbios: a list inside the list")
            continue
        key, equals, value = item.partition("=")
        if not equals or not value:
            reader.error(item, f"smbios: {str(item)!r} is not KEY=VALUE", "the value may not be empty")
        elif key.lower() not in SMBIOS_KEYS:
            reader.error(item, f"smbios: there is no string {key!r}", reader.nearest(key.lower(), SMBIOS_KEYS))
        else:
            oem += key.lower() == "oem"
            if oem > OEM_MAX:
                reader.error(item, f"smbios: there are at most {OEM_MAX} oem strings")
                break
            strings.append({"key": key.lower(), "value": value})
    reader.put("b_info.u.smbios", strings)


def read_llc_colors(reader: Reader) -> None:
    """``llc_colors``: cache colours, each N or N-M; what follows the numbers is not looked at, as in xl."""
    colours: list[int] = []
    for item in reader.items("llc_colors") or ():
        found = _COLOURS.match(item) if isinstance(item, Text) else None
        if found is None:
            reader.error(item, "llc_colors: a colour is required, or a range of them", 'write llc_colors = [ "0-3" ]')
            return
        first = u32(int(found[1]))
        last = u32(int(found[2] or found[1]))
        if last < first:
            reader.error(item, f"llc_colors: {first} is greater than {last}", status=1)
            return
        if last - first >= _MANY:
            reader.error(item, f"llc_colors: {last - first + 1} colours", "no cache has as many", status=None)
            return
        colours += range(first, last + 1)
    if colours:
        reader.put("b_info.llc_colors", colours)


def read_sve(reader: Reader) -> None:
    """``sve``: the vector length of an Arm guest, kept on every machine."""
    text = reader.string("sve", quiet=True)
    if text is None:
        return
    if text.lower() in SVE_LENGTHS:
        reader.put("b_info.arch_arm.sve_vl", text.lower())
    else:
        reader.error(text, f"sve: {str(text)!r} is not known", "choose hw, disabled, or 128 to 2048 in steps of 128")


def read_virtios(reader: Reader) -> None:
    """``virtio``; a type that begins with ``virtio`` holds a comma."""
    devices: list[Node] = []
    for text in reader.texts("virtio") or ():
        node: Node = {"devid": len(devices)}
        parts = iter(pieces(text))
        for piece in parts:
            key, value = piece.key, piece.value or ""
            if piece.value is None or key not in VIRTIO_SETTINGS:
                reader.error(reader.at(text, piece.at), f"virtio: unknown setting {piece.text!r}")
                continue
            if key == "type" and value.startswith("virtio"):
                behind = next(parts, None)
                if behind is None:
                    reader.error(text, "virtio: a type such as virtio,device22 has two parts", status=None)
                    continue
                value = f"{value},{behind.text}"
            if key == "transport" and value.lower() not in ("mmio", "unknown"):
                reader.error(reader.at(text, piece.at), f"virtio: unknown transport {value!r}", "choose mmio")
            if key == "grant_usage":
                node[key] = strtoul(value, 0)[0] != 0
            else:
                node[{"backend": "backend_domname"}.get(key, key)] = value.lower() if key == "transport" else value
        devices.append(node)
    reader.put("virtios", devices)
