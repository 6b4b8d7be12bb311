"""``vnvdimm`` entries: the backings of virtual NVDIMMs."""

from __future__ import annotations

from xlpy.addr import GIB, KIB, PAGE, parse_size
from xlpy.errors import UsageError
from xlpy.records import NamedTuple
from xlpy.toolstack.config.xlcfg import Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from xlpy.toolstack.config.reading.reader import Reader
    from xlpy.toolstack.config.xlcfg import Position

KEYS = ("file", "label_size", "label_file", "unarmed", "mode", "node")
MODES = ("rw", "ro")
LABEL_DEFAULT = LABEL_LEAST = 128 * KIB  # UEFI 2.7, 13.19.1: smaller label areas break readers
LABEL_MOST = GIB
NODES_MOST = 256  # a processor's oldest affinity structure has one byte for the node


class VnvdimmEntry(NamedTuple):
    """One virtual NVDIMM.

    Args:
        file: a pmem device such as ``/dev/pmem0``, or a file on a DAX file system.
        label_size: bytes of label area, kept outside the data; 0 for none.
        unarmed: whether the guest is told that writes may not last.
        where: the entry in the configuration, or None when it came otherwise.
        label_file: a file or device of its own that holds the label area on a stock Xen (``xlpy export``); empty: none.
        read_only: the guest may only read it (``mode=ro``), and is told that the device is not armed.
        node: the guest's NUMA node that it belongs to.
    """

    file: str
    label_size: int = LABEL_DEFAULT
    unarmed: bool = False
    where: Position | None = None
    label_file: str = ""
    read_only: bool = False
    node: int = 0

    def to_json(self) -> dict[str, Any]:
        """The entry as the JSON of a configuration shows it."""
        shown: dict[str, Any] = {"file": self.file, "label_size": self.label_size}
        if self.label_file:
            shown["label_file"] = self.label_file
        if self.unarmed:
            shown["unarmed"] = True
        if self.read_only:
            shown["mode"] = "ro"
        if self.node:
            shown["node"] = self.node
        return shown


def read_vnvdimm(reader: Reader, text: Text) -> VnvdimmEntry | None:
    """Read ``file=PATH[,label_size=SIZE][,label_file=PATH][,unarmed=0|1][,mode=rw|ro][,node=N]``.

    The first part may be a path alone. Whether there is such a node is a matter of the domain's vnuma.
    """
    found: dict[str, str] = {}
    index = 0
    good = True
    for number, part in enumerate(text.split(",")):
        start = index + len(part) - len(part.lstrip(" "))
        index += len(part) + 1
        part = part.strip(" ")
        key, equals, value = part.partition("=")
        if part.startswith("/") and number == 0:
            key, value = "file", part
        elif not equals or key not in KEYS:
            reader.error(reader.at(text, start), f"vnvdimm: unknown setting {key!r}", reader.nearest(key, KEYS))
            good = False
            continue
        if key in found:
            reader.error(reader.at(text, start), f"vnvdimm: {key} is given twice")
            good = False
        found[key] = value
    where = reader.at(text, 0)
    if not found.get("file"):
        if good:
            reader.error(where, "vnvdimm: no file", "write file=/dev/pmem0, or file=/mnt/pmem0/PATH")
        return None
    size = 0
    try:
        size = parse_size(found.get("label_size", LABEL_DEFAULT))
        if size and (size % PAGE or not LABEL_LEAST <= size <= LABEL_MOST):
            raise UsageError(
                f"{size} bytes; 0, or a multiple of 4 KiB from 128 KiB to 1 GiB is required",
                hint="leave label_size out, or write label_size=128K",
            )
    except UsageError as error:
        reader.error(where, f"vnvdimm: label_size: {error.message}", error.hint)
        good = False
    unarmed = found.get("unarmed", "0")
    if unarmed not in ("0", "1"):
        reader.error(where, f"vnvdimm: unarmed is {unarmed!r} and must be 0 or 1")
        good = False
    mode = found.get("mode", "rw")
    if mode not in MODES:
        reader.error(where, f"vnvdimm: mode is {mode!r} and must be rw or ro")
        good = False
    labels = found.get("label_file", "")
    if labels == found["file"]:
        reader.error(where, "vnvdimm: label_file is the file itself", "labels need a file of their own")
        good = False
    node = found.get("node", "0")
    if not (node.isascii() and node.isdigit() and len(node) <= len(str(NODES_MOST)) and int(node) < NODES_MOST):
        reader.error(where, f"vnvdimm: node is {node!r} and must be the number of a virtual NUMA node, from 0")
        good = False
    return VnvdimmEntry(found["file"], size, unarmed == "1", where, labels, mode == "ro", int(node)) if good else None


def read_vnvdimms(reader: Reader) -> tuple[VnvdimmEntry, ...]:
    """Our own key: what is wrong with it is an error, because a guest without its memory is no guest."""
    items = reader.items("vnvdimm", quiet=True)
    if items is None and "vnvdimm" in reader.settings:
        reader.error("vnvdimm", "vnvdimm must be a list", "write vnvdimm = [ 'file=/dev/pmem0' ]")
    found: list[VnvdimmEntry | None] = []
    for item in items or ():
        if isinstance(item, Text):
            found.append(read_vnvdimm(reader, item))
        else:
            reader.error(item, "vnvdimm: a string is required, found a list", "write 'file=/dev/pmem0'")
    nodes = max(len(reader.get("b_info.vnuma_nodes") or ()), 1)
    for device in found:
        if device and device.node >= nodes and device.where:
            hint = "leave node out" if nodes == 1 else f"its nodes are 0 to {nodes - 1}"
            reader.error(device.where, f"vnvdimm: the domain has no virtual NUMA node {device.node}", hint)
    return tuple(device for device in found if device)
