"""``vfb``, ``vkb`` and ``vdispl`` specifications."""

from __future__ import annotations

import re

from xlpy.toolstack.config.cnumbers import atoi, strtoul, u32
from xlpy.toolstack.config.devices.spec import pieces, unknown
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.devices.spec import SpecPiece
    from xlpy.toolstack.config.reading.reader import Node, Reader
    from xlpy.toolstack.config.xlcfg import Text

VFB_SETTINGS: dict[str, tuple[str, str]] = {
    "vnc": ("vnc", "enable"),
    "vnclisten": ("vnc", "listen"),
    "vncpasswd": ("vnc", "passwd"),
    "vncdisplay": ("vnc", "display"),
    "vncunused": ("vnc", "findunused"),
    "sdl": ("sdl", "enable"),
    "opengl": ("sdl", "opengl"),
    "display": ("sdl", "display"),
    "xauthority": ("sdl", "xauthority"),
    "keymap": ("", "keymap"),
}
_FLAGS = ("enable", "findunused", "opengl")
_VKB_FLAGS = (
    "feature-disable-keyboard",
    "feature-disable-pointer",
    "feature-abs-pointer",
    "feature-raw-pointer",
    "feature-multi-touch",
)
_TOUCH = ("multi-touch-width", "multi-touch-height", "multi-touch-num-contacts")
_VKB_NUMBERS = (*_TOUCH, "width", "height")
VKB_SETTINGS = ("backend", "backend-type", "unique-id", *_VKB_FLAGS, *_VKB_NUMBERS)
VKB_BACKENDS = ("qemu", "linux")
VDISPL_SETTINGS = ("backend", "be-alloc", "connectors")
_RESOLUTION = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)(?:x[ \t\n\v\f\r]*([+-]?[0-9]+))?")


def read_vfbs(reader: Reader) -> None:
    """``vfb``. Each frame buffer brings a keyboard."""
    vfbs: list[Node] = []
    for text in reader.texts("vfb") or ():
        node: Node = {"devid": len(vfbs), "vnc": {}, "sdl": {}}
        for piece in pieces(text):
            if piece.value is None:
                reader.warn(reader.at(text, piece.at), f"vfb: xl reads no further than {piece.text!r}")
                break
            if piece.key not in VFB_SETTINGS:
                unknown(reader, text, piece, "vfb", VFB_SETTINGS, fatal=False)
                continue
            part, field = VFB_SETTINGS[piece.key]
            value: object = piece.value
            if field in _FLAGS:
                value = atoi(piece.value) != 0
            elif (part, field) == ("vnc", "display"):
                value = atoi(piece.value)
            (node[part] if part else node)[field] = value
        vfbs.append(node)
    reader.put("vfbs", vfbs)
    reader.put("vkbs", [{"devid": devid} for devid in range(len(vfbs))])


def read_vkbs(reader: Reader) -> None:
    """``vkb``."""
    keyboards: list[Node] = reader.get("vkbs") or []
    for text in reader.texts("vkb") or ():
        node: Node = {"devid": len(keyboards)}
        for piece in pieces(text):
            _read_vkb(reader, text, piece, node)
        if node.get("backend_type") in (None, "unknown"):
            reader.error(text, "vkb: no backend-type", f"choose one of: {', '.join(VKB_BACKENDS)}")
        touch = any(node.get(name.replace("-", "_")) for name in _TOUCH)
        if node.get("feature_multi_touch") and not touch:
            reader.error(text, f"vkb: multi-touch needs {', '.join(_TOUCH)}")
        if touch:
            node["feature_multi_touch"] = True
        keyboards.append(node)
    reader.put("vkbs", keyboards)


def _read_vkb(reader: Reader, text: Text, piece: SpecPiece, node: Node) -> None:
    field = piece.key.replace("-", "_")
    if piece.value is None or piece.key not in VKB_SETTINGS:
        unknown(reader, text, piece, "vkb", VKB_SETTINGS, fatal=True)
    elif piece.key == "backend":
        node["backend_domname"] = piece.value
    elif piece.key == "backend-type":
        if piece.value.lower() in (*VKB_BACKENDS, "unknown"):
            node["backend_type"] = piece.value.lower()
        else:
            reader.error(
                reader.at(text, piece.at),
                f"vkb: unknown backend-type {piece.value!r}",
                f"choose one of: {', '.join(VKB_BACKENDS)}",
            )
    elif piece.key == "unique-id":
        node["unique_id"] = piece.value
    elif piece.key in _VKB_FLAGS:
        node[field] = strtoul(piece.value, 0)[0] != 0
    else:
        node[field] = u32(strtoul(piece.value, 0)[0])


def read_vdispls(reader: Reader) -> None:
    """``vdispl``."""
    displays: list[Node] = []
    for text in reader.texts("vdispl") or ():
        node: Node = {"devid": len(displays)}
        for piece in pieces(text):
            if piece.value is None or piece.key not in VDISPL_SETTINGS:
                unknown(reader, text, piece, "vdispl", VDISPL_SETTINGS, fatal=True)
            elif piece.key == "backend":
                node["backend_domname"] = piece.value
            elif piece.key == "be-alloc":
                node["be_alloc"] = strtoul(piece.value, 0)[0] != 0
            else:
                _read_connectors(reader, text, piece, node)
        if not node.get("connectors"):
            reader.error(text, "vdispl: no connector", "write connectors=ID:WIDTHxHEIGHT")
        displays.append(node)
    reader.put("vdispls", displays)


def _read_connectors(reader: Reader, text: Text, piece: SpecPiece, node: Node) -> None:
    """``ID:WIDTHxHEIGHT`` between semicolons. xl gives up at a resolution that is no number, but does not say so."""
    where = reader.at(text, piece.at)
    parts = [part for part in (piece.value or "").split(";") if part]
    node["connectors"] = connectors = [dict[str, object]() for _ in parts]
    for connector, part in zip(connectors, parts, strict=True):
        words = [word for word in part.split(":") if word]
        if len(words) < 2:
            reader.error(where, f"vdispl: {part!r} is not ID:WIDTHxHEIGHT", status=None)
            return
        connector["unique_id"] = words[0]
        size = _RESOLUTION.match(words[1])
        if size:
            connector["width"] = u32(strtoul(size[1])[0])
        if not size and words[1].strip(" \t\n\v\f\r"):
            reader.warn(where, f"vdispl: {words[1]!r} is not WIDTHxHEIGHT; xl reads no further connectors")
            return
        if not size or size[2] is None:
            reader.error(where, f"vdispl: {words[1]!r} is not WIDTHxHEIGHT")
            return
        connector["height"] = u32(strtoul(size[2])[0])
