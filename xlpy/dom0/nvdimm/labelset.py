"""From labels to namespaces: how Linux assembles the namespaces of one interleave set.

Every device of the set carries its share of each namespace as a label. A namespace exists when all shares are there and
belong to this very set, which the interleave-set cookie proves (UEFI 2.7, 13.19.2; Linux ``drivers/nvdimm``). Damage on
the device of mapping 0 makes a namespace vanish; damage on another makes the whole region fail: this is kept as it is.
"""

from __future__ import annotations

from _struct import pack

from xlpy.addr import Dpa, Spa
from xlpy.dom0.nvdimm.fletcher import fletcher64
from xlpy.dom0.nvdimm.labels import ABSTRACTIONS, TYPE_PMEM
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from xlpy.dom0.nvdimm.labels import Label, LabelAreaContent


class Member(NamedTuple):
    """What identifies a device in its set: where it comes first, in bytes, and raw control region fields."""

    region_offset: int = 0
    serial: int = 0
    vendor: int = 0
    date: int = 0
    location: int = 0


class LabelledMapping(NamedTuple):
    """One device's part of a region, in the order of the NFIT's region mappings.

    device: its name, such as ``nmem0``.
    area: its label area; None when it has none.
    start, size: the part, in DPA and bytes.
    """

    device: str
    area: LabelAreaContent | None
    start: Dpa
    size: int


class Cookies(NamedTuple):
    """The three checksums by which labels recognise their set; ``alt`` is accepted wherever the chosen one is."""

    v1_1: int
    v1_2: int
    alt: int


class LabelledNamespace(NamedTuple):
    """A namespace that labels describe. ``start`` in host (or guest) physical space, ``size`` over all devices.

    slots: of its labels, by mapping.
    """

    uuid: str
    name: str
    start: Spa
    size: int
    lbasize: int
    abstraction: str
    slots: tuple[int, ...] = ()


class Assembly(NamedTuple):
    """The namespaces of a region as Linux numbers them, or ``error``: why it fails; ``skipped``: what was left out."""

    namespaces: tuple[LabelledNamespace, ...]
    error: str | None
    skipped: tuple[str, ...]


def cookies(members: Iterable[Member]) -> Cookies:
    """The interleave-set cookies: Fletcher-64 over one record per device, by region offset.

    ``alt`` is the 1.1 cookie with the records sorted by the bytes of their offsets, as early kernels had it.
    """
    ordered = sorted(members, key=lambda m: m.region_offset)
    first = [pack("<QII", m.region_offset, m.serial, 0) for m in ordered]
    second = [pack("<QIHHB31x", *m) for m in ordered]
    by_bytes = sorted(first, key=lambda record: record[:8])
    return Cookies(fletcher64(b"".join(first)), fletcher64(b"".join(second)), fletcher64(b"".join(by_bytes)))


def assemble(base: Spa, mappings: Sequence[LabelledMapping], known: Cookies) -> Assembly:
    """The namespaces that the labels of a region describe.

    Args:
        base: first address of the region.
        mappings: its devices, in NFIT order; at least one.
        known: the cookies of the set.

    Returns:
        what Linux would make of them; never raises for what labels contain.
    """
    for mapping in mappings:
        if mapping.area is not None and mapping.area.conflict:
            return Assembly((), f"{mapping.device}: is disabled, failing probe: {mapping.area.conflict}", ())
    index = mappings[0].area.head if mappings[0].area else None
    right = (known.v1_2 if index is None or index.minor >= 2 else known.v1_1, known.alt)
    found: dict[bytes, LabelledNamespace] = {}
    skipped: list[str] = []
    for label, minor in _labels(mappings[0]):
        name = uuid_text(label.uuid)
        if not mappings[0].start <= label.dpa < mappings[0].start + mappings[0].size:
            skipped.append(f"{mappings[0].device}: label {name} lies at {label.dpa:#x}, outside the region")
        elif label.uuid in found:
            return Assembly((), f"error: conflicting extents for uuid: {name}", tuple(skipped))
        elif label.isetcookie not in right:
            skipped.append(f"{mappings[0].device}: label {name} belongs to set {label.isetcookie:#x}")
        else:
            for position, mapping in enumerate(mappings):
                if not any(_at_position(label.uuid, mappings, cookie, position) for cookie in right):
                    return Assembly((), f"{mapping.device} missing label for {name}", tuple(skipped))
            shares = [_share(label.uuid, mapping) for mapping in mappings]
            for mapping, share in zip(mappings, shares, strict=True):
                error = _misfit(label.uuid, mapping, share)
                if error:
                    return Assembly((), error, tuple(skipped))
            made = _namespace(base, mappings, [share for share in shares if share], minor)
            if made is None:
                return Assembly((), f"no label at position 0 for {name}", tuple(skipped))
            found[label.uuid] = made
    ordered = sorted(found.values(), key=lambda n: n.start.to_bytes(8, "little"))
    return Assembly(tuple(ordered), None, tuple(skipped))


def _labels(mapping: LabelledMapping) -> Iterator[tuple[Label, int]]:
    if mapping.area is not None and mapping.area.head is not None:
        for label in mapping.area.labels:
            yield label, mapping.area.head.minor


def _at_position(uuid: bytes, mappings: Sequence[LabelledMapping], cookie: int, position: int) -> bool:
    """Whether a device has the label of a namespace for a position; a device with two of the namespace spoils it."""
    for mapping in mappings:
        mine = [
            label
            for label, minor in _labels(mapping)
            if label.isetcookie == cookie and label.uuid == uuid and (minor < 2 or label.type == TYPE_PMEM)
        ]
        if mine and mine[0].nlabel == len(mappings) and mine[0].position == position:
            return True
        if len(mine) > 1:
            return False
    return False


def _share(uuid: bytes, mapping: LabelledMapping) -> Label | None:
    """This device's first label of a namespace, whatever else it says."""
    return next((label for label, _ in _labels(mapping) if label.uuid == uuid), None)


def _misfit(uuid: bytes, mapping: LabelledMapping, share: Label | None) -> str | None:
    """Why this device's share of a namespace is not inside its part of the region."""
    if share is None:
        return f"{mapping.device} missing label for {uuid_text(uuid)}"
    if mapping.start <= share.dpa and share.dpa + share.rawsize <= mapping.start + mapping.size:
        return None
    return (
        f"{mapping.device}: namespace {uuid_text(uuid)} at {share.dpa:#x}, {share.rawsize:#x} bytes, reaches "
        f"out of the part at {mapping.start:#x}, {mapping.size:#x} bytes"
    )


def _namespace(
    base: Spa, mappings: Sequence[LabelledMapping], shares: Sequence[Label], minor: int
) -> LabelledNamespace | None:
    """Properties of the label at position 0, the place of the one on mapping 0, and the sizes of all together."""
    first = next((share for share in shares if share.position == 0), None)
    if first is None:
        return None
    start = Spa(base + (shares[0].dpa - mappings[0].start) * len(mappings))
    kind = "none" if minor < 2 else ABSTRACTIONS.get(first.abstraction, "unknown")
    size = sum(share.rawsize for share in shares)
    slots = tuple(share.slot for share in shares)
    return LabelledNamespace(uuid_text(first.uuid), first.name, start, size, first.lbasize, kind, slots)
