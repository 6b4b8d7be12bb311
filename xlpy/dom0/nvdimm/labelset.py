"""From labels to namespaces: how Linux assembles the namespaces of one interleave set.

Every device of the set carries its share of each namespace as a label. A namespace exists when all shares are there and
belong to this very set, which the interleave-set cookie proves (UEFI 2.7, 13.19.2; Linux ``drivers/nvdimm``). Damage on
the device of mapping 0 makes a namespace vanish; damage on another makes the whole region fail: this is kept as it is.
"""

from __future__ import annotations

from struct import pack

from xlpy.addr import Dpa, Spa
from xlpy.dom0.nvdimm.fletcher import fletcher64
from xlpy.dom0.nvdimm.labels import ABSTRACTIONS, TYPE_PMEM, uuid_text
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.dom0.nvdimm.labels import Label, LabelArea


class Mapping(NamedTuple):
    """One device's part of a region, in the order of the NFIT's region mappings.

    device: its name, such as ``nmem0``.
    area: its label area; None when it has none.
    start, size: the part, in DPA and bytes.
    region_offset: where this device comes first in the set, in bytes.
    serial, vendor, date, location: raw fields of its control region.
    """

    device: str
    area: LabelArea | None
    start: Dpa
    size: int
    region_offset: int = 0
    serial: int = 0
    vendor: int = 0
    date: int = 0
    location: int = 0


class Cookies(NamedTuple):
    """The three checksums by which labels recognise their set; ``alt`` is accepted wherever the chosen one is."""

    v1_1: int
    v1_2: int
    alt: int


class Namespace(NamedTuple):
    """A namespace that labels describe. ``start`` in host (or guest) physical space, ``size`` over all devices."""

    uuid: str
    name: str
    start: Spa
    size: int
    lbasize: int
    abstraction: str


class Assembly(NamedTuple):
    """The namespaces of a region by start; or ``error``: why it fails. ``skipped`` tells what was passed over."""

    namespaces: tuple[Namespace, ...]
    error: str | None
    skipped: tuple[str, ...]


def cookies(mappings: Sequence[Mapping]) -> Cookies:
    """The interleave-set cookies: Fletcher-64 over one record per device, by region offset.

    ``alt`` is the 1.1 cookie with the records sorted by their bytes, as early kernels had it.
    """
    ordered = sorted(mappings, key=lambda m: m.region_offset)
    first = [pack("<QII", m.region_offset, m.serial, 0) for m in ordered]
    second = [pack("<QIHHB31x", m.region_offset, m.serial, m.vendor, m.date, m.location) for m in ordered]
    return Cookies(fletcher64(b"".join(first)), fletcher64(b"".join(second)), fletcher64(b"".join(sorted(first))))


def assemble(base: Spa, mappings: Sequence[Mapping]) -> Assembly:
    """The namespaces that the labels of a region describe.

    Args:
        base: first address of the region.
        mappings: its devices, in NFIT order; at least one.

    Returns:
        what Linux would make of them; never raises for what labels contain.
    """
    for mapping in mappings:
        if mapping.area is not None and mapping.area.conflict:
            return Assembly((), f"{mapping.device}: is disabled, failing probe: {mapping.area.conflict}", ())
    known = cookies(mappings)
    index = mappings[0].area.head if mappings[0].area else None
    right = {known.v1_2 if index is None or index.minor >= 2 else known.v1_1, known.alt}
    found: list[Namespace] = []
    skipped: list[str] = []
    for label, minor in _labels(mappings[0]):
        name = uuid_text(label.uuid)
        if not mappings[0].start <= label.dpa < mappings[0].start + mappings[0].size:
            skipped.append(f"{mappings[0].device}: label {name} lies at {label.dpa:#x}, outside the region")
        elif label.isetcookie not in right:
            skipped.append(f"{mappings[0].device}: label {name} belongs to set {label.isetcookie:#x}")
        else:
            shares = _shares(label.uuid, mappings, right)
            for position, mapping in enumerate(mappings):
                if not any(share.position == position for share in shares):
                    return Assembly((), f"{mapping.device} missing label for {name}", tuple(skipped))
            for mapping in mappings:
                error = _misfit(label.uuid, mapping)
                if error:
                    return Assembly((), error, tuple(skipped))
            found.append(_namespace(base, mappings, label, shares, minor))
    return Assembly(tuple(sorted(found, key=lambda n: n.start)), None, tuple(skipped))


def _labels(mapping: Mapping) -> Iterator[tuple[Label, int]]:
    if mapping.area is not None and mapping.area.head is not None:
        for label in mapping.area.labels:
            yield label, mapping.area.head.minor


def _shares(uuid: bytes, mappings: Sequence[Mapping], right: set[int]) -> list[Label]:
    """The labels of one namespace that count, on all devices."""
    return [
        label
        for mapping in mappings
        for label, minor in _labels(mapping)
        if label.uuid == uuid
        and label.isetcookie in right
        and label.nlabel == len(mappings)
        and (minor < 2 or label.type == TYPE_PMEM)
    ]


def _misfit(uuid: bytes, mapping: Mapping) -> str | None:
    """Why this device's share of a namespace is not inside its part of the region."""
    for label, _ in _labels(mapping):
        if label.uuid == uuid:
            if mapping.start <= label.dpa and label.dpa + label.rawsize <= mapping.start + mapping.size:
                return None
            return (
                f"{mapping.device}: namespace {uuid_text(uuid)} at {label.dpa:#x}, {label.rawsize:#x} bytes, reaches "
                f"out of the part at {mapping.start:#x}, {mapping.size:#x} bytes"
            )
    return f"{mapping.device} missing label for {uuid_text(uuid)}"


def _namespace(base: Spa, mappings: Sequence[Mapping], label: Label, shares: list[Label], minor: int) -> Namespace:
    first = next(share for share in shares if share.position == 0)
    size = sum(next(share.rawsize for share, _ in _labels(mapping) if share.uuid == label.uuid) for mapping in mappings)
    start = Spa(base + (label.dpa - mappings[0].start) * len(mappings))
    kind = "none" if minor < 2 else ABSTRACTIONS.get(first.abstraction, "none")
    return Namespace(uuid_text(first.uuid), first.name, start, size, first.lbasize, kind)
