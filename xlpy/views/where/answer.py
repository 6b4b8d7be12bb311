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


class Part(NamedTuple):
    """What one side knows: addresses by name, hops, who may touch the byte, and how far all of it goes on in step."""

    fields: dict[str, Any]
    hops: list[Hop]
    touch: dict[str, Any]
    run: int


class OnFile(NamedTuple):
    """A byte of a file of the host's state."""

    file: str
    offset: int


class Addresses(NamedTuple):
    """Where a byte is, by every name that it has; None where it has none.

    gpa: guest-physical, in the memory of ``domain``. spa, mfn: host-physical, and its frame. dpa: inside ``dimm``.
    media: the file that has it. region, namespace, device: of Dom0. path, path_offset, inode: its file there, or the
    device itself. guest_device, guest_device_offset: what the guest's Linux names it.
    """

    gpa: int | None = None
    domain: str | None = None
    spa: int | None = None
    mfn: int | None = None
    dimm: str | None = None
    dpa: int | None = None
    media: OnFile | None = None
    region: str | None = None
    namespace: str | None = None
    path: str | None = None
    path_offset: int | None = None
    inode: int | None = None
    device: str | None = None
    guest_device: str | None = None
    guest_device_offset: int | None = None

    def to_json(self) -> dict[str, Any]:
        """All of them as JSON values."""
        return self._asdict() | {"media": self.media and self.media._asdict()}


class Touch(NamedTuple):
    """Who may touch a byte, and what happens to it.

    dom0: whether Dom0 may map it, in words. domains: that have it mapped. pins: what holds its file or device.
    poison: whether it is bad. persistence: the domain up to which a store must come to be safe, in Linux' words.
    flushed: whether a power failure leaves it as it reads; None for what is lost anyway.
    """

    dom0: str = "-"
    domains: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    poison: bool = False
    persistence: str | None = None
    flushed: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return self._asdict() | {"domains": list(self.domains), "pins": list(self.pins)}


class Answer(NamedTuple):
    """One stretch of bytes that lie together on the whole way.

    at: the addresses of the first byte. hops: configuration first. touch: who may touch it.
    run: bytes from the first one on for which all hops go on in step.
    """

    at: Addresses
    hops: list[Hop]
    touch: Touch
    run: int


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
