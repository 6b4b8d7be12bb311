"""``usbctrl`` and ``usbdev`` specifications."""

from __future__ import annotations

from xlpy.toolstack.config.cnumbers import atoi, strtoul
from xlpy.toolstack.config.devices.spec import pieces, unknown
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Node, Reader

CONTROLLER_TYPES = ("auto", "pv", "devicemodel", "qusb")
DEVICE_TYPES = ("hostdev",)
CONTROLLER_SETTINGS = ("type", "version", "ports")
DEVICE_SETTINGS = ("type", "hostbus", "hostaddr", "controller", "port")


def read_usbctrls(reader: Reader) -> None:
    """``usbctrl``."""
    controllers: list[Node] = []
    for text in reader.texts("usbctrl") or ():
        node: Node = {"devid": len(controllers)}
        for piece in pieces(text):
            if piece.value is None or piece.key not in CONTROLLER_SETTINGS:
                unknown(reader, text, piece, "usbctrl", CONTROLLER_SETTINGS, fatal=True)
            elif piece.key != "type":
                node[piece.key] = atoi(piece.value)
            elif piece.value.lower() in CONTROLLER_TYPES:
                node["type"] = piece.value.lower()
            else:
                reader.error(
                    reader.at(text, piece.at),
                    f"usbctrl: unknown type {piece.value!r}",
                    f"choose one of: {', '.join(CONTROLLER_TYPES)}",
                )
        controllers.append(node)
    reader.put("usbctrls", controllers)


def read_usbdevs(reader: Reader) -> None:
    """``usbdev``. Without ``type=hostdev`` the bus and address do not appear anywhere."""
    devices: list[Node] = []
    for text in reader.texts("usbdev") or ():
        node: Node = {}
        host: Node = {}
        for piece in pieces(text):
            if piece.value is None or piece.key not in DEVICE_SETTINGS:
                unknown(reader, text, piece, "usbdev", DEVICE_SETTINGS, fatal=True)
            elif piece.key == "controller":
                node["ctrl"] = atoi(piece.value)
            elif piece.key == "port":
                node["port"] = atoi(piece.value)
            elif piece.key != "type":
                host[piece.key] = strtoul(piece.value, 0)[0] & 0xFF
            elif piece.value.lower() in DEVICE_TYPES:
                node["type.hostdev"] = {}
            else:
                reader.error(
                    reader.at(text, piece.at), f"usbdev: unknown type {piece.value!r}", "the only one is hostdev"
                )
        if "type.hostdev" in node:
            node["type.hostdev"] = {name: host[name] for name in ("hostbus", "hostaddr") if host.get(name)}
        devices.append(node)
    reader.put("usbdevs", devices)
