"""What an answer consists of: hops, from the configuration down to the media file, and who else can touch the byte."""

from __future__ import annotations

import os

from xlpy.addr import PAGE, PAGE_SHIFT, Spa
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.host import Host
    from xlpy.toolstack.domain.running import Running


class Place(NamedTuple):
    """Where the bytes of a deciding structure are.

    space: ``spa``, ``gpa``, ``file``, ``state`` (a record of the host's state file) or ``text`` (of a configuration).
    name: the file, record or configuration; empty in an address space. address: byte address or offset, or None.
    file, offset: of an address space, the file of the host's state that has the byte.
    """

    space: str
    address: int | None = None
    name: str = ""
    file: str = ""
    offset: int | None = None

    def __str__(self) -> str:
        where = "" if self.address is None else f"{self.address:#x}"
        if self.space == "file":
            return f"{self.name}+{where}"
        return f"{self.space} {self.name or where}"

    def to_json(self) -> dict[str, Any]:
        """The place without what it does not have."""
        return {key: value for key, value in self._asdict().items() if value not in (None, "")}


class Hop(NamedTuple):
    """One step of the way.

    layer: whose it is: ``toolstack``, ``guest``, ``xen``, ``dom0``, ``firmware``, ``silicon``.
    what: where the byte is at this step. decided_by: the table or structure that says so; place: of its bytes.
    """

    layer: str
    what: str
    decided_by: str
    place: Place | None = None

    def to_json(self) -> dict[str, Any]:
        """The hop as JSON values."""
        return {
            "layer": self.layer,
            "what": self.what,
            "decided_by": self.decided_by,
            "place": self.place and self.place.to_json(),
        }


class Answer(NamedTuple):
    """One stretch of bytes that lie together on the whole way.

    fields: the addresses of the first byte, by name (``gpa``, ``domain``, ``spa``, ...). hops: configuration first.
    touch: who may touch it: ``dom0``, ``domains``, ``pins``, ``poison``, ``persistence``.
    run: bytes from the first one on for which all hops go on in step.
    """

    fields: dict[str, Any]
    hops: list[Hop]
    touch: dict[str, Any]
    run: int


# the keys of an answer, in their order; each is there in every answer
FIELDS = (
    "gpa",
    "domain",
    "spa",
    "mfn",
    "dimm",
    "dpa",
    "media",
    "region",
    "namespace",
    "path",
    "path_offset",
    "inode",
    "device",
    "guest_device",
    "guest_device_offset",
)


def complete(known: dict[str, Any]) -> dict[str, Any]:
    """All keys of an answer, None where there is nothing to say."""
    return {key: known.get(key) for key in FIELDS}


def in_order(hops: Iterable[Hop]) -> list[Hop]:
    """Hops sorted from the configuration down to the silicon; those of one layer stay in their order."""
    ranks = {"toolstack": 0, "guest": 1, "xen": 2, "dom0": 3, "firmware": 4, "silicon": 5}
    return sorted(hops, key=lambda hop: ranks[hop.layer])


def guest_place(running: Running, gpa: int) -> Place:
    """A place in guest memory, with the file that has the byte."""
    piece = running.domain.p2m.ram.at(gpa >> PAGE_SHIFT)
    if piece is None:
        return Place("gpa", gpa)
    media, offset, _ = running.domain.files.find(piece.base + (gpa >> PAGE_SHIFT) - piece.start, 1)
    return Place("gpa", gpa, "", os.fspath(media.path), offset + gpa % PAGE)


def host_place(host: Host, place: Place) -> Place:
    """The same place; one in host memory with the file that has the byte."""
    if place.space != "spa" or place.address is None:
        return place
    file, offset = host.hw.locate_file(Spa(place.address))
    return place._replace(file=file, offset=offset)
