"""The parts of a vNVDIMM, before and after it has an address in the guest.

A ``Backing`` is the toolstack's answer: host memory in file order, and where its labels are kept. A ``Vnvdimm`` is a
backing with a slot, a guest-physical start and an identity. Its extents lie one after another in guest space in file
order, so that byte n of the vNVDIMM is byte n of the file, however the file is scattered over the media.
"""

from __future__ import annotations

from _bisect import bisect_right
from binascii import crc32
from itertools import accumulate

from xlpy.addr import GIB, KIB, PAGE, Dpa, Gpa, Spa, Span
from xlpy.errors import Constraint
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LABEL_SIZE = 128 * KIB  # default and, by UEFI 2.7 section 13.19.1, the least
LABEL_LIMIT = GIB  # of what a file of 32-bit offsets could hold, enough for millions of labels


class Backing(NamedTuple):
    """Host memory for one vNVDIMM.

    path: the file or device as the configuration names it.
    spans: host memory in file order, whole pages.
    label_path: file that keeps the label area; None: the device has no labels.
    label_size: bytes of the label area, a multiple of 4 KiB from 128 KiB to 1 GiB.
    unarmed: tell the guest that the device cannot keep its data.
    read_only: map it such that the guest can only read; such a device is not armed.
    node: the guest's NUMA node that it belongs to.
    uuid: 16 bytes that always name the backing; empty: made from ``path``.
    smart: it lies on DIMMs, which tell of their health.
    """

    path: str
    spans: tuple[Span[Spa], ...]
    label_path: str | None = None
    label_size: int = LABEL_SIZE
    unarmed: bool = False
    uuid: bytes = b""
    smart: bool = False
    read_only: bool = False
    node: int = 0

    @property
    def size(self) -> int:
        """Bytes of persistent memory."""
        return sum(span.size for span in self.spans)

    @property
    def identity(self) -> bytes:
        """``uuid``, or 16 bytes made from the path."""
        if self.uuid:
            return self.uuid
        from hashlib import sha256

        return sha256(self.path.encode(errors="surrogateescape")).digest()[:16]


class Vnvdimm(NamedTuple):
    """A backing in its place.

    slot: from 0; the device's names and numbers in tables derive from it.
    gpa: first guest-physical address.
    serial: number that the guest sees, made from the backing's identity.
    released: the guest has let go of it (``_EJ0``).
    """

    slot: int
    gpa: Gpa
    backing: Backing
    serial: int
    released: bool = False

    @property
    def handle(self) -> int:
        """NFIT device handle, and ``_ADR`` of its ACPI object; 0 is the root device."""
        return self.slot + 1

    @property
    def name(self) -> str:
        r"""Its ACPI object below ``\_SB.NVDR``."""
        return f"NV{self.slot:02X}"

    @property
    def span(self) -> Span[Gpa]:
        """Its guest-physical range."""
        return Span(self.gpa, self.backing.size)

    def dpa(self, gpa: Gpa) -> Dpa:
        """The address inside the device."""
        return Dpa(gpa - self.gpa)

    def extents(self) -> Iterator[tuple[Gpa, Span[Spa]]]:
        """(guest-physical start, host memory) of each extent, ascending."""
        at = self.gpa
        for span in self.backing.spans:
            yield at, span
            at = Gpa(at + span.size)

    def host_spans(self, span: Span[Gpa]) -> list[Span[Spa]]:
        """The host memory behind a guest-physical range inside the device, in guest order."""
        spans = self.backing.spans
        starts = [0, *accumulate(piece.size for piece in spans)]
        first, end = span.start - self.gpa, span.end - self.gpa
        found = []
        at = bisect_right(starts, first) - 1
        while at < len(spans) and starts[at] < end:
            lo, hi = max(first, starts[at]), min(end, starts[at + 1])
            if lo < hi:
                found.append(Span(Spa(spans[at].start + lo - starts[at]), hi - lo))
            at += 1
        return found

    def guest_spans(self, host: Iterable[Span[Spa]]) -> list[Span[Gpa]]:
        """Where pieces of host memory appear in the guest, ascending, neighbours joined."""
        order = sorted((span.start, span.end, gpa) for gpa, span in self.extents())
        starts = [start for start, _, _ in order]
        found: list[Span[Gpa]] = []
        for piece in host:
            at = max(0, bisect_right(starts, piece.start) - 1)
            while at < len(order) and order[at][0] < piece.end:
                start, end, gpa = order[at]
                lo, hi = max(piece.start, start), min(piece.end, end)
                if lo < hi:
                    found.append(Span(Gpa(gpa + lo - start), hi - lo))
                at += 1
        return _joined(sorted(found))

    def to_json(self) -> dict[str, Any]:
        """As the state keeps it."""
        backing = self.backing
        return {
            "slot": self.slot,
            "gpa": self.gpa,
            "serial": self.serial,
            "released": self.released,
            "path": backing.path,
            "spans": [[span.start, span.size] for span in backing.spans],
            "label_path": backing.label_path,
            "label_size": backing.label_size,
            "unarmed": backing.unarmed,
            "uuid": backing.uuid.hex(),
            "smart": backing.smart,
            "read_only": backing.read_only,
            "node": backing.node,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Vnvdimm:
        """Read what ``to_json`` made."""
        backing = Backing(
            record["path"],
            tuple(Span(Spa(start), size) for start, size in record["spans"]),
            record["label_path"],
            record["label_size"],
            record["unarmed"],
            bytes.fromhex(record["uuid"]),
            record["smart"],
            record.get("read_only", False),
            record.get("node", 0),
        )
        return cls(record["slot"], Gpa(record["gpa"]), backing, record["serial"], record["released"])


def check_backing(backing: Backing) -> None:
    """Refuse what cannot become a vNVDIMM.

    Raises:
        Constraint: no memory, memory that is not whole pages, or a label area of an impossible size.
    """
    if not backing.size:
        raise Constraint(f"{backing.path}: has no memory to map", hint="give it at least one page")
    for span in backing.spans:
        if not span.size or not span.aligned(PAGE):
            raise Constraint(
                f"{backing.path}: host memory {span} is not a number of whole pages",
                hint="extents start and end on 4 KiB boundaries",
            )
    if backing.label_path is not None and (
        backing.label_size % PAGE or not LABEL_SIZE <= backing.label_size <= LABEL_LIMIT
    ):
        raise Constraint(
            f"{backing.path}: label area of {backing.label_size} bytes; a multiple of 4 KiB from 128 KiB to 1 GiB is "
            "required",
            code="XLPY-LABEL-SIZE",
            hint="leave label_size out, or write label_size=128K",
        )
    if len(backing.uuid) not in (0, 16):
        raise Constraint(f"{backing.path}: a uuid has 16 bytes, this one {len(backing.uuid)}")


def serial_number(identity: bytes, taken: Iterable[int] = ()) -> int:
    """The 32-bit serial number of a backing: the same in every domain, unless the guest has that number already.

    Linux tells interleave sets apart by serial number, so 0 and 0xffffffff (unset) and repetitions are passed over.
    """
    used = {0, 0xFFFFFFFF, *taken}
    serial = crc32(identity)
    while serial in used:
        serial = crc32(identity, serial + 1 & 0xFFFFFFFF)
    return serial


def _joined(spans: list[Span[Gpa]]) -> list[Span[Gpa]]:
    out: list[Span[Gpa]] = []
    for span in spans:
        if out and out[-1].end == span.start:
            out[-1] = Span.between(out[-1].start, span.end)
        else:
            out.append(span)
    return out
