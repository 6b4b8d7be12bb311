"""Devices with few settings: ``vtpm``, ``p9``, ``pvcalls``, ``channel``."""

from __future__ import annotations

import re

from xlpy.toolstack.config.cnumbers import BLANKS, i32, strtoul
from xlpy.toolstack.config.devices.spec import pieces, unknown
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.devices.spec import SpecPiece
    from xlpy.toolstack.config.reading.reader import Node, Reader
    from xlpy.toolstack.config.xlcfg import Text

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
VTPM_SETTINGS = ("backend", "uuid")
PVCALLS_SETTINGS = ("backend",)
P9_SETTINGS = ("tag", "path", "security_model", "backend")
P9_ALONE_SINCE = (4, 19)
P9_TYPES = ("qemu", "xen_9pfsd")
P9_NUMBERS = {"max-space": "max_space", "max-files": "max_files", "max-open-files": "max_open_files"}
P9_ALL = (*P9_SETTINGS, "type", *P9_NUMBERS, "auto-delete")
LOG_DIR = "/var/log/xen"
NO_CHANNEL_DEVID_SINCE = (4, 18)
CHANNEL_SETTINGS = ("backend", "name", "path", "connection")


def _settings(reader: Reader, text: Text, kind: str, known: tuple[str, ...]) -> list[SpecPiece]:
    """The settings of one specification; xl stops at the first piece without ``=``."""
    found = []
    for piece in pieces(text):
        if piece.value is None:
            reader.warn(reader.at(text, piece.at), f"{kind}: xl reads no further than {piece.text!r}")
            break
        if piece.key not in known:
            unknown(reader, text, piece, kind, known, fatal=True)
        found.append(piece)
    return found


def read_vtpms(reader: Reader) -> None:
    """``vtpm``."""
    vtpms: list[Node] = []
    for text in reader.texts("vtpm") or ():
        node: Node = {"devid": len(vtpms)}
        for piece in _settings(reader, text, "vtpm", VTPM_SETTINGS):
            if piece.key == "backend":
                node["backend_domname"] = piece.value
            elif piece.key == "uuid" and piece.value is not None:
                if _UUID.fullmatch(piece.value):
                    node["uuid"] = piece.value.lower()
                else:
                    reader.error(reader.at(text, piece.at), f"vtpm: not a UUID: {piece.value!r}")
        if "backend_domname" not in node:
            reader.error(text, "vtpm: no backend", "write backend=DOMAIN")
        vtpms.append(node)
    reader.put("vtpms", vtpms)


def read_p9s(reader: Reader) -> None:
    """``p9``. Before Xen 4.19 a specification takes over from the one before what it leaves out."""
    if reader.version >= P9_ALONE_SINCE:
        reader.put("p9s", [_p9(reader, text) for text in reader.texts("p9") or ()])
        return
    shares: list[Node] = []
    held: Node = {}
    for text in reader.texts("p9") or ():
        given = {piece.key: piece.value for piece in _settings(reader, text, "p9", P9_SETTINGS)}
        taken = [key for key in P9_SETTINGS if key in held and key not in given]
        if taken:
            reader.warn(text, f"p9: xl takes {', '.join(taken)} from the share before")
        held.update(given)
        missing = [key for key in P9_SETTINGS[:3] if key not in held]
        if missing:
            reader.error(text, f"p9: {', '.join(missing)} missing")
        node = {key: held.get(key) for key in P9_SETTINGS[:3]}
        if "backend" in held:
            node["backend_domname"] = held["backend"]
        shares.append(node)
    reader.put("p9s", shares)


def _p9(reader: Reader, text: Text) -> Node:
    """One share, as since Xen 4.19: nothing is required, blanks do not count."""
    node: Node = {}
    if not text:
        reader.error(text, "p9: nothing is said of it", "write tag=TAG,path=PATH,security_model=none", status=None)
    for piece in pieces(text):
        key, equals, value = (part.strip(BLANKS) for part in piece.text.partition("="))
        where = reader.at(text, piece.at)
        if not equals or not piece.text.partition("=")[2]:
            reader.error(where, f"p9: {piece.text!r} is not KEY=VALUE")
        elif key in P9_NUMBERS:
            number, end = strtoul(value, 0)
            if end == 0 or end != len(value):
                reader.error(where, f"p9: {key} is {value!r} and must be a number")
            node[P9_NUMBERS[key]] = i32(number)
        elif key == "auto-delete":
            node["auto_delete"] = strtoul(value, 0)[0] != 0
        elif key == "type":
            if value.lower() not in P9_TYPES:
                reader.error(where, f"p9: unknown type {value!r}", f"choose one of: {', '.join(P9_TYPES)}")
            node["type"] = value.lower()
        elif key in P9_SETTINGS:
            node["backend_domname" if key == "backend" else key] = value
        else:
            reader.error(where, f"p9: unknown setting {key!r}", reader.nearest(key, P9_ALL))
    if node.get("type") == "xen_9pfsd":
        node.setdefault("path", f"{LOG_DIR}/guests/{reader.get('c_info.name') or ''}")
    return node


def read_pvcalls(reader: Reader) -> None:
    """``pvcalls``."""
    interfaces: list[Node] = []
    for text in reader.texts("pvcalls") or ():
        node: Node = {"devid": len(interfaces)}
        for piece in _settings(reader, text, "pvcalls", PVCALLS_SETTINGS):
            node["backend_domname"] = piece.value
        interfaces.append(node)
    reader.put("pvcallsifs", interfaces)


def read_channels(reader: Reader) -> None:
    """``channel``: blanks around keys and values do not count."""
    channels: list[Node] = []
    for text in reader.texts("channel") or ():
        node: Node = {} if reader.version >= NO_CHANNEL_DEVID_SINCE else {"devid": len(channels)}
        given: dict[str, str] = {}
        parts = list(pieces(text))
        if not parts:
            reader.error(text, "channel: nothing is said of it", "write connection=pty", status=None)
        for piece in parts:
            words = [word for word in piece.text.split("=") if word]
            if len(words) < 2:
                reader.error(reader.at(text, piece.at), f"channel: {piece.text!r} is not KEY=VALUE")
                continue
            key = words[0].strip(BLANKS)
            value = words[1].strip(BLANKS)
            if key == "connection" and value not in ("pty", "socket"):
                reader.error(
                    reader.at(text, piece.at), f"channel: unknown connection {value!r}", "choose pty or socket"
                )
            if key in CHANNEL_SETTINGS:
                given[key] = value
            else:
                unknown(reader, text, piece._replace(key=key), "channel", CHANNEL_SETTINGS, fatal=False)
        node["backend_domname"], node["name"] = given.get("backend"), given.get("name")
        connection = given.get("connection")
        if connection == "pty":
            node["connection.pty"] = {}
        elif connection == "socket":
            node["connection.socket"] = {"path": given.get("path")}
            if "path" not in given:
                reader.error(text, "channel: a socket needs a path", "write path=PATH")
        elif connection is None:
            reader.error(text, "channel: no connection", "write connection=pty, or connection=socket and path=PATH")
        channels.append(node)
    reader.put("channels", channels)
